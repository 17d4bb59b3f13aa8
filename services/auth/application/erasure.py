"""Erase accounts, and hand out what is kept of them (A8)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

import structlog

from services.auth.application.ports import Clock, Ids, UnitOfWork
from services.auth.domain.erasure import FRESH_LOGIN, AccountRecord, Erasure
from services.auth.domain.errors import ErasureByKey, ErasureNotFound, LastAdmin, LoginTooOld, UserNotFound
from services.auth.domain.revocation import RevocationKind

_log = structlog.get_logger(__name__)
_OPEN_AT_ONCE = 50
_TRAIL_BATCH = 1000


class ErasureRepository(Protocol):
    """The erasures, and what they do to the tables of auth; a part of a unit of work."""

    async def begin(self, erasure: Erasure) -> Erasure:
        """Store a new one, to be acknowledged by `waiting_for`; the one that is there if the user has one."""
        ...

    async def drop_credentials(self, user_id: str) -> None:
        """Delete at once what the user could come back with, what is about to be sent to them, and what names them."""
        ...

    async def get(self, erasure_id: str) -> Erasure | None:
        """The erasure with this id."""
        ...

    async def waiting(self, service: str, limit: int) -> list[Erasure]:
        """Open ones that the service has not acknowledged, oldest first."""
        ...

    async def acknowledge(self, erasure_id: str, service: str, now: datetime) -> bool:
        """Note it, once; False when there is no such erasure."""
        ...

    async def open(self, limit: int) -> list[Erasure]:
        """Those that are not complete, oldest first."""
        ...

    async def anonymise(self, user_id: str, limit: int) -> int:
        """Take what a client sent from entries of the audit trail about the user; how many entries, at most `limit`."""
        ...

    async def finish(self, erasure: Erasure, now: datetime) -> bool:
        """Delete everything else of the user but the ledger and the trail, and mark the erasure complete.

        False, and nothing done, while a charge is still to be withdrawn.
        """
        ...


class ErasureUnit(UnitOfWork, Protocol):
    """A unit of work that can also erase."""

    @property
    def erasures(self) -> ErasureRepository:
        """The erasures."""
        ...


ErasureUnits = Callable[[], AbstractAsyncContextManager[ErasureUnit]]
EndSubscription = Callable[[str], Awaitable[None]]
"""Ends what a user pays for; again does no harm."""


class KeptMail(Protocol):
    """Mails that were sent and lie somewhere of ours."""

    async def forget(self, address: str) -> None:
        """Delete those to the address; again does no harm."""
        ...


class AccountData(Protocol):
    """What auth keeps of a user."""

    async def page(self, user_id: str, page_token: str) -> tuple[list[AccountRecord], str]:
        """Records and the token of the next page, empty on the last. Raises UserNotFound, InvalidValue."""
        ...


class Erasures:
    """The use cases behind `ErasureService`, and the background task that completes erasures."""

    def __init__(
        self,
        units: ErasureUnits,
        services: Sequence[str],
        clock: Clock,
        ids: Ids,
        end_subscription: EndSubscription | None = None,
        mail: KeptMail | None = None,
    ) -> None:
        """`services`: who must have acknowledged an erasure before it is completed, in this order."""
        self._mail = mail
        self._units = units
        self._services = tuple(services)
        self._clock = clock
        self._ids = ids
        self._end_subscription = end_subscription

    async def erase(self, user_id: str, authenticated_at: datetime | None, *, by_api_key: bool) -> Erasure:
        """Begin to erase the caller's account; its credentials end with this.

        Raises ErasureByKey, LoginTooOld, LastAdmin, UserNotFound.
        """
        now = self._clock.now()
        if by_api_key:
            raise ErasureByKey
        if authenticated_at is None or now - authenticated_at > FRESH_LOGIN:
            raise LoginTooOld
        async with self._units() as unit:
            if await unit.users.lock_admins() == {user_id}:
                raise LastAdmin
            user = await unit.users.get(user_id)
            if user is None:
                raise UserNotFound
            await self._forget_mail(user.email)  # while the address is known: a crash from here on changes nothing
            begun = await unit.erasures.begin(Erasure(self._ids.new_id(), user_id, now, None, self._services))
            await unit.revocations.add(RevocationKind.USER, user_id, now)
            await unit.identities.forget(user_id, now)
            await unit.erasures.drop_credentials(user_id)
            await unit.audit.note("account.erasure_requested", user_id, {"erasure_id": begun.erasure_id})
            await unit.commit()
        await self._forget_mail(user.email)  # one that was on its way
        return begun

    async def _forget_mail(self, address: str | None) -> None:
        if self._mail is not None and address:
            await self._mail.forget(address)

    async def get(self, erasure_id: str) -> Erasure:
        """How far it is. Raises ErasureNotFound."""
        async with self._units() as unit:
            found = await unit.erasures.get(erasure_id)
        if found is None:
            raise ErasureNotFound
        return found

    async def waiting(self, service: str, limit: int) -> list[Erasure]:
        """What a service has to purge."""
        async with self._units() as unit:
            return await unit.erasures.waiting(service, limit or _OPEN_AT_ONCE)

    async def acknowledge(self, erasure_id: str, service: str) -> None:
        """A service has nothing of the user any more. Raises ErasureNotFound."""
        async with self._units() as unit:
            if not await unit.erasures.acknowledge(erasure_id, service, self._clock.now()):
                raise ErasureNotFound
            await unit.commit()

    async def complete(self) -> int:
        """One round: end subscriptions, and finish what every service has acknowledged; how many were finished."""
        async with self._units() as unit:
            opened = await unit.erasures.open(_OPEN_AT_ONCE)
        finished = 0
        for erasure in opened:
            try:
                if self._end_subscription is not None:
                    await self._end_subscription(erasure.user_id)
                if not erasure.waiting_for:
                    finished += await self._finish(erasure)
            except Exception:  # whatever stands against one erasure must not hold up the others
                _log.exception("erasure not completed, trying again", erasure_id=erasure.erasure_id)
        return finished

    async def _finish(self, erasure: Erasure) -> bool:
        """In steps that may each be the last before a crash: the next round goes on."""
        left = 1
        while left:
            async with self._units() as unit:
                left = await unit.erasures.anonymise(erasure.user_id, _TRAIL_BATCH)
                await unit.commit()
        async with self._units() as unit:
            if not await unit.erasures.finish(erasure, self._clock.now()):
                return False
            await unit.audit.note("account.erased", erasure.user_id, {"erasure_id": erasure.erasure_id})
            await unit.commit()
        return True

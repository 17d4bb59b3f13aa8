"""Reserve, spend and give back credits; grant them (A6)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from services.auth.application.ports import Clock
from services.auth.domain.credits import Account, CreditPlans, Reservation
from services.auth.domain.errors import ReservationConflict, ReservationNotFound, UserNotFound

_BATCH = 100


@dataclass(frozen=True, slots=True)
class Balance:
    """An account's credits, and whether they limit what it may order."""

    available: int
    reserved: int
    spent: int
    plan: str
    metered: bool


class CreditStore(Protocol):
    """The accounts, the reservations and the ledger."""

    def change(self, user_id: str, job_id: str = "") -> AbstractAsyncContextManager[Account | None]:
        """The user's account under its lock, with the job's reservation if there is one, whoever's that is; None for
        an unknown user. On leaving, balance, reservation and transfers are stored in one transaction.
        """
        ...

    async def account(self, user_id: str) -> Account | None:
        """The account as of one moment; None for an unknown user."""
        ...

    async def owner_of(self, job_id: str) -> str | None:
        """Whose credits are reserved for the job."""
        ...

    async def lapsed(self, now: datetime, limit: int) -> list[tuple[str, str]]:
        """(user, job) of reservations that nobody has confirmed in time."""
        ...

    async def granted(self, request_id: str, user_id: str, amount: int) -> bool:
        """Whether this grant was made. Raises GrantConflict when the request id made another one."""
        ...


class Credits:
    """The use cases behind `CreditService`."""

    def __init__(
        self, store: CreditStore, plans: CreditPlans, clock: Clock, unconfirmed: timedelta = timedelta(minutes=15)
    ) -> None:
        """`unconfirmed`: how long credits are kept for a job of which nobody has said that it is stored."""
        self._store = store
        self._plans = plans
        self._clock = clock
        self._unconfirmed = unconfirmed

    async def reserve(self, user_id: str, job_id: str, amount: int) -> Reservation:
        """Set credits aside for a job. Raises UserNotFound, CreditsExhausted, ReservationConflict."""
        async with self._store.change(user_id, job_id) as account:
            if account is None:
                raise UserNotFound
            plan = self._plans.of(account.plan)
            return account.reserve(job_id, amount, plan, self._clock.now(), self._unconfirmed)

    async def confirm(self, job_id: str) -> Reservation:
        """Keep a reservation. Raises ReservationNotFound, ReservationEnded."""
        return await self._of_job(job_id, Account.confirm)

    async def settle(self, job_id: str) -> Reservation:
        """Spend a reservation. Raises ReservationNotFound, ReservationEnded."""
        return await self._of_job(job_id, Account.settle)

    async def release(self, job_id: str) -> None:
        """Give a reservation back. Raises ReservationEnded."""
        owner = await self._store.owner_of(job_id)
        if owner is None:
            return
        async with self._store.change(owner, job_id) as account:
            if account is not None:
                account.release()

    async def balance(self, user_id: str) -> Balance:
        """A user's credits. Raises UserNotFound."""
        account = await self._store.account(user_id)
        if account is None:
            raise UserNotFound
        metered = self._plans.of(account.plan).metered
        return Balance(account.available, account.reserved, account.spent, account.plan, metered)

    async def grant(self, user_id: str, amount: int, reason: str, request_id: str) -> Balance:
        """Add credits, or take them away, once for each request id. Raises UserNotFound, GrantConflict."""
        async with self._store.change(user_id) as account:
            if account is None:
                raise UserNotFound
            if not await self._store.granted(request_id, user_id, amount):
                account.grant(amount, f"grant: {reason}", request_id)
        return await self.balance(user_id)

    async def welcome(self, user_id: str) -> None:
        """Give a new user the credits of the plan, once."""
        async with self._store.change(user_id) as account:
            if account is None:
                raise UserNotFound
            request_id, amount = f"signup {user_id}", self._plans.of(account.plan).signup_credits
            if amount and not await self._store.granted(request_id, user_id, amount):
                account.grant(amount, "signup", request_id)

    async def lapse(self) -> int:
        """Give back what was reserved by somebody who then died; how many reservations."""
        count = 0
        for user_id, job_id in await self._store.lapsed(self._clock.now(), _BATCH):
            async with self._store.change(user_id, job_id) as account:
                count += account is not None and account.lapse(self._clock.now())
        return count

    async def _of_job(self, job_id: str, change: Callable[[Account], Reservation]) -> Reservation:
        owner = await self._store.owner_of(job_id)
        if owner is None:
            raise ReservationNotFound
        async with self._store.change(owner, job_id) as account:
            if account is None:
                raise ReservationConflict
            return change(account)

"""Users of other issuers: made at first sight, kept up to date by what their tokens say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog

from services.auth.application.ports import Clock, Ids, UnitOfWork, UnitsOfWork
from services.auth.domain.errors import CredentialInvalid, InvalidValue
from services.auth.domain.identity import ExternalPerson, Identity
from services.auth.domain.revocation import EXTERNAL_LIFETIME_MAX, RevocationKind
from services.auth.domain.user import Role, User, checked_name

Welcome = Callable[[str], Awaitable[None]]
_ATTEMPTS = 3

_log = structlog.get_logger(__name__)


class Identities:
    """Finds, makes and updates the user whom a token names."""

    def __init__(self, units: UnitsOfWork, welcome: Welcome, clock: Clock, ids: Ids) -> None:
        """`welcome` is called with the id of each new user."""
        self._units = units
        self._welcome = welcome
        self._clock = clock
        self._ids = ids

    async def user_of(self, person: ExternalPerson) -> User:
        """The user. Raises CredentialInvalid for somebody who was erased after the token was made."""
        # Twice it can happen that somebody else is first: with the same person, or with the address.
        for _ in range(_ATTEMPTS):
            user = await self._known(person) or await self._first_sight(person)
            if user is not None:
                return user
        raise CredentialInvalid

    async def prune(self) -> int:
        """Drop what is left of people whose tokens have all ended; how many."""
        async with self._units() as unit:
            count = await unit.identities.prune(self._clock.now() - 2 * EXTERNAL_LIFETIME_MAX)
            await unit.commit()
        return count

    async def _known(self, person: ExternalPerson) -> User | None:
        async with self._units() as unit:
            identity = await unit.identities.find(person.issuer, person.subject)
            if identity is None:
                return None
            user = await unit.users.get(identity.user_id)
            if user is None:
                raise CredentialInvalid
            if identity.linked or person.issued_at <= identity.changed_at or not _changes(user, person):
                return user
            if not await unit.identities.advance(person.issuer, person.subject, person.issued_at):
                return user
            user = await self._take_over(unit, user, person)
            await unit.commit()
        return user

    async def _take_over(self, unit: UnitOfWork, user: User, person: ExternalPerson) -> User:
        now = self._clock.now()
        name, role = _name(person), person.role
        if name and name != user.display_name:
            user = await unit.users.set_display_name(user.user_id, name, now) or user
        if person.email is not None and person.email != user.email:
            if await unit.users.set_email(user.user_id, person.email, now):
                user = replace(user, email=person.email, verified_at=now)
            else:
                _log.warning("the address of an external account is another account's", user_id=user.user_id)
        if role is not None and role is not user.role:
            user = await unit.users.set_role(user.user_id, role, now) or user
            # Tokens older than the one that says so carry the old role.
            await unit.revocations.add(RevocationKind.USER, user.user_id, person.issued_at)
            await unit.audit.note("identity.role_changed", user.user_id)
        return user

    async def _first_sight(self, person: ExternalPerson) -> User | None:
        now = self._clock.now()
        async with self._units() as unit:
            forgotten_at = await unit.identities.forgotten_at(person.issuer, person.subject)
            if forgotten_at is not None and person.issued_at <= forgotten_at:
                raise CredentialInvalid
            user, linked = await self._account_for(unit, person)
            if not linked and not await unit.users.add(user):
                return None
            identity = Identity(person.issuer, person.subject, user.user_id, person.issued_at, linked)
            if not await unit.identities.add(identity, now):
                return None
            await unit.audit.note("identity.linked" if linked else "identity.first_seen", user.user_id)
            await unit.commit()
        _log.info("first sight of a person", issuer=person.issuer, user_id=user.user_id, linked=linked)
        if not linked:
            await self._welcome(user.user_id)
        return user

    async def _account_for(self, unit: UnitOfWork, person: ExternalPerson) -> tuple[User, bool]:
        """The account that is linked, or a new one; an address that is taken stays with whoever has it.

        Were an account handed over because of an equal address alone, whoever gets an issuer to put a stranger's
        address into a token would own the stranger's account.
        """
        now, email = self._clock.now(), person.email
        taken = await unit.users.find_by_email(email) if email is not None else None
        if taken is not None and taken.verified_at is not None and person.may_link:
            return taken, True
        if taken is not None:
            email = None
        verified_at = now if email is not None else None
        role = person.role or Role.USER
        made = User(self._ids.new_id(), email, _name(person), role, None, now, verified_at=verified_at)
        return made, False


def _changes(user: User, person: ExternalPerson) -> bool:
    name = _name(person)
    return (
        (person.role is not None and person.role is not user.role)
        or (person.email is not None and person.email != user.email)
        or name not in ("", user.display_name)
    )


def _name(person: ExternalPerson) -> str:
    try:
        return checked_name(person.name)
    except InvalidValue:  # a name is no reason to keep somebody out
        return ""

"""Accounts as the operator makes them and admins see them."""

from __future__ import annotations

from services.auth.application.passwords import Passwords
from services.auth.application.ports import Clock, Ids, UnitsOfWork
from services.auth.domain.errors import EmailTaken, LastAdmin, UserNotFound
from services.auth.domain.revocation import RevocationKind
from services.auth.domain.user import Role, User, checked_name, normalise_email


class Accounts:
    """Use cases around `User`."""

    def __init__(self, units: UnitsOfWork, passwords: Passwords, clock: Clock, ids: Ids) -> None:
        self._units = units
        self._passwords = passwords
        self._clock = clock
        self._ids = ids

    async def register(self, email: str, password: str, display_name: str = "", role: Role = Role.USER) -> User:
        """Create an account with a password; whoever does vouches for the address. Raises InvalidValue, EmailTaken."""
        address, name = normalise_email(email), checked_name(display_name)
        return await self._add(address, name, role, await self._passwords.new(password, [address, name]))

    async def register_without_password(self, email: str, role: Role) -> User:
        """Create an account that can only be used through API keys. Raises InvalidValue, EmailTaken."""
        return await self._add(normalise_email(email), "", role, None)

    async def profile(self, user_id: str) -> User:
        """The account. Raises UserNotFound."""
        async with self._units() as unit:
            user = await unit.users.get(user_id)
        if user is None:
            raise UserNotFound
        return user

    async def find(self, email: str) -> User | None:
        """The account with this address, for the operator's commands. Raises InvalidValue."""
        async with self._units() as unit:
            return await unit.users.find_by_email(normalise_email(email))

    async def page(self, query: str, role: Role | None, before: str | None, limit: int) -> tuple[list[User], str]:
        """Accounts whose address or name contains `query`, newest first, and where the next page begins.

        `before`: what the page before gave. The next one is empty on the last page.
        """
        async with self._units() as unit:
            found = await unit.users.page(query, role, before, limit + 1)
        return found[:limit], found[limit - 1].user_id if len(found) > limit else ""

    async def change_role(self, user_id: str, role: Role) -> User:
        """Give a user another role. Raises UserNotFound, and LastAdmin when no admin would be left."""
        async with self._units() as unit:
            if role is not Role.ADMIN:
                admins = await unit.users.lock_admins()
                if admins == {user_id}:
                    raise LastAdmin
            user = await unit.users.set_role(user_id, role, self._clock.now())
            if user is None:
                raise UserNotFound
            await unit.revocations.add(RevocationKind.USER, user_id, self._clock.now())
            await unit.commit()
        return user

    async def change_plan(self, user_id: str, plan: str) -> User:
        """Give a user another plan. Raises UserNotFound."""
        async with self._units() as unit:
            user = await unit.users.set_plan(user_id, plan, self._clock.now())
            if user is None:
                raise UserNotFound
            await unit.commit()
        return user

    async def _add(self, email: str, display_name: str, role: Role, password_hash: str | None) -> User:
        now = self._clock.now()
        user = User(self._ids.new_id(), email, display_name, role, password_hash, now, verified_at=now)
        async with self._units() as unit:
            if not await unit.users.add(user):
                raise EmailTaken
            await unit.commit()
        return user

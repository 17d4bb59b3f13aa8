"""What people say of themselves: name, address, preferences (A1)."""

from __future__ import annotations

from services.auth.application.login_guard import LoginGuard
from services.auth.application.passwords import Passwords
from services.auth.application.ports import Clock, Ids, UnitOfWork, UnitsOfWork
from services.auth.application.recovery import prove
from services.auth.domain.errors import UserNotFound
from services.auth.domain.mail import Mail, MailKind
from services.auth.domain.preferences import Preferences, check_preferences
from services.auth.domain.session import Client
from services.auth.domain.user import User, checked_name, normalise_email


class Profiles:
    """Use cases around one's own account."""

    def __init__(self, units: UnitsOfWork, passwords: Passwords, guard: LoginGuard, *, clock: Clock, ids: Ids) -> None:
        self._units = units
        self._passwords = passwords
        self._guard = guard
        self._clock = clock
        self._ids = ids

    async def update(
        self,
        user_id: str,
        *,
        display_name: str | None = None,
        email: str | None = None,
        current_password: str = "",
        client: Client | None = None,
    ) -> User:
        """Change what is not None; the account. Another address needs the password, and a mail there takes it on.

        Raises UserNotFound, TooManyAttempts, and InvalidValue naming the field.
        """
        name = checked_name(display_name) if display_name is not None else None
        address = normalise_email(email) if email is not None else None
        async with self._units() as unit:
            user = await _existing(unit, user_id)
        attempt = None
        if address is not None and address != user.email:
            attempt = await prove(self._guard, self._passwords, user, current_password, client or Client())
        async with self._units() as unit:
            if name is not None:
                await unit.users.set_display_name(user_id, name, self._clock.now())
            if attempt is not None and address is not None:
                await self._ask(unit, user, address)
                await self._guard.passed(unit, attempt)
            changed = await _existing(unit, user_id)
            await unit.commit()
        return changed

    async def preferences(self, user_id: str) -> Preferences:
        """The user's preferences. Raises UserNotFound."""
        async with self._units() as unit:
            await _existing(unit, user_id)
            return await unit.users.preferences(user_id)

    async def set_preferences(self, user_id: str, preferences: Preferences) -> None:
        """Replace the user's preferences. Raises UserNotFound, InvalidValue."""
        check_preferences(preferences)
        async with self._units() as unit:
            await _existing(unit, user_id)
            await unit.users.set_preferences(user_id, preferences, self._clock.now())
            await unit.commit()

    async def _ask(self, unit: UnitOfWork, user: User, address: str) -> None:
        now = self._clock.now()
        await unit.mails.add(Mail(self._ids.new_id(), MailKind.CHANGE, address, now, user.user_id))
        if user.email:
            notice = Mail(self._ids.new_id(), MailKind.CHANGE_ASKED, user.email, now, user.user_id, about=address)
            await unit.mails.add(notice)


async def _existing(unit: UnitOfWork, user_id: str) -> User:
    user = await unit.users.get(user_id)
    if user is None:
        raise UserNotFound
    return user

"""Registrations: ask for an account, verify its address (A1)."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.application.email_tokens import PURPOSE, find_token
from services.auth.application.login_guard import LoginGuard
from services.auth.application.passwords import Passwords
from services.auth.application.ports import Clock, Ids, SecretMaker, UnitOfWork, UnitsOfWork
from services.auth.domain.errors import InvalidValue
from services.auth.domain.mail import VERIFY_LIFETIME, EmailToken, Mail, MailKind, Registration, TokenPurpose
from services.auth.domain.user import Role, User, checked_name, normalise_email


@dataclass(frozen=True, slots=True)
class Verified:
    """Whose address was proved, and whether that finished a registration (also when the call is repeated)."""

    user_id: str
    registered: bool


class Registrations:
    """Use cases of people who have no account yet.

    What is asked for an address does the same work whether or not it has an account: the difference is made where
    mail is sent.
    """

    def __init__(
        self,
        units: UnitsOfWork,
        passwords: Passwords,
        secrets: SecretMaker,
        guard: LoginGuard,
        *,
        clock: Clock,
        ids: Ids,
        verified: bool = True,
    ) -> None:
        """`verified`: whether an account waits until its address is verified."""
        self._units = units
        self._passwords = passwords
        self._secrets = secrets
        self._guard = guard
        self._clock = clock
        self._ids = ids
        self._verified = verified

    async def register(self, email: str, password: str, display_name: str) -> str | None:
        """Ask for an account. The id of one that was made at once, where addresses are not verified.

        Raises InvalidValue. That the address is taken is not told.
        """
        address, name = normalise_email(email), checked_name(display_name)
        password_hash = await self._passwords.new(password, [address, name])
        now = self._clock.now()
        if not self._verified:
            user = User(self._ids.new_id(), address, name, Role.USER, password_hash, now)
            async with self._units() as unit:
                added = await unit.users.add(user)
                await unit.commit()
            return user.user_id if added else None
        made = Registration(self._ids.new_id(), address, name, password_hash, now, now + VERIFY_LIFETIME)
        mail = Mail(self._ids.new_id(), MailKind.REGISTER, address, now, registration_id=made.registration_id)
        async with self._units() as unit:
            await unit.registrations.add(made)
            await unit.mails.add(mail)
            await unit.commit()
        return None

    async def resend(self, email: str) -> None:
        """Send the mail of the newest registration of an address again, if there is one. Raises InvalidValue."""
        mail = Mail(self._ids.new_id(), MailKind.RESEND, normalise_email(email), self._clock.now())
        async with self._units() as unit:
            await unit.mails.add(mail)
            await unit.commit()

    async def verify(self, secret: str, client_address: str = "") -> Verified:
        """Take the proof that an address is read. Raises InvalidValue.

        A registration becomes an account, or an account gets its new address.
        """
        now = self._clock.now()
        digest = self._secrets.digest(PURPOSE, secret)
        async with self._units() as unit:
            token = await find_token(unit, digest, TokenPurpose.VERIFY, now)
            fresh = token.used_at is None
            if fresh:
                await unit.email_tokens.use(digest, now)
            if token.registration_id is not None:
                user_id = await self._complete(unit, token.registration_id)
            else:
                user_id = token.user_id or ""
                if fresh:
                    await self._move(unit, user_id, token)
            if fresh:  # after the account: logins lock the two in this order
                await self._guard.vouch(unit, token.email, client_address)
            await unit.commit()
        return Verified(user_id, registered=token.registration_id is not None)

    async def purge(self) -> int:
        """Forget registrations and tokens that have ended; how many."""
        now = self._clock.now()
        async with self._units() as unit:
            count = await unit.registrations.purge(now) + await unit.email_tokens.purge(now)
            await unit.commit()
        return count

    async def _complete(self, unit: UnitOfWork, registration_id: str) -> str:
        registration = await unit.registrations.get(registration_id)
        if registration is None:
            raise _taken()
        if registration.user_id is not None:
            return registration.user_id  # the call is repeated, or came by the token of another mail
        now = self._clock.now()
        user = User(
            self._ids.new_id(),
            registration.email,
            registration.display_name,
            Role.USER,
            registration.password_hash,
            now,
            verified_at=now,
        )
        if not await unit.users.add(user):
            raise _taken()
        await unit.registrations.complete(registration, user.user_id)
        return user.user_id

    async def _move(self, unit: UnitOfWork, user_id: str, token: EmailToken) -> None:
        """Give the account the address where the token was sent."""
        now = self._clock.now()
        user = await unit.users.get(user_id)
        if user is None or not await unit.users.set_email(user_id, token.email, now):
            raise _taken()
        # What was sent to the address of before, and other changes that were asked for, count no more.
        await unit.email_tokens.revoke_all(user_id, [TokenPurpose.VERIFY, TokenPurpose.RESET])
        if user.email and user.email != token.email:
            notice = Mail(self._ids.new_id(), MailKind.CHANGED, user.email, now, user_id, about=token.email)
            await unit.mails.add(notice)


def _taken() -> InvalidValue:
    return InvalidValue([("token", "came too late: the address has an account")])

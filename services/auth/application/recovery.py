"""Passwords that are forgotten or changed (A1)."""

from __future__ import annotations

from services.auth.application.email_tokens import PURPOSE, bad_token, find_token
from services.auth.application.login_guard import Attempt, LoginGuard
from services.auth.application.passwords import Passwords
from services.auth.application.ports import Clock, Ids, SecretMaker, UnitOfWork, UnitsOfWork
from services.auth.application.sessions import close_all
from services.auth.domain.errors import InvalidValue, UserNotFound
from services.auth.domain.mail import EmailToken, Mail, MailKind, TokenPurpose
from services.auth.domain.session import Client
from services.auth.domain.user import User, normalise_email


class Recovery:
    """Use cases that give an account another password. They end its sessions, and its address gets a notice."""

    def __init__(
        self,
        units: UnitsOfWork,
        passwords: Passwords,
        secrets: SecretMaker,
        guard: LoginGuard,
        *,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._units = units
        self._passwords = passwords
        self._secrets = secrets
        self._guard = guard
        self._clock = clock
        self._ids = ids

    async def request_reset(self, email: str) -> None:
        """Send a token to the address, if it has an account. Raises InvalidValue for what is no address."""
        mail = Mail(self._ids.new_id(), MailKind.RESET, normalise_email(email), self._clock.now())
        async with self._units() as unit:
            await unit.mails.add(mail)
            await unit.commit()

    async def confirm_reset(self, secret: str, new_password: str, client: Client | None = None) -> None:
        """Set a password with a token from a mail. Raises InvalidValue; the token then stays good."""
        digest = self._secrets.digest(PURPOSE, secret)
        async with self._units() as unit:
            user = await self._owner(unit, await self._unused(unit, digest))
        # The hash takes its time: neither connection nor lock is held meanwhile.
        fresh = await self._passwords.new(new_password, _about(user), path="new_password")
        now = self._clock.now()
        async with self._units() as unit:
            token = await self._unused(unit, digest)
            if not await unit.users.set_password(user.user_id, fresh, now):
                raise bad_token()
            await unit.email_tokens.use(digest, now)
            await self._changed(unit, user)
            # The way back in for an owner whose address strangers keep waiting.
            await self._guard.vouch(unit, token.email, (client or Client()).address)
            await unit.commit()

    async def change(
        self, user_id: str, current: str, new_password: str, *, session_id: str = "", client: Client | None = None
    ) -> None:
        """Set a password with the old one; the session of the call goes on.

        Raises UserNotFound, TooManyAttempts, and InvalidValue naming the field.
        """
        client = client or Client()
        async with self._units() as unit:
            user = await unit.users.get(user_id)
        if user is None:
            raise UserNotFound
        attempt = await prove(self._guard, self._passwords, user, current, client)
        fresh = await self._passwords.new(new_password, _about(user), path="new_password")
        async with self._units() as unit:
            now = self._clock.now()
            if not await unit.users.set_password_hash(user_id, user.password_hash or "", fresh, now):
                raise wrong_password()  # it was changed meanwhile
            await self._changed(unit, user, keep=session_id)
            await self._guard.passed(unit, attempt)
            await unit.commit()

    async def _unused(self, unit: UnitOfWork, digest: bytes) -> EmailToken:
        token = await find_token(unit, digest, TokenPurpose.RESET, self._clock.now())
        if token.used_at is not None:
            raise bad_token()
        return token

    async def _owner(self, unit: UnitOfWork, token: EmailToken) -> User:
        user = await unit.users.get(token.user_id or "")
        if user is None:
            raise bad_token()
        return user

    async def _changed(self, unit: UnitOfWork, user: User, keep: str = "") -> None:
        now = self._clock.now()
        await close_all(unit, user.user_id, now, keep)
        # Somebody who could read the mail of before, or asked for another address, starts over.
        await unit.email_tokens.revoke_all(user.user_id, list(TokenPurpose))
        if user.email:
            notice = Mail(self._ids.new_id(), MailKind.PASSWORD_CHANGED, user.email, now, user.user_id)
            await unit.mails.add(notice)


async def prove(guard: LoginGuard, passwords: Passwords, user: User, password: str, client: Client) -> Attempt:
    """Whoever has found an open session does not take the account over with it: that needs its password too.

    Raises TooManyAttempts, InvalidValue.
    """
    if user.password_hash is None:
        wording = "cannot be right: this account has no password, ask for one by mail (reset-password)"
        raise InvalidValue([("current_password", wording)])
    attempt = await guard.enter(user.email or user.user_id, client.address, user.user_id)
    if not await passwords.verify(password, user.password_hash):
        raise wrong_password()
    return attempt


def wrong_password() -> InvalidValue:
    """What is said of a password that does not prove who calls."""
    return InvalidValue([("current_password", "is not the password of this account")])


def _about(user: User) -> list[str]:
    return [user.email or "", user.display_name]

"""Sessions: log in, refresh, log out."""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog

from services.auth.application.login_guard import Attempt, LoginGuard
from services.auth.application.passwords import Passwords
from services.auth.application.ports import Clock, Ids, SecretMaker, TokenSigner, UnitOfWork, UnitsOfWork
from services.auth.domain.errors import (
    CredentialExpired,
    CredentialInvalid,
    InvalidValue,
    LoginRefused,
    SessionNotFound,
)
from services.auth.domain.revocation import RevocationKind
from services.auth.domain.session import ACCESS_LIFETIME, REFRESH_LIFETIME, Client, RefreshToken, Session, Trade
from services.auth.domain.tokens import SessionTokens, TokenClaims, TokenKind
from services.auth.domain.user import User, normalise_email

REFRESH_GRACE = timedelta(seconds=10)
SESSIONS_SHOWN = 100
_PURPOSE = "refresh"
_REVOKED_ONE_BY_ONE = 50
"""Of more sessions than this that end at once one revocation of the user is made."""

_log = structlog.get_logger(__name__)


class Sessions:
    """Use cases around `Session`."""

    def __init__(
        self,
        units: UnitsOfWork,
        passwords: Passwords,
        secrets: SecretMaker,
        signer: TokenSigner,
        guard: LoginGuard,
        *,
        clock: Clock,
        ids: Ids,
        grace: timedelta = REFRESH_GRACE,
    ) -> None:
        """`grace`: how long after its use a refresh token gives a further pair, see `Session.trade`."""
        self._units = units
        self._passwords = passwords
        self._secrets = secrets
        self._signer = signer
        self._guard = guard
        self._clock = clock
        self._ids = ids
        self._grace = grace

    async def login(self, email: str, password: str, client: Client | None = None) -> SessionTokens:
        """Open a session.

        Raises LoginRefused, alike in wording and time for an unknown address, and TooManyAttempts.
        """
        client = client or Client()
        address = _address(email)
        user = await self._find(address)
        attempt = await self._guard.enter(address, client.address, user.user_id if user else None)
        for _ in range(2):
            stored = user.password_hash if user else None
            # No connection is held while the hash is computed.
            verified = await self._passwords.verify(password, stored)
            if user is None or stored is None or not verified:
                break
            tokens = await self._open(user, stored, attempt, client)
            if tokens is not None:
                await self._renew(user, stored, password)
                return tokens
            user = await self._find(address)  # the hash was replaced meanwhile: perhaps by one of the same password
        raise LoginRefused

    async def refresh(self, refresh_token: str, client: Client | None = None) -> SessionTokens:
        """Trade a refresh token for the next pair.

        Raises CredentialInvalid and CredentialExpired. A token that was used before revokes its session, but for the
        grace of `Session.trade`.
        """
        now = self._clock.now()
        digest = self._secrets.digest(_PURPOSE, refresh_token)
        async with self._units() as unit:
            found = await unit.sessions.lock_by_token(digest)
            if found is None:
                raise CredentialInvalid
            session, token = found
            trade = session.trade(token, now, self._grace)
            if trade not in {Trade.NEXT, Trade.FURTHER}:
                raise await self._refused(unit, session, trade, now)
            user = await unit.users.get(session.user_id)
            if user is None:
                raise CredentialInvalid
            session = session.traded(trade, client or Client(), now)
            secret, issued = self._new_token(session, now)
            await unit.sessions.trade(session, token, issued)
            await unit.commit()
        return self._answer(user, session, secret, issued, now)

    async def logout(self, refresh_token: str) -> None:
        """Close the session of a refresh token, also of a used or expired one; an unknown one is ignored."""
        digest = self._secrets.digest(_PURPOSE, refresh_token)
        async with self._units() as unit:
            found = await unit.sessions.lock_by_token(digest)
            if found is not None:
                session, _ = found
                await _close(unit, session.session_id, session.user_id, self._clock.now())
                await unit.commit()

    async def logout_all(self, user_id: str) -> None:
        """Close all sessions of the user."""
        async with self._units() as unit:
            await close_all(unit, user_id, self._clock.now())
            await unit.commit()

    async def list_of(self, user_id: str) -> list[Session]:
        """The user's open sessions, the one used last first."""
        async with self._units() as unit:
            return await unit.sessions.list_open(user_id, self._clock.now() - REFRESH_LIFETIME, SESSIONS_SHOWN)

    async def revoke(self, user_id: str, session_id: str) -> None:
        """Close one session of the user. Raises SessionNotFound, also for somebody else's."""
        async with self._units() as unit:
            if await unit.sessions.get(session_id, user_id) is None:
                raise SessionNotFound
            await _close(unit, session_id, user_id, self._clock.now())
            await unit.commit()

    async def purge(self) -> int:
        """Forget refresh tokens that ended a lifetime ago; how many."""
        async with self._units() as unit:
            count = await unit.sessions.purge(self._clock.now() - REFRESH_LIFETIME)
            await unit.commit()
        return count

    async def _find(self, address: str) -> User | None:
        async with self._units() as unit:
            return await unit.users.find_by_email(address)

    async def _open(self, user: User, stored: str, attempt: Attempt, client: Client) -> SessionTokens | None:
        """A session of the user; None when the password that was verified is no longer the account's."""
        now = self._clock.now()
        session = Session(self._ids.new_id(), user.user_id, now, client=client)
        secret, token = self._new_token(session, now)
        async with self._units() as unit:
            # Else a change of the password, which ends all sessions, could miss the one that is being made.
            if not await unit.users.holds_password(user.user_id, stored):
                return None
            await self._guard.passed(unit, attempt)
            await unit.sessions.add(session, token)
            await unit.commit()
        return self._answer(user, session, secret, token, now)

    async def _renew(self, user: User, stored: str, password: str) -> None:
        fresh = await self._passwords.renewed(password, stored)
        if fresh is not None:
            async with self._units() as unit:
                await unit.users.set_password_hash(user.user_id, stored, fresh, self._clock.now())
                await unit.commit()

    async def _refused(self, unit: UnitOfWork, session: Session, trade: Trade, now: datetime) -> Exception:
        if trade is Trade.EXPIRED:
            return CredentialExpired()
        if trade is Trade.REUSED:
            ids = {"session_id": session.session_id}
            _log.warning("refresh token used twice: session revoked", user_id=session.user_id, **ids)
            await _close(unit, session.session_id, session.user_id, now)
            await unit.audit.note("session.refresh_reused", session.user_id, ids)
            await unit.commit()  # the refusal must not undo it
        return CredentialInvalid()

    def _new_token(self, session: Session, now: datetime) -> tuple[str, RefreshToken]:
        secret = self._secrets.new_secret()
        digest = self._secrets.digest(_PURPOSE, secret)
        ends = now + REFRESH_LIFETIME
        return secret, RefreshToken(digest, session.session_id, now, ends, generation=session.generation)

    def _answer(self, user: User, session: Session, secret: str, token: RefreshToken, now: datetime) -> SessionTokens:
        claims = TokenClaims(
            kind=TokenKind.ACCESS,
            subject=user.user_id,
            role=user.role.value,
            issued_at=now,
            expires_at=now.replace(microsecond=0) + ACCESS_LIFETIME,
            session_id=session.session_id,
            plan=user.plan,
            authenticated_at=session.created_at,
        )
        return SessionTokens(
            self._signer.sign(claims), claims.expires_at, secret, token.expires_at, user.user_id, session.session_id
        )


async def close_all(unit: UnitOfWork, user_id: str, now: datetime, keep: str = "") -> None:
    """Close all open sessions of the user but `keep`, and revoke their tokens."""
    closed = await unit.sessions.revoke_all(user_id, now, keep)
    if len(closed) > _REVOKED_ONE_BY_ONE:
        await unit.revocations.add(RevocationKind.USER, user_id, now)
        return
    for session_id in closed:
        await unit.revocations.add(RevocationKind.SESSION, session_id, now)


async def _close(unit: UnitOfWork, session_id: str, user_id: str, now: datetime) -> None:
    if await unit.sessions.revoke(session_id, user_id, now):
        await unit.revocations.add(RevocationKind.SESSION, session_id, now)


def _address(email: str) -> str:
    """What an address is counted and looked for as; one that nobody can have is one more unknown address."""
    try:
        return normalise_email(email)
    except InvalidValue:
        return email.strip().lower()

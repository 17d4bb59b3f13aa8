"""Sessions: log in, refresh, log out."""

from __future__ import annotations

from datetime import datetime

import structlog

from services.auth.application.ports import (
    Clock,
    Ids,
    PasswordHasher,
    SecretMaker,
    TokenSigner,
    UnitOfWork,
    UnitsOfWork,
)
from services.auth.domain.errors import (
    CredentialExpired,
    CredentialInvalid,
    InvalidValue,
    LoginRefused,
)
from services.auth.domain.revocation import RevocationKind
from services.auth.domain.session import ACCESS_LIFETIME, REFRESH_LIFETIME, RefreshToken, Session
from services.auth.domain.tokens import SessionTokens, TokenClaims, TokenKind
from services.auth.domain.user import User, normalise_email

_PURPOSE = "refresh"

_log = structlog.get_logger(__name__)


class Sessions:
    """Use cases around `Session`."""

    def __init__(
        self,
        units: UnitsOfWork,
        hasher: PasswordHasher,
        secrets: SecretMaker,
        signer: TokenSigner,
        *,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._units = units
        self._hasher = hasher
        self._secrets = secrets
        self._signer = signer
        self._clock = clock
        self._ids = ids

    async def login(self, email: str, password: str) -> SessionTokens:
        """Open a session. Raises LoginRefused, alike in wording and time for an unknown address."""
        user = await self._find(email)
        stored = user.password_hash if user else None
        # No connection is held while the hash is computed.
        verified = await self._hasher.verify(password, stored)
        if user is None or stored is None or not verified:
            raise LoginRefused
        fresh = await self._hasher.hash(password) if self._hasher.is_outdated(stored) else None
        now = self._clock.now()
        session = Session(self._ids.new_id(), user.user_id, now)
        secret, token = self._new_token(session, now)
        async with self._units() as unit:
            if fresh is not None:
                await unit.users.set_password_hash(user.user_id, stored, fresh, now)
            await unit.sessions.add(session, token)
            await unit.commit()
        return self._answer(user, session, secret, token, now)

    async def refresh(self, refresh_token: str) -> SessionTokens:
        """Trade a refresh token for the next pair.

        Raises CredentialInvalid and CredentialExpired. A token that was used before revokes its session.
        """
        now = self._clock.now()
        digest = self._secrets.digest(_PURPOSE, refresh_token)
        async with self._units() as unit:
            session = await unit.sessions.use_token(digest, now)
            if session is None:
                raise await self._why_refused(unit, digest, now)
            user = await unit.users.get(session.user_id)
            if user is None:
                raise CredentialInvalid
            secret, token = self._new_token(session, now)
            await unit.sessions.add_token(token)
            await unit.commit()
        return self._answer(user, session, secret, token, now)

    async def logout(self, refresh_token: str) -> None:
        """Close the session of a refresh token, also of a used or expired one; an unknown one is ignored."""
        digest = self._secrets.digest(_PURPOSE, refresh_token)
        async with self._units() as unit:
            found = await unit.sessions.find_by_token(digest)
            if found is not None:
                session, _ = found
                now = self._clock.now()
                await unit.sessions.revoke(session.session_id, session.user_id, now)
                await unit.revocations.add(RevocationKind.SESSION, session.session_id, now)
                await unit.commit()

    async def purge(self) -> int:
        """Forget refresh tokens that ended a lifetime ago; how many."""
        async with self._units() as unit:
            count = await unit.sessions.purge(self._clock.now() - REFRESH_LIFETIME)
            await unit.commit()
        return count

    async def _find(self, email: str) -> User | None:
        try:
            address = normalise_email(email)
        except InvalidValue:
            return None  # an address nobody can have is one more unknown address
        async with self._units() as unit:
            return await unit.users.find_by_email(address)

    async def _why_refused(self, unit: UnitOfWork, digest: bytes, now: datetime) -> Exception:
        found = await unit.sessions.find_by_token(digest)
        if found is None:
            return CredentialInvalid()
        session, token = found
        if token.used_at is not None:
            if session.active:
                _log.warning(
                    "refresh token used twice: session revoked",
                    session_id=session.session_id,
                    user_id=session.user_id,
                )
            await unit.sessions.revoke(session.session_id, session.user_id, now)
            await unit.revocations.add(RevocationKind.SESSION, session.session_id, now)
            await unit.commit()  # the refusal must not undo it
            return CredentialInvalid()
        return CredentialInvalid() if not session.active else CredentialExpired()

    def _new_token(self, session: Session, now: datetime) -> tuple[str, RefreshToken]:
        secret = self._secrets.new_secret()
        digest = self._secrets.digest(_PURPOSE, secret)
        return secret, RefreshToken(digest, session.session_id, now, now + REFRESH_LIFETIME)

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
        return SessionTokens(self._signer.sign(claims), claims.expires_at, secret, token.expires_at)

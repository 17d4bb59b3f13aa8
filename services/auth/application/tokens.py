"""Tokens for use inside of the deployment: in a user's name, and of a service itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.auth.application.api_keys import PURPOSE as API_KEY_PURPOSE
from services.auth.application.identities import Identities
from services.auth.application.identity_ports import ExternalTokens
from services.auth.application.ports import Clock, SecretMaker, TokenSigner, UnitsOfWork
from services.auth.domain.api_key import api_key_id_of
from services.auth.domain.errors import CredentialExpired, CredentialInvalid
from services.auth.domain.service_client import ServiceClients
from services.auth.domain.tokens import (
    INTERNAL_LIFETIME,
    SERVICE_LIFETIME,
    SERVICE_ROLE,
    InternalToken,
    TokenClaims,
    TokenKind,
)
from services.auth.domain.user import User

_USE_NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class External:
    """What tokens of other issuers are read with, and whose users they name."""

    tokens: ExternalTokens
    identities: Identities


class Tokens:
    """Use cases of the TokenService."""

    def __init__(
        self,
        units: UnitsOfWork,
        secrets: SecretMaker,
        signer: TokenSigner,
        clients: ServiceClients,
        clock: Clock,
        external: External | None = None,
    ) -> None:
        """`external`: what other issuers sign; None where there are none."""
        self._units = units
        self._secrets = secrets
        self._signer = signer
        self._clients = clients
        self._clock = clock
        self._external = external

    async def exchange_api_key(self, text: str) -> InternalToken:
        """An internal token for the key's owner, restricted to its scopes.

        Raises CredentialInvalid, CredentialExpired.
        """
        key_id = api_key_id_of(text)
        now = self._clock.now()
        async with self._units() as unit:
            key = await unit.api_keys.find(key_id)
            # Only who knows the secret learns that a key has ended.
            if key is None or not self._secrets.matches(API_KEY_PURPOSE, text, key.digest):
                raise CredentialInvalid
            key.check_usable(now)
            user = await unit.users.get(key.user_id)
            if key.last_used_at is None or now - key.last_used_at >= _USE_NOTED_EVERY:
                await unit.api_keys.touch(key_id, now)
                await unit.commit()
        if user is None:
            raise CredentialInvalid
        return self._internal(user, now, key.expires_at, scopes=key.scopes or None, api_key_id=key.api_key_id)

    async def exchange_access_token(self, token: str) -> InternalToken:
        """An internal token for the user whom the token names, with the role that the user has now.

        Raises CredentialInvalid (also for a revoked session), CredentialExpired, and IssuerAway for another issuer's.
        """
        if self._external is not None and self._external.tokens.is_foreign(token):
            return await self._exchange_external(token, self._external)
        access = self._signer.read_access(token)
        now = self._clock.now()
        if access.expires_at <= now:  # exactly: the signer may forgive a few seconds of clock difference
            raise CredentialExpired
        async with self._units() as unit:
            session = await unit.sessions.get(access.session_id, access.user_id)
            user = await unit.users.get(access.user_id)
            revoked_at = await unit.revocations.user_revoked_at(access.user_id)
        if session is None or not session.active or user is None:
            raise CredentialInvalid
        if revoked_at is not None and access.issued_at < revoked_at:
            raise CredentialInvalid
        return self._internal(
            user, now, access.expires_at, session_id=session.session_id, authenticated_at=session.created_at
        )

    async def _exchange_external(self, token: str, external: External) -> InternalToken:
        person = await external.tokens.read(token)
        now = self._clock.now()
        if person.expires_at <= now:  # exactly, as above
            raise CredentialExpired
        user = await external.identities.user_of(person)
        async with self._units() as unit:
            revoked_at = await unit.revocations.user_revoked_at(user.user_id)
        if revoked_at is not None and person.issued_at < revoked_at:
            raise CredentialInvalid
        return self._internal(user, now, person.expires_at, authenticated_at=person.authenticated_at)

    def issue_service_token(self, service_id: str, secret: str) -> tuple[str, datetime]:
        """A service's own token and its end. Raises CredentialInvalid, alike for an unknown service."""
        if not self._clients.accepts(service_id, secret):
            raise CredentialInvalid("unknown service or wrong secret")
        issued = self._clock.now().replace(microsecond=0)
        claims = TokenClaims(TokenKind.SERVICE, service_id, SERVICE_ROLE, issued, issued + SERVICE_LIFETIME)
        return self._signer.sign(claims), claims.expires_at

    def jwks_json(self) -> str:
        """The public keys as a JWK Set."""
        return self._signer.jwks_json()

    def _internal(self, user: User, now: datetime, credential_end: datetime | None, **more: Any) -> InternalToken:
        end = now.replace(microsecond=0) + INTERNAL_LIFETIME
        if credential_end is not None:
            end = min(end, credential_end.replace(microsecond=0))
        claims = TokenClaims(TokenKind.INTERNAL, user.user_id, user.role.value, now, end, plan=user.plan, **more)
        return InternalToken(
            self._signer.sign(claims),
            end,
            user.user_id,
            user.role,
            user.plan,
            claims.session_id or "",
            claims.api_key_id or "",
        )

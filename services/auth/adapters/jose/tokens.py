"""Tokens as signed JWTs that `services.runtime.tokens` verifies."""

from __future__ import annotations

import json
from typing import Any

from joserfc import jws, jwt

from services.auth.adapters.jose.keyring import KeyRing
from services.auth.application.ports import Clock, Ids
from services.auth.domain.errors import CredentialExpired, CredentialInvalid
from services.auth.domain.tokens import AccessToken, TokenClaims, TokenKind
from services.runtime.tokens import (
    AUDIENCE,
    ISSUER,
    CredentialError,
    Revoked,
    TokenVerifier,
)
from t2m.common.v1.error_reason_pb2 import ErrorReason

_TYPES = {TokenKind.ACCESS: "at+jwt", TokenKind.INTERNAL: "int+jwt", TokenKind.SERVICE: "svc+jwt"}
"""The `typ` header keeps one kind from being taken for another (RFC 8725, 3.11)."""
_ALGORITHM = "Ed25519"
_SESSION_CLAIM = "sid"


class JoseTokens:
    """`TokenSigner` over a ring of Ed25519 keys."""

    def __init__(self, ring: KeyRing, clock: Clock, ids: Ids, revoked: Revoked | None = None) -> None:
        """`revoked` says what the verifier refuses although it is genuine."""
        self._ring = ring
        self._ids = ids
        self.verifier = TokenVerifier(ring, clock, revoked)
        """Verifies what these keys signed; also for the service's own calls."""

    def sign(self, claims: TokenClaims) -> str:
        """The token."""
        issued = claims.issued_at.timestamp()
        payload: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": claims.subject,
            "role": claims.role,
            # With its fraction: the revocation of all of a user's tokens must not hit one made within the same second.
            "iat": int(issued) if issued.is_integer() else issued,
            "nbf": int(issued),
            "exp": int(claims.expires_at.timestamp()),
            "jti": self._ids.new_id(),
        }
        if claims.scopes is not None:
            payload["scope"] = " ".join(claims.scopes)
        if claims.plan:
            payload["plan"] = claims.plan
        if claims.session_id is not None:
            payload[_SESSION_CLAIM] = claims.session_id
        if claims.api_key_id is not None:
            payload["akid"] = claims.api_key_id
        if claims.authenticated_at is not None:
            payload["auth_time"] = int(claims.authenticated_at.timestamp())
        key = self._ring.signing_key()
        header = {"alg": _ALGORITHM, "kid": key.kid, "typ": _TYPES[claims.kind]}
        return jwt.encode(header, payload, key, algorithms=[_ALGORITHM])

    def read_access(self, token: str) -> AccessToken:
        """What an access token says. Raises CredentialExpired, CredentialInvalid."""
        try:
            principal = self.verifier.verify(token)
        except CredentialError as exc:
            if exc.reason == ErrorReason.ERROR_REASON_CREDENTIAL_EXPIRED:
                raise CredentialExpired from exc
            raise CredentialInvalid from exc
        # The signature was checked above; this only reads on.
        compact = jws.extract_compact(token.encode("ascii"))
        session_id = json.loads(compact.payload).get(_SESSION_CLAIM)
        if compact.headers().get("typ") != _TYPES[TokenKind.ACCESS] or not isinstance(session_id, str):
            raise CredentialInvalid
        issued_at = principal.issued_at
        assert issued_at is not None, "the verifier demands iat"
        return AccessToken(principal.subject, session_id, principal.expires_at, issued_at)

    def jwks_json(self) -> str:
        """The public keys as a JWK Set."""
        return self._ring.jwks_json

"""Tokens that services verify offline: signed JWTs whose key comes from a `KeySource`.

The algorithm follows from the key, never from the token's header. Issuer, audience, `exp`, `iat`, `nbf` and
`jti` are always demanded. A verified token is remembered (the signature costs about 120 µs) for as long as it
is valid and its key is still published.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import grpc
from joserfc import jws, jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import ECKey, Key, KeySet, OKPKey

from services.runtime.clock import Clock, SystemClock
from services.runtime.errors import ServiceError
from services.runtime.identity import Principal, Role
from services.runtime.ids import new_id
from t2m.common.v1.error_reason_pb2 import ErrorReason

ISSUER = "t2m-auth"
AUDIENCE = "t2m"
LEEWAY_S = 60
"""Clock difference between machines that is forgiven, in seconds ("no more than a few minutes", RFC 7519 4.1.4)."""
_REMEMBERED = 4096
_ESSENTIAL = ("sub", "role", "exp", "iat", "nbf", "jti")


class CredentialError(ServiceError):
    """The token is not accepted; UNAUTHENTICATED."""

    def __init__(self, message: str, reason: int = ErrorReason.ERROR_REASON_CREDENTIAL_INVALID) -> None:
        super().__init__(grpc.StatusCode.UNAUTHENTICATED, reason, message)


class UnknownKeyError(CredentialError):
    """The token names a key that the source does not know (yet)."""

    def __init__(self, kid: str) -> None:
        super().__init__("the token is signed with an unknown key")
        self.kid = kid


class KeySource(Protocol):
    """Public keys by key id."""

    def find(self, kid: str) -> Key | None:
        """The key, if it is known here and now; never waits."""
        ...

    async def refresh(self) -> None:
        """Learn new keys, if there may be any.

        Raises ServiceError (UNAVAILABLE) when no keys were ever learnt and none can be.
        """
        ...


class StaticKeys:
    """Keys that are known from the start: auth's own, or a test's."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = {str(key.kid): key for key in keys}

    def find(self, kid: str) -> Key | None:
        """The key with this id."""
        return self._keys.get(kid)

    async def refresh(self) -> None:
        """Nothing can be new."""


def parse_jwks(document: str) -> dict[str, Key]:
    """The usable keys of a JWK Set by key id; keys of another kind than the pinned two are left out.

    Raises ValueError when the document is no JWK Set.
    """
    try:
        keys = KeySet.import_key_set(json.loads(document)).keys
    except (JoseError, TypeError, KeyError) as exc:
        raise ValueError(f"not a JWK Set: {exc}") from exc
    return {str(key.kid): key for key in keys if key.kid and algorithms_of(key)}


def algorithms_of(key: Key) -> list[str]:
    """The signature algorithms a key is good for: the curve decides. Empty for kinds that are not accepted.

    `EdDSA` is the older name (RFC 8037) of what RFC 9864 calls `Ed25519`.
    """
    if isinstance(key, OKPKey) and key.curve_name == "Ed25519":
        return ["Ed25519", "EdDSA"]
    if isinstance(key, ECKey) and key.curve_name == "P-256":
        return ["ES256"]
    return []


class TokenSigner:
    """Makes tokens that `TokenVerifier` accepts; only auth (and tests) hold a private key."""

    def __init__(self, key: Key, clock: Clock | None = None) -> None:
        algorithms = algorithms_of(key)
        if not algorithms or not key.kid or not key.is_private:
            raise ValueError("needs a private Ed25519 or P-256 key with a key id")
        self._key = key
        self._algorithm = algorithms[0]
        self._clock = clock or SystemClock()

    def sign(
        self, subject: str, role: Role, lifetime: timedelta, scopes: Iterable[str] | None = None, plan: str = ""
    ) -> tuple[str, datetime]:
        """A token for the subject and when it ends; `scopes` None means unrestricted."""
        now = int(self._clock.now().timestamp())
        expires = now + int(lifetime.total_seconds())
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "role": role.value,
            "iat": now,
            "nbf": now,
            "exp": expires,
            "jti": new_id(),
        }
        if scopes is not None:
            claims["scope"] = " ".join(sorted(scopes))
        if plan:
            claims["plan"] = plan
        header = {"alg": self._algorithm, "kid": self._key.kid}
        token = jwt.encode(header, claims, self._key, algorithms=[self._algorithm])
        return token, datetime.fromtimestamp(expires, UTC)


@dataclass(frozen=True, slots=True)
class _Verified:
    principal: Principal
    kid: str
    key: Key


class Revoked(Protocol):
    """What ended before its tokens did."""

    def covers(self, principal: Principal) -> bool:
        """Whether the token that names this principal was revoked."""
        ...

    def watch(self, principal: Principal, end: Callable[[], None]) -> Callable[[], None]:
        """Call `end` once when the principal's token is revoked; what is returned stops the watch."""
        ...


class TokenVerifier:
    """Turns a token into the principal that it names."""

    def __init__(self, keys: KeySource, clock: Clock | None = None, revoked: Revoked | None = None) -> None:
        self._keys = keys
        self._clock = clock or SystemClock()
        self._revoked = revoked
        self._verified: dict[str, _Verified] = {}
        self._watched: set[tuple[str, Callable[[], None]]] = set()

    def verify(self, token: str) -> Principal:
        """Check the token against the keys known now.

        Raises UnknownKeyError when its key is not among them, CredentialError when it is expired, revoked or not
        acceptable.
        """
        principal = self._genuine(token)
        if self._revoked is not None and self._revoked.covers(principal):
            raise revoked_error()
        return principal

    def watch(self, principal: Principal, end: Callable[[], None]) -> Callable[[], None]:
        """Call `end` when the principal's token is revoked, or its key withdrawn; what is returned stops the watch."""
        entry = (_key_id(principal.token), end)
        self._watched.add(entry)
        unwatch = self._revoked.watch(principal, end) if self._revoked is not None else None

        def stop() -> None:
            self._watched.discard(entry)
            if unwatch is not None:
                unwatch()

        return stop

    def void(self, kids: Collection[str]) -> None:
        """End what was let in by tokens of these keys, which somebody else may have."""
        for entry in [each for each in self._watched if each[0] in kids]:
            self._watched.discard(entry)
            entry[1]()

    def _genuine(self, token: str) -> Principal:
        known = self._verified.get(token)
        if known is not None and self._keys.find(known.kid) is known.key:
            if self._clock.now() < known.principal.expires_at + timedelta(seconds=LEEWAY_S):
                return known.principal
            del self._verified[token]
            raise _expired()
        kid = _key_id(token)
        key = self._keys.find(kid)
        if key is None:
            raise UnknownKeyError(kid)
        principal = self._check(token, key)
        if len(self._verified) >= _REMEMBERED:
            del self._verified[next(iter(self._verified))]
        self._verified[token] = _Verified(principal, kid, key)
        return principal

    async def authenticate(self, token: str) -> Principal:
        """`verify`, learning new keys once when the token's key is unknown.

        Raises ServiceError (UNAVAILABLE) when there are no keys at all and auth is away.
        """
        try:
            return self.verify(token)
        except UnknownKeyError:
            await self._keys.refresh()
            return self.verify(token)

    def _check(self, token: str, key: Key) -> Principal:
        registry = jwt.JWTClaimsRegistry(
            now=lambda: int(self._clock.now().timestamp()),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": ISSUER},
            aud={"essential": True, "value": AUDIENCE},
            **{name: {"essential": True} for name in _ESSENTIAL},  # type: ignore[arg-type]
        )
        try:
            claims = jwt.decode(token, key, algorithms=algorithms_of(key)).claims
            registry.validate(claims)
            return _principal(token, claims)
        except ExpiredTokenError:
            raise _expired() from None
        except (JoseError, ValueError, TypeError, KeyError) as exc:
            raise CredentialError("the token is not valid") from exc


def revoked_error() -> CredentialError:
    """What the holder of a token is told whose credential was ended."""
    return CredentialError("the credential was revoked")


def _expired() -> CredentialError:
    return CredentialError("the token has expired", ErrorReason.ERROR_REASON_CREDENTIAL_EXPIRED)


def _key_id(token: str) -> str:
    """The key id that the token's header names. Raises CredentialError when there is none to be read."""
    try:
        kid = jws.extract_compact(token.encode("ascii")).headers().get("kid")
    except (JoseError, ValueError) as exc:
        raise CredentialError("the token is malformed") from exc
    if not isinstance(kid, str) or not kid:
        raise CredentialError("the token names no key")
    return kid


def _principal(token: str, claims: Mapping[str, Any]) -> Principal:
    scope = claims.get("scope")
    subject = claims["sub"]
    if not isinstance(subject, str) or not subject:
        raise ValueError("sub is not a name")
    auth_time = claims.get("auth_time")
    return Principal(
        subject=subject,
        role=Role(claims["role"]),
        scopes=None if scope is None else frozenset(str(scope).split()),
        token=token,
        expires_at=datetime.fromtimestamp(int(claims["exp"]), UTC),
        plan=str(claims.get("plan", "")),
        session_id=str(claims.get("sid", "")),
        api_key_id=str(claims.get("akid", "")),
        issued_at=datetime.fromtimestamp(float(claims["iat"]), UTC),
        authenticated_at=None if auth_time is None else datetime.fromtimestamp(int(auth_time), UTC),
    )

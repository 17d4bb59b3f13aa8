"""Reads tokens of the configured issuers: which may have made it, whether they did, whom it names."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import Key
from joserfc.jws import JWSRegistry

from services.auth.adapters.oidc.issuer import OidcIssuer
from services.auth.adapters.oidc.keys import MIN_INTERVAL_S, IssuerKeys, new_http_client
from services.auth.application.ports import Clock
from services.auth.domain.errors import CredentialExpired, CredentialInvalid, InvalidValue, IssuerAway
from services.auth.domain.identity import ExternalPerson
from services.auth.domain.revocation import EXTERNAL_LIFETIME_MAX
from services.auth.domain.user import Role, normalise_email

_TOKEN_MAX = 8192
_SUBJECT_MAX = 255
_TYPES = frozenset({"jwt", "at+jwt"})
"""Of `typ`, in lower case, where there is one. Kinds that this deployment signs for itself are not among them."""
_REFUSED_HEADERS = frozenset({"jwk", "jku", "x5c", "x5u", "crit", "b64", "zip", "enc"})
"""With these a token brings its own key, or wants to be read in some other way."""


class OidcTokens:
    """`ExternalTokens` over any number of issuers."""

    def __init__(
        self,
        issuers: Sequence[OidcIssuer],
        clock: Clock,
        http: httpx.AsyncClient | None = None,
        *,
        min_interval_s: float = MIN_INTERVAL_S,
    ) -> None:
        self._clock = clock
        self._http = http or new_http_client()
        self._issuers = {
            each.issuer: (each, IssuerKeys(each, self._http, min_interval_s=min_interval_s)) for each in issuers
        }

    def is_foreign(self, token: str) -> bool:
        """Whether its unverified `iss` is exactly the name of a configured issuer."""
        return self._trusted(token) is not None

    async def read(self, token: str) -> ExternalPerson:
        """Whom the token names. Raises CredentialInvalid, CredentialExpired, IssuerAway."""
        trusted = self._trusted(token)
        if trusted is None:
            raise CredentialInvalid
        issuer, keys = trusted
        kid = _checked_header(token, issuer)
        key = await keys.find(kid)
        if key is None:
            raise CredentialInvalid if keys.known else IssuerAway
        claims = self._verified(token, key, issuer)
        return _person(claims, issuer, self._age_checked(claims))

    async def renew_keys(self) -> None:
        """Learn what has changed at the issuers, beside the calls."""
        for _, keys in self._issuers.values():
            await keys.renew()

    async def close(self) -> None:
        """Give back connections."""
        await self._http.aclose()

    def _trusted(self, token: str) -> tuple[OidcIssuer, IssuerKeys] | None:
        if len(token) > _TOKEN_MAX or token.count(".") != 2:
            return None
        try:
            name = _decoded(token.split(".")[1]).get("iss")
        except ValueError:
            return None
        return self._issuers.get(name) if isinstance(name, str) else None

    def _verified(self, token: str, key: Key, issuer: OidcIssuer) -> dict[str, Any]:
        registry = JWSRegistry(algorithms=issuer.algorithms, strict_check_header=False)
        try:
            claims = jwt.decode(token, key, algorithms=issuer.algorithms, registry=registry, decoder_cls=_Strict).claims
            self._rules(issuer).validate(claims)
        except ExpiredTokenError:
            raise CredentialExpired from None
        except (JoseError, ValueError, TypeError, KeyError, OverflowError) as exc:
            raise CredentialInvalid from exc
        if issuer.authorized_parties and not _is_one_of(claims.get("azp"), issuer.authorized_parties):
            raise CredentialInvalid
        if any(_is_one_of(claims.get(name), values) for name, values in issuer.refused_claims.items()):
            raise CredentialInvalid
        return claims

    def _rules(self, issuer: OidcIssuer) -> jwt.JWTClaimsRegistry:
        essential = {"sub", "exp", "iat", *issuer.required_claims}
        if issuer.authorized_parties:
            essential.add("azp")
        rules: dict[str, jwt.ClaimsOption] = {name: {"essential": True} for name in essential}
        rules["iss"] = {"essential": True, "value": issuer.issuer}
        if issuer.audience:
            rules["aud"] = {"essential": True, "value": issuer.audience}
        now = int(self._clock.now().timestamp())
        return jwt.JWTClaimsRegistry(now=now, leeway=issuer.leeway_s, **rules)

    def _age_checked(self, claims: Mapping[str, Any]) -> datetime:
        """When it was issued. However late it ends by itself, revocations reach back only so far."""
        issued_at = _moment(claims["iat"])
        if issued_at + EXTERNAL_LIFETIME_MAX <= self._clock.now():
            raise CredentialExpired
        return issued_at


class _Strict(json.JSONDecoder):
    """Refuses what two readers could read in two ways."""

    def __init__(self) -> None:
        super().__init__(object_pairs_hook=_without_repeats, parse_constant=_no_constant)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is repeated")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _decoded(part: str) -> dict[str, Any]:
    """The JSON object of a token's part. Raises ValueError."""
    try:
        document = json.loads(base64.b64decode(part + "=" * (-len(part) % 4), "-_", validate=True), cls=_Strict)
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - it is the text that is wrong
    return document


def _checked_header(token: str, issuer: OidcIssuer) -> str:
    """The key id that the header names. Raises CredentialInvalid."""
    try:
        header = _decoded(token.partition(".")[0])
    except ValueError as exc:
        raise CredentialInvalid from exc
    kid, kind = header.get("kid"), header.get("typ", "jwt")
    if header.get("alg") not in issuer.algorithms or not _REFUSED_HEADERS.isdisjoint(header):
        raise CredentialInvalid
    if not isinstance(kid, str) or not kid or not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise CredentialInvalid
    return kid


def _person(claims: Mapping[str, Any], issuer: OidcIssuer, issued_at: datetime) -> ExternalPerson:
    subject = claims["sub"]
    if not subject or len(subject) > _SUBJECT_MAX or "\0" in subject:
        raise CredentialInvalid
    name = claims.get("name")
    return ExternalPerson(
        issuer=issuer.issuer,
        subject=subject,
        issued_at=issued_at,
        expires_at=_moment(claims["exp"]),
        email=_verified_email(claims),
        name=name if isinstance(name, str) else "",
        role=_role(claims, issuer),
        authenticated_at=_authenticated_at(claims, issued_at),
        may_link=issuer.link_verified_email,
    )


def _verified_email(claims: Mapping[str, Any]) -> str | None:
    email, verified = claims.get("email"), claims.get("email_verified")
    # "true" in quotes is what some templates of claims make of it.
    if not isinstance(email, str) or not (verified is True or verified == "true"):
        return None
    try:
        return normalise_email(email)
    except InvalidValue:
        return None


def _role(claims: Mapping[str, Any], issuer: OidcIssuer) -> Role | None:
    if not issuer.role_claim:
        return None
    value: Any = claims
    for step in issuer.role_claim.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return issuer.roles.get(value, Role.USER) if isinstance(value, str) else Role.USER


def _authenticated_at(claims: Mapping[str, Any], issued_at: datetime) -> datetime | None:
    """`auth_time` of OpenID Connect, or Clerk's `fva`: minutes since the first factor was checked."""
    auth_time, ages = claims.get("auth_time"), claims.get("fva")
    if _is_number(auth_time):
        return min(_moment(auth_time), issued_at)
    if isinstance(ages, list) and ages and _is_number(ages[0]) and 0 <= ages[0] <= 1_000_000:
        return issued_at - timedelta(minutes=ages[0] + 1)  # whole minutes: it may have been nearly one more
    return None


def _is_one_of(value: object, allowed: frozenset[str]) -> bool:
    return isinstance(value, str) and value in allowed


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _moment(value: Any) -> datetime:
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except (OverflowError, ValueError, OSError) as exc:
        raise CredentialInvalid from exc

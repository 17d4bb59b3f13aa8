"""What the deployment trusts of one issuer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from services.auth.domain.user import Role

ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "Ed25519", "EdDSA"})
"""What may be pinned: signatures by a private key. A shared secret or no signature at all is never accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcIssuer:
    """An issuer, and what its tokens must say."""

    issuer: str
    """The exact `iss` of its tokens."""
    jwks_url: str = ""
    """Its keys; empty: where `{issuer}/.well-known/openid-configuration` says."""
    audience: str = ""
    """Must be (among) the `aud`; empty: not looked at."""
    authorized_parties: frozenset[str] = frozenset()
    """The `azp` must be one of these; empty: not looked at."""
    algorithms: tuple[str, ...] = ("RS256",)
    leeway_s: int = 30
    """Clock difference that is forgiven in iat and nbf. A token's end is its end."""
    required_claims: frozenset[str] = frozenset()
    """Beside iss, sub, exp and iat."""
    refused_claims: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Values that make a token worthless, by claim."""
    role_claim: str = ""
    """Dotted path of the claim that says the role; empty: roles are not the issuer's business."""
    roles: Mapping[str, Role] = field(default_factory=dict)
    """What a value of that claim means; a user for any other."""
    link_verified_email: bool = False
    allow_loopback: bool = False
    """Whether it may be reached without TLS on this machine."""


def check_url(url: str, *, allow_loopback: bool) -> None:
    """Return when keys may be fetched from there. Raises ValueError."""
    parts = urlsplit(url)
    if not parts.hostname or parts.username is not None or parts.fragment:
        raise ValueError(f"{url!r} is no plain web address")
    if parts.scheme == "https" or (parts.scheme == "http" and allow_loopback and _is_loopback(parts.hostname)):
        return
    raise ValueError(f"{url!r} must begin with https://")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""An issuer as the environment describes it."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.auth.adapters.oidc.issuer import ALGORITHMS, OidcIssuer, check_url
from services.auth.domain.user import Role
from services.runtime.tokens import ISSUER


class OidcIssuerSettings(BaseModel):
    """An issuer in `T2M_OIDC_ISSUERS`; the README has an example for Clerk."""

    model_config = ConfigDict(extra="forbid")

    issuer: str
    """The exact `iss` of its tokens."""
    jwks_url: str = ""
    """Its keys; empty: found by `{issuer}/.well-known/openid-configuration`."""
    audience: str = ""
    authorized_parties: frozenset[str] = frozenset()
    """Allowed values of `azp`. This or `audience` must be set: the issuer has other customers too."""
    algorithms: tuple[str, ...] = Field(default=("RS256",), min_length=1)
    leeway_s: int = Field(default=30, ge=0, le=300)
    """Clock difference that is forgiven in iat and nbf, in seconds."""
    required_claims: frozenset[str] = frozenset()
    """Beside iss, sub, exp and iat."""
    refused_claims: dict[str, frozenset[str]] = Field(default_factory=dict)
    """Values that make a token worthless, by claim."""
    role_claim: str = ""
    """Dotted path of the claim that says the role; empty: roles are given here, by an admin."""
    roles: dict[str, Role] = Field(default_factory=dict)
    """What a value of that claim means; a user for any other."""
    link_verified_email: bool = False
    """Whether an address that the issuer has verified opens the local account with the same verified address."""

    @model_validator(mode="after")
    def _says_for_whom(self) -> Self:
        if not self.audience and not self.authorized_parties:
            raise ValueError("audience or authorized_parties must be set")
        if unknown := set(self.algorithms) - ALGORITHMS:
            raise ValueError(f"algorithms: {', '.join(sorted(unknown))} cannot be used")
        if self.issuer == ISSUER:
            raise ValueError("issuer: this is the name of this service itself")
        return self

    def trusted(self, *, allow_loopback: bool) -> OidcIssuer:
        """What the adapter goes by. Raises ValueError for an address from which keys cannot be fetched safely."""
        for url in filter(None, (self.issuer, self.jwks_url)):
            check_url(url, allow_loopback=allow_loopback)
        return OidcIssuer(**dict(self), allow_loopback=allow_loopback)

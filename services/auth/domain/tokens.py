"""Tokens as auth means them; how they are signed is an adapter's matter."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from services.auth.domain.user import Role

INTERNAL_LIFETIME = timedelta(minutes=5)
"""How long a revoked credential can still act where nobody hears of revocations."""
SERVICE_LIFETIME = timedelta(minutes=15)
SERVICE_ROLE = "service"


class TokenKind(StrEnum):
    """What a token is for.

    Only an access token can be exchanged; else an internal token could renew itself for ever.
    """

    ACCESS = "access"
    INTERNAL = "internal"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """What a token to be signed says. All times but `issued_at` have whole seconds."""

    kind: TokenKind
    subject: str
    role: str
    issued_at: datetime
    expires_at: datetime
    scopes: tuple[str, ...] | None = None
    """None for unrestricted."""
    session_id: str | None = None
    plan: str = ""
    api_key_id: str | None = None
    authenticated_at: datetime | None = None
    """When the person last proved who they are."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a verified access token said."""

    user_id: str
    session_id: str
    expires_at: datetime
    issued_at: datetime


@dataclass(frozen=True, slots=True)
class SessionTokens:
    """What a client holds of its session."""

    access_token: str = field(repr=False)
    expires_at: datetime
    refresh_token: str = field(repr=False)
    refresh_expires_at: datetime
    user_id: str = ""
    session_id: str = ""


@dataclass(frozen=True, slots=True)
class InternalToken:
    """What the gateway passes on in the user's name."""

    token: str = field(repr=False)
    expires_at: datetime
    user_id: str
    role: Role
    plan: str = ""
    session_id: str = ""
    api_key_id: str = ""
    """Of the credential that was exchanged, whichever it was."""

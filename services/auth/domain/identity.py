"""People whom another issuer vouches for (Clerk, or any OpenID Connect provider)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.auth.domain.user import Role


@dataclass(frozen=True, slots=True)
class ExternalPerson:
    """What a verified token of another issuer says."""

    issuer: str
    subject: str
    """The person's id at the issuer: unique and never given to anybody else, which an address is not."""
    issued_at: datetime
    expires_at: datetime
    email: str | None = None
    """Normalised; None unless the issuer has verified it."""
    name: str = ""
    role: Role | None = None
    """None where roles are not the issuer's business."""
    authenticated_at: datetime | None = None
    """When the person last proved who they are, where the issuer says so."""
    may_link: bool = False
    """Whether this issuer's word on an address opens the local account that has the same verified address."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which user a person is."""

    issuer: str
    subject: str
    user_id: str
    changed_at: datetime
    """Issue time of the newest token whose claims were taken over; older ones change nothing."""
    linked: bool = False
    """Whether the account was there before: then its name, address and role are not the issuer's."""

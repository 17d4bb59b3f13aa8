"""Sessions: a family of refresh tokens of which only the newest works."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

ACCESS_LIFETIME = timedelta(minutes=15)
REFRESH_LIFETIME = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Session:
    """A login and everything that was refreshed from it."""

    session_id: str
    user_id: str
    created_at: datetime
    revoked_at: datetime | None = None

    @property
    def active(self) -> bool:
        """Whether it has not been closed or revoked."""
        return self.revoked_at is None


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """One link of a session's chain; only a digest of what the client holds."""

    digest: bytes = field(repr=False)
    session_id: str
    issued_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    """When it was traded for the next one. A second use after that means that somebody else has it."""

"""The erasure of an account: open until every service has nothing of the user any more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

FRESH_LOGIN = timedelta(minutes=10)
"""Whoever erases an account has logged in within this time."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure as it is now."""

    erasure_id: str
    user_id: str
    requested_at: datetime
    completed_at: datetime | None = None
    waiting_for: tuple[str, ...] = ()
    """Services that have not acknowledged it, in the order in which they may."""

    def is_turn_of(self, service: str) -> bool:
        """Whether all services before this one have acknowledged."""
        return self.waiting_for[:1] == (service,)


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """One thing that is kept of a user: what kind of thing, and a JSON object."""

    section: str
    json: str

"""Time as a collaborator, so that nothing reads the wall clock behind a test's back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time; always an aware datetime in UTC."""

    def now(self) -> datetime:
        """The current moment."""
        ...


class SystemClock:
    """The wall clock of the machine."""

    def now(self) -> datetime:
        """The current moment, in UTC."""
        return datetime.now(UTC)

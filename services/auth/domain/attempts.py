"""Wrong passwords are counted, and make whoever sends them wait."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

KNOWN_FOR = timedelta(days=90)
"""How long a client that logged in to an account is counted by itself."""


@dataclass(frozen=True, slots=True)
class AttemptLimits:
    """How many failures are free, and how the wait grows after them: it doubles, up to a bound."""

    free: int
    first_wait: timedelta = timedelta(seconds=2)
    longest_wait: timedelta = timedelta(minutes=15)
    forgotten_after: timedelta = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Attempts:
    """What is known of one key: an address, a client, or a client at an address."""

    failures: int
    blocked_until: datetime | None
    updated_at: datetime

    def wait(self, now: datetime) -> timedelta:
        """How long until the next attempt is let in; zero: now."""
        return max(self.blocked_until - now, timedelta(0)) if self.blocked_until is not None else timedelta(0)

    def charged(self, limits: AttemptLimits, now: datetime) -> Attempts:
        """After an attempt that was let in. It counts as failed before it is looked at, so that many at once do
        not all slip in before the first of them is counted; one that succeeds is taken back.
        """
        failures = 1 if now - self.updated_at > limits.forgotten_after else self.failures + 1
        blocked_until = None
        if failures >= limits.free:
            doublings = min(failures - limits.free, 30)
            blocked_until = now + min(limits.first_wait * 2**doublings, limits.longest_wait)
        return Attempts(failures, blocked_until, now)

    def refunded(self, limits: AttemptLimits) -> Attempts:
        """After one of the attempts turned out to be right."""
        failures = max(self.failures - 1, 0)
        return replace(self, failures=failures, blocked_until=self.blocked_until if failures >= limits.free else None)

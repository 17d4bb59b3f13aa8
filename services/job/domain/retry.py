"""When a failed attempt is tried again, and when one is given up (J6)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter."""

    base: timedelta = timedelta(seconds=60)
    cap: timedelta = timedelta(seconds=3600)

    def ceiling(self, attempt: int) -> timedelta:
        """The longest wait after the given attempt (counted from 1) has failed."""
        # Beyond 2^32 any base is above any sensible cap; the bound keeps the product inside timedelta's range.
        return min(self.cap, self.base * 2 ** min(max(attempt, 1) - 1, 32)) if self.base else timedelta(0)

    def delay(self, attempt: int, draw: float) -> timedelta:
        """The wait after the given attempt; `draw` is uniform in [0, 1) and spreads jobs that failed together."""
        return self.ceiling(attempt) * draw


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long an attempt may take, from its admission."""

    soft: timedelta = timedelta(seconds=3600)
    """Once video_render has taken it."""
    hard: timedelta = timedelta(seconds=4000)
    """Whatever video_render says, or does not say."""

    def exceeded(self, spent: timedelta, *, accepted: bool) -> bool:
        """Whether an attempt that runs for so long is to be given up; `accepted`: video_render has taken it."""
        return spent > (self.soft if accepted else self.hard)

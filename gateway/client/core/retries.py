"""Whether and when a failed call is tried again."""

from __future__ import annotations

import enum
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.client.errors import ConnectionFailedError, RateLimitedError, T2MError, UnavailableError

_PASSING_CONFLICTS = frozenset({"CONCURRENT_UPDATE", "READER_TOO_SLOW"})


class Repeat(enum.Enum):
    """What a second attempt could do."""

    SAFE = "safe"
    """Nothing but what the first did: reads, idempotent methods, orders under their Idempotency-Key."""
    ONCE = "once"
    """The same again: only tried again when the first was certainly not carried out."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Exponential backoff with full jitter, between `base_s` and `cap_s`; seconds throughout.

    Attempts end `patience_s` after the first one; a server that asks for a longer wait than is left is not waited for.
    """

    patience_s: float = 60.0
    base_s: float = 0.5
    cap_s: float = 10.0
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random


def may_repeat(error: T2MError, repeat: Repeat) -> bool:
    """Whether another attempt is harmless and could succeed."""
    if isinstance(error, RateLimitedError):
        return True  # Refused before anything was done.
    if isinstance(error, ConnectionFailedError):
        return repeat is Repeat.SAFE or error.unsent
    return repeat is Repeat.SAFE and (isinstance(error, UnavailableError) or error.reason in _PASSING_CONFLICTS)


class Patience:
    """Counts the attempts of one call."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.renew()

    def renew(self) -> None:
        """Something has succeeded: begin anew."""
        self._attempts = 0
        self._until = self._policy.clock() + self._policy.patience_s

    def pause_s(self, error: T2MError, repeat: Repeat) -> float:
        """How long to wait before the next attempt. Raises the error when there is to be none."""
        left = self._until - self._policy.clock()
        if not may_repeat(error, repeat) or left <= 0:
            raise error
        ceiling: float = min(self._policy.cap_s, self._policy.base_s * 2**self._attempts)
        self._attempts = min(self._attempts + 1, 30)
        # The jitter comes on top of what the server asks for, or all who were refused come back at once.
        asked = error.retry_after_s or 0.0
        pause = asked + ceiling * self._policy.jitter()
        if asked > left:
            raise error
        return min(pause, left)

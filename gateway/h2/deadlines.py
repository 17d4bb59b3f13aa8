"""Ends calls whose time is up, without a timer for each: nearly all calls have the same time, and few use it up.

Calls of one duration end in the order of their beginning, so one timer for the oldest is enough.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

_MAX_DURATIONS = 64


class Timed(Protocol):
    """What has a deadline, in the loop's time."""

    deadline: float

    def expire(self) -> None:
        """The time is up."""
        ...


class Deadlines:
    """The deadlines of all calls of a channel."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._by_duration: dict[float, dict[Timed, None]] = {}
        self._timers: dict[float, asyncio.TimerHandle] = {}

    def add(self, timed: Timed, duration_s: float) -> dict[Timed, None]:
        """Expire it then, unless it is taken out of the queue that is returned."""
        queue = self._by_duration.get(duration_s)
        if queue is None:
            queue = self._queue(duration_s)
        queue[timed] = None
        if duration_s not in self._timers:
            self._arm(duration_s, duration_s)
        return queue

    def close(self) -> None:
        """Forget all of them."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._by_duration.clear()

    def _queue(self, duration_s: float) -> dict[Timed, None]:
        if len(self._by_duration) >= _MAX_DURATIONS:  # Clients may give durations of their own.
            for each in [each for each, queue in self._by_duration.items() if not queue]:
                del self._by_duration[each]
        queue = self._by_duration[duration_s] = {}
        return queue

    def _arm(self, duration_s: float, delay_s: float) -> None:
        self._timers[duration_s] = self._loop.call_later(delay_s, self._look, duration_s)

    def _look(self, duration_s: float) -> None:
        del self._timers[duration_s]
        queue, now = self._by_duration.get(duration_s, {}), self._loop.time()
        while queue:
            oldest = next(iter(queue))
            if oldest.deadline > now:
                self._arm(duration_s, oldest.deadline - now)
                return
            del queue[oldest]
            oldest.expire()

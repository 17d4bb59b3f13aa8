"""How background tasks wait: until they are woken, at most for their poll interval."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field


class Wakeup:
    """A signal with one waiter. What another process did is noticed by the poll.

    The waiter lingers for a moment, so that thousands of signals a second are not thousands of looks.
    """

    def __init__(self, poll_s: float, linger_s: float = 0.005) -> None:
        self._poll_s = poll_s
        self._linger_s = linger_s
        self._event = asyncio.Event()

    def set(self) -> None:
        """There is work: wake the waiter, now or when it next waits."""
        self._event.set()

    async def wait(self) -> None:
        """Return when woken since the last wait, or after the poll interval."""
        try:
            async with asyncio.timeout(self._poll_s):
                await self._event.wait()
        except TimeoutError:
            return
        await asyncio.sleep(self._linger_s)
        self._event.clear()


@dataclass(slots=True)
class Backoff:
    """Growing waits between attempts at something that is away; in seconds, with jitter."""

    first_s: float = 0.2
    longest_s: float = 5.0
    failures: int = field(default=0)

    def reset(self) -> None:
        """It worked: the next wait is a short one again."""
        self.failures = 0

    def next_s(self) -> float:
        """The next wait: between half and all of a bound that doubles."""
        bound = delay_s(self.failures, self.first_s, self.longest_s)
        self.failures += 1
        return bound * (0.5 + random.random() / 2)


def delay_s(failures: int, first_s: float, longest_s: float) -> float:
    """`first_s` doubled for every failure, up to `longest_s`."""
    return float(min(longest_s, first_s * 2 ** min(failures, 30)))

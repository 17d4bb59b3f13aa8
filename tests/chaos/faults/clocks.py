"""Clocks that disagree."""

from __future__ import annotations

from tests.chaos.arena import Arena
from tests.chaos.faults.base import FaultKind
from tests.chaos.schedule import Kind

_HOLD_S = (3.0, 8.0)
SKEWS_S = (-30, 30)


def kinds(arena: Arena) -> list[FaultKind]:
    """Single processes, ahead and behind; no target where clocks cannot be skewed."""
    targets = tuple(f"{name} {skew:+d} s" for name, it in arena.clocks.items() if it.works for skew in SKEWS_S)
    return [FaultKind(Kind("clock skew", targets, weight=2, hold_s=_HOLD_S, light=True), SkewedClock)]


class SkewedClock:
    """The clock of one process jumps, and jumps back."""

    def __init__(self, arena: Arena, target: str) -> None:
        """`target` is a process and a skew, as `job +30 s`."""
        self._arena = arena
        self._process, skew, _ = target.split()
        self._skew_s = int(skew)

    async def inject(self) -> str:
        """Jump."""
        self._arena.clocks[self._process].skew(self._skew_s)
        return ""

    async def recover(self) -> None:
        """Jump back."""
        self._arena.clocks[self._process].skew(0)

    async def ready(self) -> bool:
        """It serves."""
        return await self._arena.serves(self._process)

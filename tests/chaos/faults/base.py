"""What every fault can do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tests.chaos.arena import Arena
from tests.chaos.schedule import Kind


class Fault(Protocol):
    """One fault, for one use: injected, held for a while by the storm, recovered from."""

    async def inject(self) -> str:
        """Strike; says in a word what was hit."""
        ...

    async def recover(self) -> None:
        """Take it back as far as that is ours to do; at once, and harmless when there is nothing to take back."""
        ...

    async def ready(self) -> bool:
        """Whether the target serves again."""
        ...


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A kind for the schedule and what makes a fault of it."""

    kind: Kind
    make: Callable[[Arena, str], Fault]

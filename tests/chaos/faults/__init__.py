"""The kinds of faults; each strikes a running arena and can be taken back."""

from __future__ import annotations

from tests.chaos.arena import Arena
from tests.chaos.faults import clocks, data, disks, network, processes
from tests.chaos.faults.base import Fault, FaultKind
from tests.chaos.schedule import Kind, PlannedFault

__all__ = ["Fault", "fault", "kinds"]

_MODULES = (processes, network, data, disks, clocks)


def kinds(arena: Arena) -> dict[str, Kind]:
    """What can strike this arena, by name: a disk that may not be mounted cannot be filled."""
    return {found.kind.name: found.kind for found in _all(arena) if found.kind.targets}


def fault(arena: Arena, planned: PlannedFault) -> Fault:
    """A fault of a schedule, ready to strike once."""
    made = {found.kind.name: found.make for found in _all(arena)}
    return made[planned.kind](arena, planned.target)


def _all(arena: Arena) -> list[FaultKind]:
    return [found for module in _MODULES for found in module.kinds(arena)]

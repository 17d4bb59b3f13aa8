"""Which fault strikes what, when and for how long: a pure function of a seed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault as the schedule sees it."""

    name: str
    targets: Sequence[str]
    weight: int = 1
    """How often, relative to the others."""
    hold_s: tuple[float, float] = (0.0, 0.0)
    """Shortest and longest time until it is taken back; a kill holds for no time."""
    light: bool = False
    """It leaves most of the stack at work, so it may strike while another fault holds."""


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """One fault of a schedule."""

    number: int
    """Counted from 1."""
    kind: str
    target: str
    gap_s: float
    """How long after the fault before it, of its lane, has been recovered from."""
    hold_s: float
    lane: int
    """Faults of one lane strike one after the other; the two lanes run side by side."""


HEAVY, LIGHT = 0, 1
"""The lanes. Two heavy faults never hold at once, so there is always something that can proceed."""
_GAP_S = (0.2, 2.0)
_TO_THE_LIGHT_LANE = 0.55


def schedule(seed: int, count: int, kinds: Mapping[str, Kind]) -> list[PlannedFault]:
    """`count` faults. The same seed and kinds give the same faults.

    Every (kind, target) comes once before any comes a second time, as far as `count` allows, so that a short storm is
    a sample of everything and a long one leaves nothing out.
    """
    rng = random.Random(seed)
    chosen = list(itertools.islice(_choices(rng, list(kinds.values())), count))
    faults = []
    for number, (kind, target) in enumerate(chosen, start=1):
        lane = LIGHT if kind.light and rng.random() < _TO_THE_LIGHT_LANE else HEAVY
        gap, hold = rng.uniform(*_GAP_S), rng.uniform(*kind.hold_s)
        faults.append(PlannedFault(number, kind.name, target, round(gap, 3), round(hold, 3), lane))
    return faults


def _choices(rng: random.Random, kinds: Sequence[Kind]) -> Iterator[tuple[Kind, str]]:
    """One of each kind first, then what is left of each (kind, target), then by weight for ever."""
    first = [(kind, rng.choice(kind.targets)) for kind in kinds]
    rest = [(kind, target) for kind in kinds for target in kind.targets if (kind, target) not in first]
    rng.shuffle(first)
    rng.shuffle(rest)
    weights = [kind.weight for kind in kinds]
    drawn = (rng.choices(kinds, weights)[0] for _ in itertools.count())
    return itertools.chain(first, rest, ((kind, rng.choice(kind.targets)) for kind in drawn))

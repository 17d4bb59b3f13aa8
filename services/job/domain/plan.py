"""What a plan allows: how many jobs at once, how long what is kept (J5, J10)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from services.job.domain.order import DEFAULT_PLAN


class Kept(StrEnum):
    """What retention tells apart, from what is needed longest to what is needed least."""

    JOB = "job"
    """The job itself with its history and log; everything else goes with it."""
    VIDEO = "video"
    """The video, the poster, the captions, the storyboard."""
    SEGMENT = "segment"
    """The single scenes: only of use to render a similar video faster."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The limits of a plan."""

    name: str = DEFAULT_PLAN
    in_flight: int = 4
    """Jobs of one user that run at once."""
    pinned: int = 50
    """Jobs of one user that may be pinned."""
    retention: Mapping[Kept, timedelta | None] = field(default_factory=dict)
    """How long each is kept after the job's end; None, or missing: for ever."""

    def kept_for(self, kind: Kept) -> timedelta | None:
        """How long it is kept after the job's end; None for ever."""
        return self.retention.get(kind)


class Plans:
    """The plans of the deployment; a job whose plan is not among them has the default one."""

    def __init__(self, plans: Mapping[str, Plan] | None = None) -> None:
        self._plans = dict(plans or {})
        self._plans.setdefault(DEFAULT_PLAN, Plan())

    def of(self, name: str) -> Plan:
        """The plan of this name, or the default one."""
        return self._plans.get(name) or self._plans[DEFAULT_PLAN]

    def __iter__(self) -> Iterator[Plan]:
        return iter(self._plans.values())

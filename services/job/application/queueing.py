"""The queue: who may start next, how many wait, whether it is drained (J5, J9)."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from services.job.domain.job import Job
from services.job.domain.plan import Plans
from services.job.domain.retry import TimeLimits
from services.job.domain.values import Priority, Quality


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """How many renders may run, in all, and for one user by plan."""

    in_flight: int = 32
    plans: Plans = field(default_factory=Plans)


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """How many jobs of a priority wait."""

    priority: Priority
    ready: int = 0
    """Could start now."""
    delayed: int = 0
    """Wait for a retry."""
    oldest_created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class QueueState:
    """The queue as it is at one moment."""

    depths: tuple[QueueDepth, ...]
    """One of each priority."""
    processing: int
    drained_at: datetime | None = None
    drained_by: str = ""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the stages of recent jobs of one quality took, at the median."""

    planning: timedelta
    rendering: timedelta
    assembling: timedelta
    publishing: timedelta
    per_frame: timedelta
    """Of rendering, in wall time, with as many scenes at once as there usually are."""

    @property
    def total(self) -> timedelta:
        """A whole attempt."""
        return self.planning + self.rendering + self.assembling + self.publishing


class Queue(Protocol):
    """The waiting jobs.

    They are started in the order of start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996). An owner's jobs
    have the start tags t, t+1, t+2 … in the order of `Job.due_at`; t rises by one with each job that is started. The
    virtual time is the largest tag of a started job, and no owner's t is below it: turns that were not used are not
    saved up. The smallest tag goes first; of equal tags, the earliest `due_at`, which is the time of arrival plus the
    handicap of the priority. So a fair share goes before priority, and priority before age.

    However much one owner has handed in, another's first job has the tag of the virtual time, and that owner at most
    one job with as small a tag: it delays the newcomer by one slot at most. Nothing starves: the virtual time also
    rises after each round (`domain/shares.py`), so it reaches a tag that is k turns away after at most k rounds,
    whoever comes meanwhile. From then on the job is among the smallest tags, and of these no job goes before it that
    comes later by more than the largest handicap; its owner's other jobs included.
    """

    def admit(self, now: datetime, limits: AdmissionLimits) -> AbstractAsyncContextManager[list[Job]]:
        """The jobs to be started now, locked, best first; what the block does to them is stored on leaving.

        Empty while another process admits, and while the queue is drained. Never more than the limits allow, over all
        processes.
        """
        ...

    async def position(self, job: Job) -> int:
        """How many waiting jobs will be started before it, stored or not yet, should nothing else come.

        Exact but for three things: limits of plans are left aside, a job that waits for its next attempt counts as if
        it were ready, and the end of a round, which puts those who had their turn level with those who had not, is
        not foreseen (with up to 32 owners it takes newcomers to end one).
        """
        ...

    async def pace(self, quality: Quality) -> Pace | None:
        """How long the stages took lately; None when nothing of that quality has completed."""
        ...

    async def drain(self, actor: str, now: datetime) -> bool:
        """Start nothing any more; False when it was drained already, which it then stays by its first actor."""
        ...

    async def resume(self) -> bool:
        """Start jobs again; False when it was not drained."""
        ...

    async def state(self, now: datetime) -> QueueState:
        """Depths and drain."""
        ...

    async def overdue(self, now: datetime, limits: TimeLimits, limit: int) -> list[str]:
        """Jobs whose running attempt has exceeded its limit; those that began first, first."""
        ...

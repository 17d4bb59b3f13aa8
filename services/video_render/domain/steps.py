"""A step: the unit of work that one worker holds under a lease.

A lease is a promise with an end; the fence is the number of the promise. Each claim takes the next fence, and a result
is accepted only under the current one, so a worker that slept past its lease cannot overwrite its successor.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.video_render.domain.errors import LeaseLost
from services.video_render.domain.outcomes import RenderedScene

_SEPARATOR = "."
"""Between a render's id, which cannot contain it, and the rest of a step's id."""


class StepKind(StrEnum):
    """What a step does. `ASSEMBLE` also publishes."""

    PLAN = "plan"
    SCENE = "scene"
    ASSEMBLE = "assemble"


class StepState(StrEnum):
    """Where a step is in its life; the last three are final, but a scene whose file was lost is queued again."""

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class LeasePolicy:
    """How long a claim lasts unrenewed, and how often a step may be begun."""

    lease: timedelta = timedelta(seconds=15)
    max_attempts: int = 4
    retry_pause: timedelta = timedelta(0)
    """After the first failure; doubled for each further one. Not after the loss of a worker, which is no sign that the
    next would fail as well.
    """
    first_park: timedelta = timedelta(seconds=1)
    """How long a step that waits for the storage is left alone at first; doubled each time up to the longest."""
    longest_park: timedelta = timedelta(seconds=15)

    def park(self, times: int) -> timedelta:
        """How long a step is left alone that found the storage away so many times in a row."""
        doublings: int = 2 ** min(times - 1, 10)
        return min(self.first_park * doublings, self.longest_park)


def step_id_of(render_id: str, kind: StepKind, index: int = 0) -> str:
    """The id of a step; `index` counts scenes from 0."""
    tail = f"{kind}{_SEPARATOR}{index}" if kind is StepKind.SCENE else str(kind)
    return f"{render_id}{_SEPARATOR}{tail}"


def render_id_of(step_id: str) -> str:
    """The render that a step belongs to."""
    return step_id.partition(_SEPARATOR)[0]


@dataclass(slots=True)
class Step:
    """One step of a render. Scene steps carry the scene's title, kind, address and frames."""

    step_id: str
    kind: StepKind
    index: int
    state: StepState
    queued_at: datetime
    fence: int = 0
    attempts: int = 0
    handed_back: int = 0
    """Attempts that do not count against the cap: a stopping worker gave them up in good order, or they were made at
    the scene that a plain one has replaced.
    """
    lease_until: datetime | None = None
    task_id: str = ""
    """The queue's name for the delivery under which the step is held; for revoking it."""
    holder: str = ""
    """The process that holds it, as `Liveness` names it; empty when unknown."""
    title: str = ""
    scene_kind: str = ""
    content_hash: str = ""
    frames_done: int = 0
    frames_total: int = 0
    result: RenderedScene | None = None
    fallback: bool = False
    """The scene could not be drawn; a plain one is drawn in its place."""
    cached: bool = False
    """Its result was rendered before."""
    parked: int = 0
    """How many times in a row it was put off because the storage was away; 0 while it does not wait for that."""

    @property
    def ended(self) -> bool:
        """Whether it will not run (again) on its own."""
        return self.state in (StepState.SUCCEEDED, StepState.FAILED, StepState.CANCELLED)

    @property
    def idle(self) -> bool:
        """Whether nobody works on it or will as things stand: it has ended, or waits for other steps."""
        return self.ended or self.state is StepState.WAITING

    def claimable(self, now: datetime) -> bool:
        """Whether a worker may take it: it is queued, or its holder's lease has run out."""
        return (self.state is StepState.QUEUED and self.queued_at <= now) or self.expired(now)

    def expired(self, now: datetime) -> bool:
        """Whether its holder has not renewed in time."""
        return self.state is StepState.RUNNING and self.lease_until is not None and self.lease_until < now

    def exhausted(self, policy: LeasePolicy) -> bool:
        """Whether it may not be begun once more."""
        return self.attempts - self.handed_back >= policy.max_attempts

    def claim(self, now: datetime, lease: timedelta, task_id: str, holder: str = "") -> None:
        """Give it to a worker under the next fence."""
        self.holder = holder
        self.state = StepState.RUNNING
        self.fence += 1
        self.attempts += 1
        self.lease_until = now + lease
        self.task_id = task_id

    def held(self, fence: int) -> Step:
        """Itself; raises `LeaseLost` unless it runs under this fence."""
        if self.state is not StepState.RUNNING or self.fence != fence:
            raise LeaseLost(self.step_id, fence)
        return self

    def end(self, state: StepState) -> None:
        """Leave the running state for good."""
        self.state, self.parked = state, 0
        self.lease_until = None
        self.task_id = self.holder = ""

    def fall_back(self) -> None:
        """Draw a plain scene from now on, with all attempts before it."""
        self.fallback, self.handed_back = True, self.attempts

    def pause(self, policy: LeasePolicy) -> timedelta:
        """How long to wait before it is tried again."""
        doublings: int = 2 ** max(self.attempts - self.handed_back - 1, 0)
        return policy.retry_pause * doublings

    def queue(self, now: datetime) -> None:
        """Wait for a worker (again), who may take it from `now` on."""
        self.state = StepState.QUEUED
        self.queued_at = now
        self.lease_until = None
        self.task_id = self.holder = ""

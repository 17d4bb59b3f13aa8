"""When a job is expected to complete, from how long the stages of recent jobs of the same quality took (V3)."""

from __future__ import annotations

from datetime import datetime, timedelta

from services.job.application.ports import Clock
from services.job.application.queueing import Pace, Queue
from services.job.domain.job import Job
from services.job.domain.values import JobStage, JobStatus, Priority, Quality

_KEPT = timedelta(seconds=10)
_LINES = 4096
"""Users and priorities whose last place is remembered."""
_TRUSTED_SHARE = 0.1
"""The share of frames after which a job's own pace tells more than that of others."""


class Estimates:
    """Looks up recent paces, at most once every ten seconds for each quality."""

    def __init__(self, queue: Queue, clock: Clock, slots: int = 32) -> None:
        self._queue = queue
        self._slots = max(slots, 1)
        self._crowd: tuple[datetime, int] | None = None
        self._clock = clock
        self._places: dict[tuple[str, Priority], tuple[datetime, int]] = {}
        self._known: dict[Quality, tuple[datetime, Pace | None]] = {}

    async def pace(self, quality: Quality) -> Pace | None:
        """How long the stages take; None when no job of that quality has completed yet."""
        now = self._clock.now()
        known = self._known.get(quality)
        if known is None or not timedelta(0) <= now - known[0] < _KEPT:
            known = self._known[quality] = (now, await self._queue.pace(quality))
        return known[1]

    async def promise(self, job: Job) -> datetime | None:
        """When a job that is just being accepted is expected to complete; None when unknown.

        Its place is only looked up while more jobs wait than run at once: the many orders of quiet times cost nothing.
        To find it, Postgres walks all that are before it. So it does that for a user's first order of ten seconds; the
        ones after that come behind it, one by one.
        """
        if await self.pace(job.order.quality) is None:
            return None
        crowded = await self._waiting() >= self._slots
        return await self.completion(job, await self._place(job) // self._slots if crowded else 0)

    async def _place(self, job: Job) -> int:
        now, line = self._clock.now(), (job.order.owner_id, job.order.priority)
        known = self._places.get(line)
        if known is not None and timedelta(0) <= now - known[0] < _KEPT:
            looked_up_at, place = known[0], known[1] + 1
        else:
            self._places.pop(line, None)  # the newest is the last to be forgotten
            looked_up_at, place = now, await self._queue.position(job)
        self._places[line] = (looked_up_at, place)
        if len(self._places) > _LINES:
            del self._places[next(iter(self._places))]
        return place

    async def _waiting(self) -> int:
        now = self._clock.now()
        if self._crowd is None or not timedelta(0) <= now - self._crowd[0] < _KEPT:
            state = await self._queue.state(now)
            self._crowd = (now, sum(depth.ready for depth in state.depths))
        return self._crowd[1]

    async def completion(self, job: Job, waves_before: int = 0) -> datetime | None:
        """When the job is expected to complete; None when unknown or when it has ended.

        `waves_before`: how many times all render slots are filled before it is its turn.
        """
        if job.status.terminal:
            return None
        pace = await self.pace(job.order.quality)
        if pace is None:
            return None
        now = self._clock.now()
        if job.status is JobStatus.QUEUED:
            return max(now, job.ready_at) + pace.total * (waves_before + 1)
        return now + remaining(job, pace, now)


def remaining(job: Job, pace: Pace, now: datetime) -> timedelta:
    """What is left of a running attempt: the rest of its stage, and the later stages."""
    elapsed = now - (job.stage_started_at or job.attempt_started_at or now)
    after_rendering = pace.assembling + pace.publishing
    match job.stage:
        case JobStage.RENDERING:
            return _rendering(job, pace, elapsed) + after_rendering
        case JobStage.ASSEMBLING:
            return _rest(pace.assembling, elapsed) + pace.publishing
        case JobStage.PUBLISHING:
            return _rest(pace.publishing, elapsed)
        case _:
            return _rest(pace.planning, elapsed) + pace.rendering + after_rendering


def _rendering(job: Job, pace: Pace, elapsed: timedelta) -> timedelta:
    frames = sum(scene.frames_total for scene in job.scenes)
    if not frames:  # A list does not load the scenes.
        return _rest(pace.rendering, elapsed)
    done = sum(scene.frames_done for scene in job.scenes)
    per_frame = elapsed / done if done >= frames * _TRUSTED_SHARE else pace.per_frame
    return per_frame * (frames - done)


def _rest(usual: timedelta, elapsed: timedelta) -> timedelta:
    return max(usual - elapsed, timedelta(0))

"""When a job is expected to complete, from how long recent jobs of the same quality took."""

from __future__ import annotations

from datetime import datetime, timedelta

from services.job.application.ports import Clock, Queue
from services.job.domain.job import Job
from services.job.domain.values import JobStatus, Quality

_KEPT = timedelta(seconds=10)
_TRUSTED_PROGRESS = 10.0


class Estimates:
    """Looks up recent durations, at most once every ten seconds for each quality."""

    def __init__(self, queue: Queue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._known: dict[Quality, tuple[datetime, timedelta | None]] = {}

    async def duration(self, quality: Quality) -> timedelta | None:
        """How long an attempt takes; None when no job of that quality has completed yet."""
        now = self._clock.now()
        known = self._known.get(quality)
        if known is None or not timedelta(0) <= now - known[0] < _KEPT:
            known = self._known[quality] = (now, await self._queue.recent_duration(quality))
        return known[1]

    async def completion(self, job: Job, waves_before: int = 0) -> datetime | None:
        """When the job is expected to complete; None when unknown or when it has ended.

        `waves_before`: how many times all render slots are filled before it is its turn.
        """
        if job.status.terminal:
            return None
        usual = await self.duration(job.order.quality)
        if usual is None:
            return None
        now = self._clock.now()
        if job.status is JobStatus.QUEUED:
            return max(now, job.ready_at) + usual * (waves_before + 1)
        began = job.attempt_started_at or now
        if job.progress >= _TRUSTED_PROGRESS:
            return now + (now - began) * ((100.0 - job.progress) / job.progress)
        return max(now, began + usual)

"""Give up attempts that take too long (J6), whatever became of their renders.

The limits are of the whole attempt, waiting for free workers included: an attempt that met them may well succeed at
another time, so it counts as a failure that may pass, up to the cap of retries. Workers limit each step by themselves.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime

import structlog

from services.job.application.ports import Clock, JobStore, Signal
from services.job.application.queueing import Queue
from services.job.application.ticking import Wakeup
from services.job.domain.job import Job
from services.job.domain.render import Failure
from services.job.domain.retry import RetryPolicy, TimeLimits

_log = structlog.get_logger(__name__)
_BATCH = 100


class Overdue:
    """Looks for attempts beyond the limits. Safe in several processes and over restarts: the row decides."""

    def __init__(
        self,
        queue: Queue,
        store: JobStore,
        clock: Clock,
        limits: TimeLimits,
        retry: RetryPolicy,
        commanded: Signal,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._queue = queue
        self._store = store
        self._clock = clock
        self._limits = limits
        self._retry = retry
        self._commanded = commanded
        self._draw = draw

    async def run(self, wakeup: Wakeup) -> None:
        """Look for as long as the process lives."""
        while True:
            await self.look()
            await wakeup.wait()

    async def look(self) -> int:
        """Break off what is overdue; how many attempts were found."""
        now = self._clock.now()
        found = await self._queue.overdue(now, self._limits, _BATCH)
        for job_id in found:
            async with self._store.change(job_id) as job:
                if job is not None:
                    self._judge(job, now)
        if found:
            self._commanded.set()
        return len(found)

    def _judge(self, job: Job, now: datetime) -> None:
        spent = now - (job.attempt_started_at or now)
        if not self._limits.exceeded(spent, accepted=job.render_accepted):
            return  # Between the look and the lock it ended, or began anew.
        text = f"the attempt was given up after {spent.total_seconds():.0f} s"
        failure = Failure("TIME_LIMIT_EXCEEDED", text, job.stage, retryable=True)
        job.break_off(job.render_id, failure, now, self._retry, self._draw())
        _log.warning("attempt took too long", job_id=job.job_id, stage=job.stage, accepted=job.render_accepted)

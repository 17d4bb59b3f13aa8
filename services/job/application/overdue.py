"""Give up attempts that take too long (J6), whatever became of their renders."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta

import structlog

from services.job.application.ports import Clock, JobStore, Signal
from services.job.application.queueing import Queue
from services.job.application.ticking import Wakeup
from services.job.domain.render import Failure
from services.job.domain.retry import RetryPolicy

_log = structlog.get_logger(__name__)
_BATCH = 100


class Overdue:
    """Looks for attempts that began longer than `limit` ago. Safe in several processes: the row's lock decides."""

    def __init__(
        self,
        queue: Queue,
        store: JobStore,
        clock: Clock,
        limit: timedelta,
        retry: RetryPolicy,
        commanded: Signal,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._queue = queue
        self._store = store
        self._clock = clock
        self._limit = limit
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
        found = await self._queue.overdue(now - self._limit, _BATCH)
        for job_id in found:
            async with self._store.change(job_id) as job:
                if job is None or job.attempt_started_at is None or job.attempt_started_at >= now - self._limit:
                    continue
                text = f"the attempt took longer than {self._limit.total_seconds():.0f} s"
                failure = Failure("TIME_LIMIT_EXCEEDED", text, job.stage, retryable=True)
                job.break_off(job.render_id, failure, now, self._retry, self._draw())
            _log.warning("attempt took too long", job_id=job_id)
        if found:
            self._commanded.set()
        return len(found)

"""Let queued jobs begin, fairly and within the limits (J5)."""

from __future__ import annotations

from services.job.application.ports import Clock, Signal
from services.job.application.queueing import AdmissionLimits, Queue
from services.job.application.ticking import Wakeup


class Dispatcher:
    """Moves jobs from the queue to processing; the command to start their renders is stored with the move."""

    def __init__(self, queue: Queue, clock: Clock, limits: AdmissionLimits, wakeup: Wakeup, commanded: Signal) -> None:
        self._queue = queue
        self._clock = clock
        self._limits = limits
        self._wakeup = wakeup
        self._commanded = commanded

    async def run(self) -> None:
        """Admit for as long as the process lives; looks when woken, and every poll interval."""
        while True:
            await self.admit()
            await self._wakeup.wait()

    async def admit(self) -> int:
        """Start every job that may start now; how many that were."""
        now = self._clock.now()
        async with self._queue.admit(now, self._limits) as jobs:
            for job in jobs:
                job.start_attempt(now)
        if jobs:
            self._commanded.set()
        return len(jobs)

"""Deliver to video_render what stored changes asked for: start a render, stop a render."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

import structlog

from services.job.application.neighbours import RenderAway, RenderRefused, Renders, RenderUnknown
from services.job.application.ports import Clock, Delivery, JobStore, Outbox, Signal
from services.job.application.ticking import Wakeup, delay_s
from services.job.domain.events import CancelRender, StartRender
from services.job.domain.render import Failure
from services.job.domain.values import JobStage, JobStatus

_log = structlog.get_logger(__name__)
_BATCH = 16
_LEASE = timedelta(seconds=8)
"""Longer than a call may take; a crashed process' commands are taken over after it."""


class Deliveries:
    """Sends commands at least once, those of one job in order. Both calls are idempotent, so twice is harmless."""

    def __init__(
        self,
        outbox: Outbox,
        store: JobStore,
        renders: Renders,
        clock: Clock,
        wakeup: Wakeup,
        accepted: Signal,
        freed: Signal,
    ) -> None:
        self._outbox = outbox
        self._store = store
        self._renders = renders
        self._clock = clock
        self._wakeup = wakeup
        self._accepted = accepted
        self._freed = freed

    async def run(self) -> None:
        """Deliver for as long as the process lives."""
        while True:
            while await self.deliver():
                pass
            await self._wakeup.wait()

    async def deliver(self) -> int:
        """One round: take what is due, send it; how many commands were taken."""
        deliveries = await self._outbox.claim(self._clock.now(), _LEASE, _BATCH)
        results = await asyncio.gather(*(self._one(delivery) for delivery in deliveries), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):  # The database, most likely: the leases bring the commands back.
                raise result
        return len(deliveries)

    async def _one(self, delivery: Delivery) -> None:
        try:
            match delivery.command:
                case StartRender() as start:
                    await self._start(start)
                case CancelRender() as cancel:
                    await self._cancel(cancel)
        except RenderAway as away:
            wait = timedelta(seconds=delay_s(delivery.attempts - 1, 0.25, 10.0))
            _log.warning("video_render is away", render_id=delivery.command.render_id, reason=str(away))
            await self._outbox.postpone(delivery, self._clock.now() + wait)
        except asyncio.CancelledError:
            # The next process need not wait for the lease to end.
            await self._outbox.postpone(delivery, self._clock.now())
            raise
        else:
            await self._outbox.done(delivery)

    async def _start(self, command: StartRender) -> None:
        job = await self._store.get(command.job_id)
        if job is None or job.status is not JobStatus.PROCESSING or job.render_id != command.render_id:
            return  # Cancelled in between: nothing must be started any more.
        try:
            await self._renders.start(job)
        except RenderRefused as refused:
            failure = Failure("RENDER_REFUSED", str(refused), JobStage.PLANNING)
            async with self._store.change(command.job_id) as locked:
                if locked is not None:
                    locked.refuse_render(command.render_id, failure, self._clock.now())
            self._freed.set()
            return
        async with self._store.change(command.job_id) as locked:
            if locked is not None:
                locked.confirm_render(command.render_id)
        self._accepted.set()

    async def _cancel(self, command: CancelRender) -> None:
        # Unknown: it was never started, or its database is lost, so there is nothing to stop.
        with suppress(RenderUnknown):
            await self._renders.cancel(command.render_id)
        self._freed.set()

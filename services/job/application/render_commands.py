"""Start and stop renders on video_render, as stored changes ask for."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress

from services.job.application.neighbours import RenderFaulty, RenderRefused, Renders, RenderUnknown
from services.job.application.ports import Clock, Delivery, JobStore, Signal
from services.job.application.storyboards import StoryboardStore
from services.job.domain.events import CancelRender, StartRender
from services.job.domain.job import Job
from services.job.domain.render import Failure
from services.job.domain.retry import RetryPolicy
from services.job.domain.values import JobStage, JobStatus

_FAULTS = 5
"""After so many answers that were faults the attempt has failed (J6). While video_render is merely away the job waits
and spends no attempt.
"""


class RenderCommands:
    """The `Handler` of the lane `render`. `accepted` is set when a render can be followed, `freed` when a slot may be
    free again.
    """

    def __init__(
        self,
        store: JobStore,
        renders: Renders,
        storyboards: StoryboardStore,
        clock: Clock,
        accepted: Signal,
        freed: Signal,
        retry: RetryPolicy | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._retry = retry or RetryPolicy()
        self._draw = draw
        self._renders = renders
        self._storyboards = storyboards
        self._clock = clock
        self._accepted = accepted
        self._freed = freed

    async def handle(self, delivery: Delivery) -> None:
        """Start or stop a render. Raises RenderAway."""
        match delivery.command:
            case StartRender() as start:
                await self._start(delivery, start)
            case CancelRender() as cancel:
                await self._cancel(cancel)

    async def _give_up(self, command: StartRender, reason: str) -> None:
        failure = Failure("RENDER_START_FAILED", reason, JobStage.PLANNING, retryable=True)
        async with self._store.change(command.job_id) as locked:
            if locked is not None:
                locked.break_off(command.render_id, failure, self._clock.now(), self._retry, self._draw())
        self._freed.set()

    async def _start(self, delivery: Delivery, command: StartRender) -> None:
        job = await self._store.get(command.job_id)
        if job is None or job.status is not JobStatus.PROCESSING or job.render_id != command.render_id:
            return  # Cancelled in between: nothing must be started any more.
        board = await self._ordered(job)
        try:
            await self._renders.start(job, job.order.priority.after(self._clock.now() - job.created_at), board)
        except RenderRefused as refused:
            failure = Failure("RENDER_REFUSED", str(refused), JobStage.PLANNING)
            async with self._store.change(command.job_id) as locked:
                if locked is not None:
                    locked.refuse_render(command.render_id, failure, self._clock.now())
            self._freed.set()
            return
        except RenderFaulty as faulty:
            if delivery.faults + 1 < _FAULTS:
                raise
            await self._give_up(command, str(faulty))
            return
        async with self._store.change(command.job_id) as locked:
            if locked is not None:
                locked.confirm_render(command.render_id)
        self._accepted.set()

    async def _ordered(self, job: Job) -> bytes | None:
        """The storyboard that was ordered; None when it is to be planned."""
        if not job.order.storyboard:
            return None
        kept = await self._storyboards.load(job.order.owner_id, job.order.storyboard)
        if kept is None:  # Kept as long as a job refers to it: this is a fault that waiting does not mend.
            raise RuntimeError(f"the storyboard of job {job.job_id} is gone")
        return kept.data

    async def _cancel(self, command: CancelRender) -> None:
        # Unknown: it was never started, or its database is lost, so there is nothing to stop.
        with suppress(RenderUnknown):
            await self._renders.cancel(command.render_id)
        self._freed.set()

"""Follow the renders of processing jobs and take over what happens to them.

The position in a render's events is stored in the job's row, in the transaction that stores what the events caused: a
follower that dies is resumed without loss, and two followers of one render do no harm. Leases only save the work.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import structlog

from services.job.application.coalesce import Coalescing, batches
from services.job.application.estimates import Estimates
from services.job.application.neighbours import RenderAway, RenderCursorAhead, Renders, RenderUnknown
from services.job.application.ports import Clock, Following, JobStore, Leases, Signal
from services.job.application.ticking import Backoff, Wakeup
from services.job.domain.job import Job
from services.job.domain.render import LogFact, ProgressFact, RenderFact
from services.job.domain.retry import RetryPolicy

_log = structlog.get_logger(__name__)
_HALF_WAY = 50.0


@dataclass(frozen=True, slots=True)
class FollowRules:
    """How renders are followed."""

    at_once: int = 64
    """Renders that one process follows."""
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    coalescing: Coalescing = field(default_factory=Coalescing)
    draw: Callable[[], float] = random.random
    """Uniform in [0, 1): the jitter of a retry."""


@dataclass(slots=True)
class _Reading:
    """Where the follower is in a render's events."""

    job_id: str
    render_id: str
    cursor: int
    backoff: Backoff = field(default_factory=Backoff)


class RenderLog:
    """Writes what happens to a render into its job."""

    def __init__(
        self, store: JobStore, clock: Clock, rules: FollowRules, commanded: Signal, estimates: Estimates
    ) -> None:
        self._store = store
        self._estimates = estimates
        self._clock = clock
        self._rules = rules
        self._commanded = commanded

    async def apply(self, job_id: str, render_id: str, facts: list[RenderFact]) -> bool:
        """Take the facts over; False once the job does not wait for the render any more."""

        async def take_over(job: Job | None) -> bool:
            if job is None:
                return False
            now = self._clock.now()
            going_on = job.apply(render_id, facts, now, self._rules.retry, self._rules.draw())
            if going_on and job.half_way_at is None and job.progress >= _HALF_WAY:
                job.promised_half_way(await self._estimates.completion(job), now)
            return going_on

        if all(isinstance(fact, ProgressFact | LogFact) for fact in facts):
            return await self._store.revise(job_id, take_over)
        async with self._store.change(job_id) as job:
            return await take_over(job)

    async def lost(self, job_id: str, render_id: str) -> None:
        """video_render does not know the render: ask for it again, under the same id."""
        _log.warning("video_render lost a render, starting it again", job_id=job_id, render_id=render_id)
        async with self._store.change(job_id) as job:
            if job is not None:
                job.lose_render(render_id)
        self._commanded.set()

    async def rewind(self, job_id: str, render_id: str) -> None:
        """video_render lost the end of the render: read it from the start."""
        _log.warning("video_render lost events, reading them again", job_id=job_id, render_id=render_id)
        async with self._store.change(job_id) as job:
            if job is not None:
                job.rewind_render(render_id)


class Follower:
    """Keeps one stream open for each render that this process holds the lease of."""

    def __init__(
        self,
        holder: str,
        leases: Leases,
        renders: Renders,
        log: RenderLog,
        rules: FollowRules,
        wakeup: Wakeup,
        freed: Signal,
    ) -> None:
        self._holder = holder
        self._leases = leases
        self._renders = renders
        self._log = log
        self._rules = rules
        self._wakeup = wakeup
        self._freed = freed
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Follow for as long as the process lives; gives every lease back when it ends."""
        try:
            while True:
                await self.tend()
                await self._wakeup.wait()
        finally:
            await self._stop(list(self._tasks))
            await self._leases.release(self._holder)

    async def tend(self) -> None:
        """Renew the leases, let go of what is over, take on what nobody follows."""
        if self._tasks:
            held = await self._leases.renew(self._holder)
            await self._stop([job_id for job_id in self._tasks if job_id not in held])
        room = self._rules.at_once - len(self._tasks)
        if room > 0:
            for following in await self._leases.claim(self._holder, room):
                if following.job_id not in self._tasks:
                    task = asyncio.create_task(self._follow(following), name=f"follow {following.render_id}")
                    self._tasks[following.job_id] = task

    async def _stop(self, job_ids: list[str]) -> None:
        stopped = [self._tasks.pop(job_id) for job_id in job_ids]
        for task in stopped:
            task.cancel()
        await asyncio.gather(*stopped, return_exceptions=True)

    async def _follow(self, following: Following) -> None:
        """Follow one render to its end; then the lease goes back and the queue is looked at again."""
        try:
            await self._to_the_end(following)
        finally:
            if self._tasks.get(following.job_id) is asyncio.current_task():
                del self._tasks[following.job_id]
                await self._leases.release(self._holder, following.job_id)
            self._freed.set()

    async def _to_the_end(self, following: Following) -> None:
        reading = _Reading(following.job_id, following.render_id, following.cursor)
        while True:
            try:
                if await self._read(reading):
                    return
            except RenderAway as away:
                _log.info("render stream cut", render_id=reading.render_id, cursor=reading.cursor, reason=str(away))
            except Exception:
                # The database, most likely. The cursor is where the last stored batch left it.
                _log.exception("render not followed, going on", render_id=reading.render_id, cursor=reading.cursor)
            await asyncio.sleep(reading.backoff.next_s())

    async def _read(self, reading: _Reading) -> bool:
        """Read one stream as long as it lasts; whether nothing more is to be expected of the render."""
        try:
            async with self._open(reading.render_id, reading.cursor) as stream:
                async for batch in stream:
                    if not await self._log.apply(reading.job_id, reading.render_id, batch):
                        return True
                    reading.cursor = batch[-1].seq
                    reading.backoff.reset()
        except RenderUnknown:
            await self._log.lost(reading.job_id, reading.render_id)
            return True
        except RenderCursorAhead:
            await self._log.rewind(reading.job_id, reading.render_id)
            reading.cursor = 0
        return False

    @asynccontextmanager
    async def _open(self, render_id: str, cursor: int) -> AsyncIterator[AsyncIterator[list[RenderFact]]]:
        async with (
            aclosing(self._renders.watch(render_id, cursor)) as facts,
            aclosing(batches(facts, self._rules.coalescing)) as stream,
        ):
            yield stream

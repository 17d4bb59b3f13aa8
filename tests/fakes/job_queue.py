"""The queue of jobs in memory; `tests/contract/test_job_queue.py` proves it equal to the real adapter."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.job.application.queueing import AdmissionLimits, Pace, QueueDepth, QueueState
from services.job.domain.job import Job
from services.job.domain.retry import TimeLimits
from services.job.domain.shares import VirtualTime
from services.job.domain.values import JobStatus, Priority, Quality
from tests.fakes.job import FakeDatabase, copy_of


@dataclass(frozen=True)
class _Turn:
    """A waiting job with its start tag."""

    tag: int
    job: Job

    @property
    def place(self) -> tuple[int, datetime, str]:
        """Smaller goes first."""
        return (self.tag, self.job.due_at, self.job.job_id)


class FakeQueue:
    """`Queue` in memory."""

    def __init__(self, database: FakeDatabase) -> None:
        self._db = database
        self._admitting = False
        self._time = VirtualTime()
        self._tags: dict[str, int] = {}
        self._drained: tuple[datetime, str] | None = None

    @asynccontextmanager
    async def admit(self, now: datetime, limits: AdmissionLimits) -> AsyncIterator[list[Job]]:
        """The jobs to start now."""
        if self._admitting:
            yield []
            return
        self._admitting = True
        try:
            turns = [] if self._drained else self._next(now, limits)
            jobs = [copy_of(turn.job) for turn in turns]
            if turns:
                self._time = self._time.after([turn.tag for turn in turns], len(self._waiting()))
            for turn in turns:
                self._tags[turn.job.order.owner_id] = turn.tag + 1
            yield jobs
            for job in jobs:
                await self._db.save(job)
        finally:
            self._admitting = False

    def _next(self, now: datetime, limits: AdmissionLimits) -> list[_Turn]:
        flying: dict[str, int] = defaultdict(int)
        for job in self._db.jobs.values():
            flying[job.order.owner_id] += job.status is JobStatus.PROCESSING
        room = max(limits.in_flight - sum(flying.values()), 0)
        candidates: list[_Turn] = []
        for owner, jobs in self._waiting().items():
            newest = max(jobs, key=lambda job: (job.created_at, job.job_id))
            left = limits.plans.of(newest.order.plan).in_flight - flying[owner]
            ready = [job for job in jobs if job.ready_at <= now][: max(left, 0)]
            candidates += self._turns(owner, ready)
        chosen = sorted(candidates, key=lambda turn: turn.place)[:room]
        return [turn for turn in chosen if not self._db.lock(turn.job.job_id).locked()]

    def _turns(self, owner: str, jobs: list[Job]) -> list[_Turn]:
        tag = max(self._tags.get(owner, 0), self._time.tag)
        return [_Turn(tag + number, job) for number, job in enumerate(jobs)]

    def _waiting(self) -> dict[str, list[Job]]:
        """By owner, each owner's in order."""
        found: dict[str, list[Job]] = defaultdict(list)
        for job in sorted(self._db.jobs.values(), key=lambda job: (job.due_at, job.job_id)):
            if job.status is JobStatus.QUEUED:
                found[job.order.owner_id].append(job)
        return found

    async def position(self, job: Job) -> int:
        """How many waiting jobs are before it."""
        waiting = self._waiting()
        mine = waiting[job.order.owner_id]
        if job.job_id not in {other.job_id for other in mine}:
            mine.append(job)
            mine.sort(key=lambda job: (job.due_at, job.job_id))
        turns = [turn for owner, jobs in waiting.items() for turn in self._turns(owner, jobs)]
        ordered = [turn.job.job_id for turn in sorted(turns, key=lambda turn: turn.place)]
        return ordered.index(job.job_id)

    async def pace(self, quality: Quality) -> Pace | None:
        """The medians of the last twenty."""
        ended = [
            job
            for job in self._db.jobs.values()
            if job.status is JobStatus.COMPLETED and job.order.quality is quality and job.stage_seconds
        ]
        latest = sorted(ended, key=lambda job: job.completed_at or job.updated_at, reverse=True)[:20]
        if not latest:
            return None

        def median(values: list[float]) -> timedelta:
            return timedelta(seconds=statistics.median(values)) if values else timedelta(0)

        def stage(name: str) -> timedelta:
            return median([job.stage_seconds[name] for job in latest if name in job.stage_seconds])

        drawn = [job for job in latest if "rendering" in job.stage_seconds]
        frames = [(job, job.video.frame_count) for job in drawn if job.video and job.video.frame_count]
        return Pace(
            stage("planning"),
            stage("rendering"),
            stage("assembling"),
            stage("publishing"),
            median(
                [job.stage_seconds["rendering"] / count for job, count in frames if "rendering" in job.stage_seconds]
            ),
        )

    async def drain(self, actor: str, now: datetime) -> bool:
        """Start nothing any more."""
        if self._drained is not None:
            return False
        self._drained = (now, actor)
        return True

    async def resume(self) -> bool:
        """Start jobs again."""
        was, self._drained = self._drained is not None, None
        return was

    async def state(self, now: datetime) -> QueueState:
        """Depths and drain."""
        depths = {priority: QueueDepth(priority) for priority in Priority}
        for job in (job for jobs in self._waiting().values() for job in jobs):
            depth = depths[job.order.priority]
            ready = job.ready_at <= now
            oldest = min(depth.oldest_created_at or job.created_at, job.created_at)
            depths[job.order.priority] = replace(
                depth, ready=depth.ready + ready, delayed=depth.delayed + (not ready), oldest_created_at=oldest
            )
        processing = sum(job.status is JobStatus.PROCESSING for job in self._db.jobs.values())
        at, actor = self._drained or (None, "")
        return QueueState(tuple(depths.values()), processing, at, actor)

    async def overdue(self, now: datetime, limits: TimeLimits, limit: int) -> list[str]:
        """Jobs whose running attempt has exceeded its limit."""
        begun = [
            (job.attempt_started_at, job.job_id)
            for job in self._db.jobs.values()
            if job.status is JobStatus.PROCESSING
            and job.attempt_started_at
            and limits.exceeded(now - job.attempt_started_at, accepted=job.render_accepted)
        ]
        return [job_id for _, job_id in sorted(begun)[:limit]]

"""Remove what has had its time, and what was deleted (J10, J3): for good, and audited.

The files go first, the row that knows of them last: whatever is interrupted is done again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from services.job.application.couriers import DeliverAgain
from services.job.application.neighbours import NeighbourAway, Objects, Renders
from services.job.application.ports import Clock, Delivery, JobStore
from services.job.application.ticking import Wakeup
from services.job.domain.audit import SYSTEM, AuditEntry, AuditNote
from services.job.domain.job import Job
from services.job.domain.plan import Plans
from services.job.domain.retention import DELETED_GRACE, schedule

_log = structlog.get_logger(__name__)
_BATCH = 50
_LEASE = timedelta(seconds=60)
"""After so long, what was begun and not ended is taken up again, by any replica."""
_SEGMENT = frozenset({"segment"})


class RetentionStore(Protocol):
    """Which jobs are due, and their end."""

    async def claim(self, now: datetime, lease: timedelta, limit: int) -> list[str]:
        """Jobs of which something is due, the longest due first; nobody else gets them before the lease ends."""
        ...

    async def purge(self, job: Job, note: AuditNote, now: datetime) -> bool:
        """Drop everything that is stored of the job, and the job, and note it. False while commands about its credits
        are still to be delivered.
        """
        ...


class Audit(Protocol):
    """The entries of the audit; they are only ever added."""

    async def record(self, note: AuditNote, now: datetime) -> None:
        """Add an entry that is about no job."""
        ...

    async def entries(self, job_id: str, before: int | None, limit: int) -> Sequence[AuditEntry]:
        """Entries, newest first, with ids below `before`; of one job, or of all when `job_id` is empty."""
        ...


class Retention:
    """Takes what is due. Safe in several processes: each job is leased to one."""

    def __init__(
        self, store: RetentionStore, jobs: JobStore, renders: Renders, objects: Objects, plans: Plans, clock: Clock
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._renders = renders
        self._objects = objects
        self._plans = plans
        self._clock = clock

    async def run(self, wakeup: Wakeup) -> None:
        """Look for as long as the process lives."""
        while True:
            while await self.sweep():
                pass
            await wakeup.wait()

    async def sweep(self) -> int:
        """One round: take what is due and remove it; how many jobs were handled."""
        handled = 0
        for job_id in await self._store.claim(self._clock.now(), _LEASE, _BATCH):
            try:
                await self._one(job_id)
                handled += 1
            except NeighbourAway as away:
                _log.warning("files not removed, trying again later", job_id=job_id, reason=str(away))
        return handled

    async def remove(self, job_id: str) -> bool:
        """Remove a job and its files before their time; whether nothing of it is left. Raises NeighbourAway."""
        job = await self._jobs.get(job_id)
        return job is None or await self._purge(job, self._clock.now())

    async def _one(self, job_id: str) -> None:
        job = await self._jobs.get(job_id)
        if job is None:
            return
        now = self._clock.now()
        if job.purge_at is not None and job.purge_at <= now:
            await self._purge(job, now)
        elif job.expires_at is not None and job.expires_at <= now:
            await self._expire(job, now)
        elif job.segments_expire_at is not None and job.segments_expire_at <= now:
            await self._drop_segments(job, now)

    async def _purge(self, job: Job, now: datetime) -> bool:
        removed = await remove_files(self._renders, self._objects, job)
        action = "job.purged" if job.deleted_at else "job.expired"
        gone = await self._store.purge(job, AuditNote(SYSTEM, action, removed), now)
        _log.info(action, job_id=job.job_id, **removed)
        return gone

    async def _expire(self, job: Job, now: datetime) -> None:
        removed = await remove_files(self._renders, self._objects, job)
        async with self._jobs.change(job.job_id) as locked:
            if locked is not None and locked.expires_at is not None and locked.expires_at <= now:
                locked.expired_at, locked.updated_at = now, max(now, locked.updated_at)
                schedule(locked, self._plans.of(locked.order.plan))
                locked.notes.append(AuditNote(SYSTEM, "files.removed", removed))

    async def _drop_segments(self, job: Job, now: datetime) -> None:
        # The renders go too: they remember scenes by these files.
        await self._renders.forget(job.order.owner_id, job.job_id)
        await self._objects.remove(job.order.owner_id, job.job_id, _SEGMENT)
        async with self._jobs.change(job.job_id) as locked:
            if locked is not None and locked.segments_expire_at == job.segments_expire_at:
                locked.segments_expire_at = None


class FileCommands:
    """The `Handler` of the lane `files`."""

    def __init__(self, jobs: JobStore, renders: Renders, objects: Objects, clock: Clock) -> None:
        self._jobs = jobs
        self._renders = renders
        self._objects = objects
        self._clock = clock

    async def handle(self, delivery: Delivery) -> None:
        """Remove the files of a job that was stopped: at once, and again when uploads that were under way have ended.

        Raises NeighbourAway, DeliverAgain.
        """
        job = await self._jobs.get(delivery.command.job_id)
        if job is None or job.completed_at is None:
            return
        removed = await remove_files(self._renders, self._objects, job)
        if int(removed["object_count"]) or delivery.attempts == 1:
            async with self._jobs.change(job.job_id) as locked:
                if locked is not None:
                    locked.notes.append(AuditNote(SYSTEM, "files.removed", removed))
        left = job.completed_at + DELETED_GRACE - self._clock.now()
        if left > timedelta(0):
            raise DeliverAgain(left)


async def remove_files(renders: Renders, objects: Objects, job: Job) -> dict[str, str]:
    """Remove what video_render and storage have of the job; figures for the audit. Raises NeighbourAway."""
    owner, job_id = job.order.owner_id, job.job_id
    await renders.forget(owner, job_id)
    count, size = await objects.remove(owner, job_id)
    return {"object_count": str(count), "total_bytes": str(size)}

"""Batches in memory; `tests/contract/test_job_batches.py` proves them equal to the real adapter."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from services.job.application.batches import RepeatedBatch
from services.job.application.ports import PageKey, RequestKey, StoredEvent
from services.job.domain.batch import Batch, BatchEvent, BatchStatus
from services.job.domain.job import Job
from services.job.domain.values import JobStatus
from tests.fakes.job import FakeDatabase, copy_of


class FakeBatches:
    """`BatchStore` in memory."""

    def __init__(self, database: FakeDatabase, encode: Callable[[str, BatchEvent], bytes]) -> None:
        self._db = database
        self._encode = encode
        self._batches: dict[str, Batch] = {}
        self._jobs: dict[str, dict[int, str]] = {}
        self._events: dict[str, list[StoredEvent]] = defaultdict(list)
        self._requests: dict[tuple[str, str], tuple[RequestKey, str]] = {}
        self.ended: list[str] = []

    async def create(self, batch: Batch, jobs: dict[int, Job], key: RequestKey | None) -> RepeatedBatch | None:
        """Store a new batch with its jobs."""
        if key is not None:
            known = self._requests.get((key.owner_id, key.request_id))
            if known is not None and known[0].expires_at > batch.created_at:
                return self._repeated(*known)
            self._requests[key.owner_id, key.request_id] = (key, batch.batch_id)
        self._jobs[batch.batch_id] = {index: job.job_id for index, job in jobs.items()}
        for job in jobs.values():
            await self._db.save(job)
        self._save(batch)
        return None

    def _repeated(self, key: RequestKey, batch_id: str) -> RepeatedBatch:
        jobs = {index: copy_of(self._db.jobs[job_id]) for index, job_id in self._jobs[batch_id].items()}
        return RepeatedBatch(copy.deepcopy(self._batches[batch_id]), jobs, key.fingerprint)

    async def get(self, batch_id: str) -> Batch | None:
        """The batch."""
        return copy.deepcopy(self._batches.get(batch_id))

    @asynccontextmanager
    async def change(self, batch_id: str) -> AsyncIterator[Batch | None]:
        """The batch under its lock."""
        batch = await self.get(batch_id)
        yield batch
        if batch is not None:
            self._save(batch)

    async def job_changed(self, job: Job, before: JobStatus) -> None:
        """What the real adapter does in the transaction of a job's change."""
        batch = await self.get(job.order.batch_id)
        if batch is not None and before is not job.status:
            batch.moved(before, job.status, job.updated_at)
            self._save(batch)

    async def page(self, owner_id: str | None, after: PageKey | None, limit: int) -> list[Batch]:
        """Batches, newest first."""
        mine = [batch for batch in self._batches.values() if owner_id in (None, batch.owner_id)]
        ordered = sorted(mine, key=lambda batch: (batch.created_at, batch.batch_id), reverse=True)
        if after is not None:
            ordered = [batch for batch in ordered if (batch.created_at, batch.batch_id) < (after.moment, after.job_id)]
        return copy.deepcopy(ordered[:limit])

    async def history(self, batch_id: str, after_seq: int, limit: int) -> list[StoredEvent]:
        """Events after the position."""
        return [event for event in self._events[batch_id] if event.seq > after_seq][:limit]

    async def open_jobs(self, batch_id: str) -> list[str]:
        """Ids of its jobs that have not ended."""
        jobs = self._db.jobs.values()
        return [job.job_id for job in jobs if job.order.batch_id == batch_id and not job.status.terminal]

    async def running(self) -> dict[str, float]:
        """The batches that have running jobs."""
        found: dict[str, float] = defaultdict(float)
        for job in self._db.jobs.values():
            if job.order.batch_id and job.status is JobStatus.PROCESSING:
                found[job.order.batch_id] += job.progress
        return dict(found)

    async def half_cancelled(self, asked_before: datetime, limit: int) -> list[str]:
        """Batches that were asked to end and have not moved since."""
        return [
            batch.batch_id
            for batch in self._batches.values()
            if batch.cancel_requested and batch.status is BatchStatus.PROCESSING and batch.updated_at < asked_before
        ][:limit]

    def _save(self, batch: Batch) -> None:
        self._events[batch.batch_id] += [
            StoredEvent(event.seq, self._encode(batch.batch_id, event)) for event in batch.events
        ]
        if batch.events and batch.events[-1].status is not BatchStatus.PROCESSING:
            self.ended.append(batch.batch_id)
        batch.events.clear()
        self._batches[batch.batch_id] = copy.deepcopy(batch)

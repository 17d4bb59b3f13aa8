"""Batches in Postgres (V2)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, delete, func, insert, literal, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.job.adapters.postgres.batch_tables import BATCH_EVENTS, BATCH_REQUESTS, BATCHES
from services.job.adapters.postgres.rows import job_of
from services.job.adapters.postgres.tables import JOBS
from services.job.adapters.postgres.writer import JobWriter
from services.job.application.batches import RepeatedBatch
from services.job.application.ports import PageKey, RequestKey, Signal, StoredEvent
from services.job.domain.batch import Batch, BatchEvent, BatchStatus, Refusal
from services.job.domain.job import Job
from services.job.domain.values import JobStatus
from services.runtime.eventlog import EventStore

Encode = Callable[[str, BatchEvent], bytes]
"""(batch id, event) → the payload that is stored, relayed and sent to watchers."""

OnEnded = Callable[[AsyncConnection, Batch], Awaitable[None]]
"""What the end of a batch brings about, in the transaction that stores it."""


class PostgresBatches:
    """The `BatchStore` over Postgres, and the effect of a job's change on its batch."""

    def __init__(
        self, engine: AsyncEngine, writer: JobWriter, encode: Encode, stored: Signal, on_ended: OnEnded
    ) -> None:
        self._engine = engine
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._writer = writer
        self._encode = encode
        self._stored = stored
        self._on_ended = on_ended
        self._log = EventStore(self._single, BATCH_EVENTS)

    async def create(self, batch: Batch, jobs: dict[int, Job], key: RequestKey | None) -> RepeatedBatch | None:
        """Store a new batch with its jobs, all or nothing."""
        async with self._engine.begin() as connection:
            if key is not None and not await _claimed(connection, key, batch):
                return await self._repeated(connection, key)
            job_ids = {str(index): job.job_id for index, job in jobs.items()}
            await connection.execute(insert(BATCHES).values(**_values(batch), job_ids=job_ids, **_fixed(batch)))
            await self._writer.insert(connection, list(jobs.values()))
            await self._append(connection, batch)
        self._writer.committed(*jobs.values())
        self._stored.set()
        return None

    async def _repeated(self, connection: AsyncConnection, key: RequestKey) -> RepeatedBatch:
        query = (
            select(BATCH_REQUESTS.c.fingerprint, *BATCHES.c)
            .join_from(BATCH_REQUESTS, BATCHES, BATCH_REQUESTS.c.batch_id == BATCHES.c.batch_id)
            .where(BATCH_REQUESTS.c.owner_id == key.owner_id, BATCH_REQUESTS.c.request_id == key.request_id)
        )
        row = (await connection.execute(query)).mappings().one()
        positions = {job_id: int(index) for index, job_id in row["job_ids"].items()}
        found = await connection.execute(select(JOBS).where(JOBS.c.job_id.in_(list(positions))))
        jobs = [job_of(job) for job in found.mappings()]
        return RepeatedBatch(_batch_of(row), {positions[job.job_id]: job for job in jobs}, bytes(row["fingerprint"]))

    async def get(self, batch_id: str) -> Batch | None:
        """The batch as of one moment."""
        async with self._single.connect() as connection:
            row = (await connection.execute(select(BATCHES).where(BATCHES.c.batch_id == batch_id))).mappings().first()
        return _batch_of(row) if row else None

    @asynccontextmanager
    async def change(self, batch_id: str) -> AsyncIterator[Batch | None]:
        """The batch under its row's lock."""
        async with self._engine.begin() as connection:
            batch = await _locked(connection, batch_id)
            yield batch
            if batch is not None:
                await self._save(connection, batch)
        self._stored.set()

    async def job_changed(self, connection: AsyncConnection, job: Job) -> None:
        """The effect of a job's change: its batch counts it under the new status."""
        before = job.stored_status
        if not job.order.batch_id or before is None or before is job.status:
            return
        batch = await _locked(connection, job.order.batch_id)
        if batch is not None:
            batch.moved(before, job.status, job.updated_at)
            await self._save(connection, batch)
            self._stored.set()

    async def page(self, owner_id: str | None, after: PageKey | None, limit: int) -> list[Batch]:
        """Batches, newest first, by keyset."""
        place = (BATCHES.c.created_at, BATCHES.c.batch_id)
        statement = select(BATCHES).order_by(*(column.desc() for column in place)).limit(limit)
        if owner_id is not None:
            statement = statement.where(BATCHES.c.owner_id == owner_id)
        if after is not None:
            last = tuple_(literal(after.moment), literal(after.job_id, BATCHES.c.batch_id.type))
            statement = statement.where(tuple_(*place) < last)
        async with self._single.connect() as connection:
            return [_batch_of(row) for row in (await connection.execute(statement)).mappings()]

    async def history(self, batch_id: str, after_seq: int, limit: int) -> list[StoredEvent]:
        """Events after the position, oldest first."""
        return [StoredEvent(*event) for event in await self._log.load(batch_id, after_seq, limit)]

    async def open_jobs(self, batch_id: str) -> list[str]:
        """Ids of its jobs that have not ended."""
        waiting = (JobStatus.QUEUED.value, JobStatus.PROCESSING.value)
        statement = select(JOBS.c.job_id).where(JOBS.c.batch_id == batch_id, JOBS.c.status.in_(waiting))
        async with self._single.connect() as connection:
            return [str(job_id) for job_id in (await connection.execute(statement)).scalars()]

    async def running(self) -> dict[str, float]:
        """The batches that have running jobs, with the sum of those jobs' progress."""
        running = (JOBS.c.status == JobStatus.PROCESSING.value, JOBS.c.batch_id != "")
        statement = select(JOBS.c.batch_id, func.sum(JOBS.c.progress)).where(*running).group_by(JOBS.c.batch_id)
        async with self._single.connect() as connection:
            return {row[0]: float(row[1]) for row in await connection.execute(statement)}

    async def half_cancelled(self, asked_before: datetime, limit: int) -> list[str]:
        """Batches that were asked to end and have not moved since."""
        statement = (
            select(BATCHES.c.batch_id)
            .where(BATCHES.c.cancel_requested, BATCHES.c.status == BatchStatus.PROCESSING.value)
            .where(BATCHES.c.updated_at < asked_before)
            .limit(limit)
        )
        async with self._single.connect() as connection:
            return [str(batch_id) for batch_id in (await connection.execute(statement)).scalars()]

    async def purge_requests(self, now: datetime) -> None:
        """Forget request ids that have expired."""
        async with self._single.connect() as connection:
            await connection.execute(delete(BATCH_REQUESTS).where(BATCH_REQUESTS.c.expires_at <= now))

    async def _save(self, connection: AsyncConnection, batch: Batch) -> None:
        await connection.execute(update(BATCHES).where(BATCHES.c.batch_id == batch.batch_id).values(**_values(batch)))
        await self._append(connection, batch)

    async def _append(self, connection: AsyncConnection, batch: Batch) -> None:
        if not batch.events:
            return
        entries = [
            {"stream_id": batch.batch_id, "seq": event.seq, "payload": self._encode(batch.batch_id, event)}
            for event in batch.events
        ]
        await connection.execute(insert(BATCH_EVENTS), entries)
        ended = batch.events[-1].status is not BatchStatus.PROCESSING
        batch.events.clear()
        if ended:
            await self._on_ended(connection, batch)


async def _claimed(connection: AsyncConnection, key: RequestKey, batch: Batch) -> bool:
    """Take the request id for the batch; False when it is in use. One of concurrent repeats gets it, others wait."""
    claim = pg_insert(BATCH_REQUESTS).values(
        owner_id=key.owner_id,
        request_id=key.request_id,
        fingerprint=key.fingerprint,
        batch_id=batch.batch_id,
        expires_at=key.expires_at,
    )
    claim = claim.on_conflict_do_update(
        index_elements=["owner_id", "request_id"],
        set_={name: claim.excluded[name] for name in ("fingerprint", "batch_id", "expires_at")},
        where=BATCH_REQUESTS.c.expires_at <= batch.created_at,
    )
    return (await connection.execute(claim.returning(BATCH_REQUESTS.c.batch_id))).first() is not None


async def _locked(connection: AsyncConnection, batch_id: str) -> Batch | None:
    query = select(BATCHES).where(BATCHES.c.batch_id == batch_id).with_for_update()
    row = (await connection.execute(query)).mappings().first()
    return _batch_of(row) if row else None


def _fixed(batch: Batch) -> dict[str, Any]:
    return {
        "batch_id": batch.batch_id,
        "owner_id": batch.owner_id,
        "total_count": batch.total,
        "refusals": [asdict(refusal) for refusal in batch.refusals],
        "webhook_url": batch.webhook_url,
        "created_at": batch.created_at,
    }


def _values(batch: Batch) -> dict[str, Any]:
    return {
        "status": batch.status.value,
        "progress": batch.progress,
        "counts": {status.value: count for status, count in batch.counts.items()},
        "cancel_requested": batch.cancel_requested,
        "revision": batch.revision,
        "updated_at": batch.updated_at,
        "completed_at": batch.completed_at,
    }


def _batch_of(row: RowMapping) -> Batch:
    return Batch(
        batch_id=str(row["batch_id"]),
        owner_id=row["owner_id"],
        total=row["total_count"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        refusals=tuple(
            Refusal(
                item["index"], item["code"], item["message"], tuple((path, text) for path, text in item["violations"])
            )
            for item in row["refusals"]
        ),
        webhook_url=row["webhook_url"],
        status=BatchStatus(row["status"]),
        progress=row["progress"],
        counts={status: row["counts"].get(status.value, 0) for status in JobStatus},
        cancel_requested=row["cancel_requested"],
        revision=row["revision"],
        completed_at=row["completed_at"],
    )

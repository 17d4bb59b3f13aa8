"""The jobs and their history in Postgres (Core over asyncpg)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Select,
    Text,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncEngine

from services.job.adapters.postgres.job_lists import count_statement, page_statement
from services.job.adapters.postgres.rows import job_of, new_values
from services.job.adapters.postgres.tables import JOB_EVENTS, JOB_OUTBOX, JOB_REQUESTS, JOBS
from services.job.adapters.postgres.writer import JobWriter
from services.job.application.ports import Created, JobQuery, PageKey, Repeated, RequestKey, StoredEvent
from services.job.domain.job import Job
from services.runtime.eventlog import EventStore


def _creation(*, confirm: bool) -> Any:
    """One statement, one round trip: claim the request id, and only then insert the job and its first event.

    Of concurrent repeats exactly one gets a row from the claim; the others wait for its commit and get none.
    """
    claim = (
        pg_insert(JOB_REQUESTS)
        .values(
            owner_id=bindparam("owner_id"),
            request_id=bindparam("request_id"),
            fingerprint=bindparam("fingerprint"),
            job_id=bindparam("job_id"),
            expires_at=bindparam("expires_at"),
        )
        .on_conflict_do_update(
            index_elements=["owner_id", "request_id"],
            set_={name: bindparam(name) for name in ("fingerprint", "job_id", "expires_at")},
            where=JOB_REQUESTS.c.expires_at <= bindparam("created_at"),
        )
        .returning(JOB_REQUESTS.c.job_id)
        .cte("claim")
    )
    return _job_and_event(select(literal(1)).select_from(claim), confirm=confirm)


def _job_and_event(condition: Select[Any] | None, *, confirm: bool) -> Any:
    """Insert a job, its first event and perhaps the command to confirm its credits, all only when `condition` has a
    row.
    """
    names = [column.name for column in JOBS.c]
    job_values = select(*(bindparam(column.name, type_=column.type) for column in JOBS.c))
    if condition is not None:
        job_values = job_values.where(condition.exists())
    job = insert(JOBS).from_select(names, job_values).returning(JOBS.c.job_id).cte("job")
    payload = bindparam("payload", type_=JOB_EVENTS.c.payload.type)
    event_values = select(cast(job.c.job_id, Text), literal(1), payload)
    event = insert(JOB_EVENTS).from_select(["stream_id", "seq", "payload"], event_values, include_defaults=False)
    statement = event.returning(JOB_EVENTS.c.seq)
    if not confirm:
        return statement
    command = select(
        job.c.job_id, *(literal(text) for text in ("credits", "confirm_credits", "")), bindparam("created_at")
    )
    columns = ["job_id", "lane", "kind", "render_id", "available_at"]
    return statement.add_cte(insert(JOB_OUTBOX).from_select(columns, command, include_defaults=False).cte("confirm"))


_STATEMENTS = {
    (named, confirm): _creation(confirm=confirm) if named else _job_and_event(None, confirm=confirm)
    for named in (True, False)
    for confirm in (True, False)
}
"""By whether the request has a name, and whether the job has credits to be confirmed."""


class PostgresJobs:
    """The `JobStore` over Postgres."""

    def __init__(self, engine: AsyncEngine, writer: JobWriter) -> None:
        self._engine = engine
        self._writer = writer
        # A single statement is atomic by itself: without BEGIN and COMMIT it takes one round trip, not three.
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._log = EventStore(self._single, JOB_EVENTS)

    async def create(self, job: Job, key: RequestKey | None) -> Created | Repeated:
        """Store a new job with its first event, unless the key is in use."""
        values = {**new_values(job), "payload": self._writer.encode(job.events[0])}
        statement = _STATEMENTS[key is not None, bool(job.order.credit_cost)]
        if key is not None:
            values |= {
                "request_id": key.request_id,
                "fingerprint": key.fingerprint,
                "expires_at": key.expires_at,
            }
        async with self._single.connect() as connection:
            stored = (await connection.execute(statement, values)).first() is not None
        if stored or key is None:
            job.events.clear()
            job.commands.clear()
            self._writer.committed()
            return Created()
        known = await self.repeated(key, job.created_at)
        if known is None:
            raise RuntimeError("the request id has expired, or its job was purged, between two statements")
        return known

    async def repeated(self, key: RequestKey, now: datetime) -> Repeated | None:
        """The job that the key has made, if it is in use."""
        query = (
            select(JOB_REQUESTS.c.fingerprint, *JOBS.c)
            .join_from(JOB_REQUESTS, JOBS, JOB_REQUESTS.c.job_id == JOBS.c.job_id)
            .where(JOB_REQUESTS.c.owner_id == key.owner_id, JOB_REQUESTS.c.request_id == key.request_id)
            .where(JOB_REQUESTS.c.expires_at > now)
        )
        async with self._single.connect() as connection:
            row = (await connection.execute(query)).mappings().first()
        return Repeated(job_of(row), bytes(row["fingerprint"])) if row else None

    async def get(self, job_id: str) -> Job | None:
        """The job as of one moment."""
        async with self._single.connect() as connection:
            row = (await connection.execute(select(JOBS).where(JOBS.c.job_id == job_id))).mappings().first()
        return job_of(row) if row else None

    @asynccontextmanager
    async def change(self, job_id: str) -> AsyncIterator[Job | None]:
        """The job under its row's lock; see `JobStore.change`."""
        async with self._engine.begin() as connection:
            query = select(JOBS).where(JOBS.c.job_id == job_id).with_for_update()
            row = (await connection.execute(query)).mappings().first()
            job = job_of(row) if row else None
            yield job
            stored = job is not None and await self._writer.write(connection, job)
        if job is not None and stored:
            self._writer.committed(job)

    async def page(self, query: JobQuery, after: PageKey | None, skip: int, limit: int) -> list[Job]:
        """A page of the list by keyset: its cost does not depend on its depth, but for `skip`."""
        statement = page_statement(query, after, skip, limit)
        async with self._single.connect() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        return [job_of(row) for row in rows]

    async def count(self, query: JobQuery) -> int:
        """How many jobs match."""
        statement = count_statement(query)
        async with self._single.connect() as connection:
            return int((await connection.execute(statement)).scalar_one())

    async def history(self, job_id: str, after_seq: int, limit: int) -> list[StoredEvent]:
        """Events after the position, oldest first."""
        return [StoredEvent(*event) for event in await self._log.load(job_id, after_seq, limit)]

    async def pinned(self, owner_id: str) -> int:
        """How many jobs of the owner are pinned."""
        pinned = (JOBS.c.owner_id == owner_id, JOBS.c.pinned_at.is_not(None), JOBS.c.deleted_at.is_(None))
        async with self._single.connect() as connection:
            return int((await connection.execute(select(func.count()).where(*pinned))).scalar_one())

    async def purge_requests(self, now: datetime) -> None:
        """Forget request ids that have expired."""
        async with self._single.connect() as connection:
            await connection.execute(delete(JOB_REQUESTS).where(JOB_REQUESTS.c.expires_at <= now))

"""The jobs and their history in Postgres (Core over asyncpg)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from sqlalchemy import any_, bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncEngine

from services.job.adapters.postgres.job_creation import JobCreation
from services.job.adapters.postgres.job_lists import count_statement, page_statement
from services.job.adapters.postgres.rows import job_of
from services.job.adapters.postgres.tables import JOB_EVENTS, JOB_REQUESTS, JOBS
from services.job.adapters.postgres.writer import JobWriter
from services.job.application.ports import Created, JobQuery, PageKey, Repeated, RequestKey, Revision, StoredEvent
from services.job.domain.job import Job
from services.runtime.eventlog import EventStore
from services.runtime.grouping import Grouped

_ONE = select(JOBS).where(JOBS.c.job_id == bindparam("wanted"))
_LOCKED = _ONE.with_for_update()
_LOCKED_ALL = (
    select(JOBS)
    .where(JOBS.c.job_id == any_(bindparam("wanted", type_=ARRAY(JOBS.c.job_id.type))))
    .order_by(JOBS.c.job_id)  # Everybody locks in this order, so nobody waits in a circle.
    .with_for_update()
)
_REVISION_LINGER_S = 0.02
"""Nothing against the time that reports of progress wait anyway, and a fraction of the transactions when many come."""


class PostgresJobs:
    """The `JobStore` over Postgres."""

    def __init__(self, engine: AsyncEngine, writer: JobWriter) -> None:
        self._engine = engine
        self._writer = writer
        # A single statement is atomic by itself: without BEGIN and COMMIT it takes one round trip, not three.
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._log = EventStore(self._single, JOB_EVENTS)
        self._revisions: Grouped[tuple[str, Revision], bool] = Grouped(
            self._revise_together, apart=lambda _: True, linger_s=_REVISION_LINGER_S
        )
        self._creation = JobCreation(self._single, writer)

    async def create(self, job: Job, key: RequestKey | None) -> Created | Repeated:
        """Store a new job with its first event, unless the key is in use."""
        if await self._creation.store(job, key) or key is None:
            job.events.clear()
            job.commands.clear()
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
            row = (await connection.execute(_ONE, {"wanted": job_id})).mappings().first()
        return job_of(row) if row else None

    @asynccontextmanager
    async def change(self, job_id: str) -> AsyncIterator[Job | None]:
        """The job under its row's lock; see `JobStore.change`."""
        async with self._engine.begin() as connection:
            row = (await connection.execute(_LOCKED, {"wanted": job_id})).mappings().first()
            job = job_of(row) if row else None
            yield job
            stored = job is not None and await self._writer.write(connection, job)
        if job is not None and stored:
            self._writer.committed(job)

    async def revise(self, job_id: str, revision: Revision) -> bool:
        """The job under its row's lock, in a transaction with others; see `JobStore.revise`."""
        return await self._revisions.do((job_id, revision))

    async def _revise_together(self, wanted: Sequence[tuple[str, Revision]]) -> Sequence[bool]:
        async with self._engine.begin() as connection:
            ids = {"wanted": list({job_id for job_id, _ in wanted})}
            jobs = {str(row["job_id"]): job_of(row) for row in (await connection.execute(_LOCKED_ALL, ids)).mappings()}
            outcomes = [await revision(jobs.get(job_id)) for job_id, revision in wanted]
            stored = await self._writer.write_all(connection, list(jobs.values())) if jobs else []
        if stored:
            self._writer.committed(*stored)
        return outcomes

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

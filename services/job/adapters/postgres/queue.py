"""The waiting jobs in Postgres: who is next."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from sqlalchemy import func, literal, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.job.adapters.postgres.rows import job_of
from services.job.adapters.postgres.tables import JOBS
from services.job.adapters.postgres.writer import JobWriter
from services.job.application.ports import AdmissionLimits
from services.job.domain.job import Job
from services.job.domain.values import JobStatus, Quality

_RECENT = 20
_ADMISSION_LOCK = 0x74326D_0001  # "t2m", 1

_NEXT = text(
    # Owners with waiting jobs by a loose index scan, then each owner's first few by its place in the queue: the cost
    # grows with the owners that wait, not with their jobs. `turn` counts what the owner has in flight or ahead, and
    # delays the job against those of other owners.
    """
    WITH RECURSIVE waiting(owner_id) AS (
        (SELECT owner_id FROM jobs WHERE status = 'queued' ORDER BY owner_id LIMIT 1)
        UNION ALL
        SELECT (SELECT j.owner_id FROM jobs j WHERE j.status = 'queued' AND j.owner_id > w.owner_id
                ORDER BY j.owner_id LIMIT 1)
        FROM waiting w WHERE w.owner_id IS NOT NULL
    ), flying AS (
        SELECT owner_id, count(*) AS jobs FROM jobs WHERE status = 'processing' GROUP BY owner_id
    )
    SELECT first.job_id
    FROM waiting w
    LEFT JOIN flying f ON f.owner_id = w.owner_id
    CROSS JOIN LATERAL (
        SELECT j.job_id, j.due_at, COALESCE(f.jobs, 0) + row_number() OVER (ORDER BY j.due_at, j.job_id) - 1 AS turn
        FROM jobs j
        WHERE j.owner_id = w.owner_id AND j.status = 'queued' AND j.ready_at <= :now
        ORDER BY j.due_at, j.job_id
        LIMIT greatest(:per_owner - COALESCE(f.jobs, 0), 0)
    ) first
    WHERE w.owner_id IS NOT NULL
    ORDER BY first.due_at + first.turn * CAST(:share_step AS interval), first.job_id
    LIMIT :room
    """
)


class PostgresQueue:
    """The `Queue` over Postgres."""

    def __init__(self, engine: AsyncEngine, writer: JobWriter) -> None:
        self._engine = engine
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._writer = writer

    @asynccontextmanager
    async def admit(self, now: datetime, limits: AdmissionLimits) -> AsyncIterator[list[Job]]:
        """The jobs to start now, locked; see `Queue.admit`.

        Limits hold over all processes because only one admits at a time. A job that somebody is just cancelling is left
        out rather than waited for.
        """
        async with self._engine.begin() as connection:
            lock = select(func.pg_try_advisory_xact_lock(_ADMISSION_LOCK))
            jobs: list[Job] = []
            if (await connection.execute(lock)).scalar_one():
                jobs = await _next(connection, now, limits)
            yield jobs
            for job in jobs:
                await self._writer.write(connection, job)
        if jobs:
            self._writer.committed()

    async def position(self, job: Job) -> int:
        """How many waiting jobs are before it, by priority and age; other owners' turns may still shift it."""
        place = tuple_(literal(job.due_at), literal(job.job_id, JOBS.c.job_id.type))
        before = tuple_(JOBS.c.due_at, JOBS.c.job_id) < place
        statement = select(func.count()).where(JOBS.c.status == JobStatus.QUEUED.value, before)
        async with self._single.connect() as connection:
            return (await connection.execute(statement)).scalar_one()

    async def recent_duration(self, quality: Quality) -> timedelta | None:
        """The median of the last twenty."""
        recent = (
            select((JOBS.c.completed_at - JOBS.c.attempt_started_at).label("duration"))
            .where(JOBS.c.status == JobStatus.COMPLETED.value, JOBS.c.quality == quality.value)
            .order_by(JOBS.c.completed_at.desc())
            .limit(_RECENT)
            .subquery()
        )
        statement = select(func.percentile_disc(0.5).within_group(recent.c.duration))
        async with self._single.connect() as connection:
            duration: timedelta | None = (await connection.execute(statement)).scalar_one()
        return duration


async def _next(connection: AsyncConnection, now: datetime, limits: AdmissionLimits) -> list[Job]:
    flying = select(func.count()).where(JOBS.c.status == JobStatus.PROCESSING.value)
    room = limits.in_flight - (await connection.execute(flying)).scalar_one()
    if room <= 0:
        return []
    parameters = {
        "now": now,
        "per_owner": limits.per_owner,
        "share_step": limits.share_step,
        "room": room,
    }
    chosen = (await connection.execute(_NEXT, parameters)).scalars().all()
    if not chosen:
        return []
    locked = (
        select(JOBS)
        .where(JOBS.c.job_id.in_(chosen), JOBS.c.status == JobStatus.QUEUED.value, JOBS.c.deleted_at.is_(None))
        .with_for_update(skip_locked=True)
    )
    found = {str(row["job_id"]): job_of(row) for row in (await connection.execute(locked)).mappings()}
    return [found[str(job_id)] for job_id in chosen if str(job_id) in found]

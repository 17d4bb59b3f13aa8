"""The waiting jobs in Postgres: who is next."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.job.adapters.postgres.admission import NEXT, PACE, POSITION, ROOM, SERVED, STATE
from services.job.adapters.postgres.queue_tables import JOB_QUEUE
from services.job.adapters.postgres.rows import job_of
from services.job.adapters.postgres.tables import JOBS
from services.job.adapters.postgres.writer import JobWriter
from services.job.application.queueing import AdmissionLimits, Pace, QueueDepth, QueueState
from services.job.domain.job import Job
from services.job.domain.order import DEFAULT_PLAN
from services.job.domain.retry import TimeLimits
from services.job.domain.shares import VirtualTime
from services.job.domain.values import JobStatus, Priority, Quality

_RECENT = 20
_ADMISSION_LOCK = 0x74326D_0001  # "t2m", 1


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
        if not await self._has_room(now, limits):  # Far cheaper than to find that out under the lock.
            yield []
            return
        async with self._engine.begin() as connection:
            lock = select(func.pg_try_advisory_xact_lock(_ADMISSION_LOCK))
            jobs: list[Job] = []
            if (await connection.execute(lock)).scalar_one():
                jobs = await _next(connection, now, limits)
            yield jobs
            for job in jobs:
                await self._writer.write(connection, job)
        if jobs:
            self._writer.committed(*jobs)

    async def _has_room(self, now: datetime, limits: AdmissionLimits) -> bool:
        """Whether there is, at this moment, a job that waits and room for it."""
        async with self._single.connect() as connection:
            return bool((await connection.execute(ROOM, {"now": now, "in_flight": limits.in_flight})).scalar_one())

    async def position(self, job: Job) -> int:
        """How many waiting jobs are before it."""
        place = {"owner_id": job.order.owner_id, "due_at": job.due_at, "job_id": job.job_id}
        async with self._single.connect() as connection:
            return int((await connection.execute(POSITION, place)).scalar_one())

    async def pace(self, quality: Quality) -> Pace | None:
        """The medians of the last twenty."""
        async with self._single.connect() as connection:
            row = (await connection.execute(PACE, {"quality": quality.value, "recent": _RECENT})).one()
        if not row.jobs:
            return None
        names = ("planning", "rendering", "assembling", "publishing", "per_frame")
        return Pace(**{name: timedelta(seconds=getattr(row, name) or 0.0) for name in names})

    async def drain(self, actor: str, now: datetime) -> bool:
        """Start nothing any more."""
        statement = update(JOB_QUEUE).where(JOB_QUEUE.c.drained_at.is_(None)).values(drained_at=now, drained_by=actor)
        async with self._single.connect() as connection:
            return (await connection.execute(statement)).rowcount > 0

    async def resume(self) -> bool:
        """Start jobs again."""
        statement = update(JOB_QUEUE).where(JOB_QUEUE.c.drained_at.is_not(None)).values(drained_at=None, drained_by="")
        async with self._single.connect() as connection:
            return (await connection.execute(statement)).rowcount > 0

    async def state(self, now: datetime) -> QueueState:
        """Depths and drain."""
        flying = select(func.count()).where(JOBS.c.status == JobStatus.PROCESSING.value)
        async with self._single.connect() as connection:
            rows = {row.priority: row for row in await connection.execute(STATE, {"now": now})}
            processing = (await connection.execute(flying)).scalar_one()
            queue = (await connection.execute(select(JOB_QUEUE))).one()
        depths = [
            QueueDepth(priority, row.ready, row.delayed, row.oldest)
            if (row := rows.get(priority.value))
            else QueueDepth(priority)
            for priority in Priority
        ]
        return QueueState(tuple(depths), processing, queue.drained_at, queue.drained_by)

    async def overdue(self, now: datetime, limits: TimeLimits, limit: int) -> list[str]:
        """Jobs whose running attempt has exceeded its limit; those that began first, first."""
        begun = JOBS.c.attempt_started_at
        late = or_(and_(JOBS.c.render_accepted, begun < now - limits.soft), begun < now - limits.hard)
        statement = (
            select(JOBS.c.job_id)
            # The first condition is implied; it is the one that the index serves.
            .where(JOBS.c.status == JobStatus.PROCESSING.value, begun < now - min(limits.soft, limits.hard), late)
            .order_by(begun)
            .limit(limit)
        )
        async with self._single.connect() as connection:
            return [str(job_id) for job_id in (await connection.execute(statement)).scalars()]


async def _next(connection: AsyncConnection, now: datetime, limits: AdmissionLimits) -> list[Job]:
    flying = select(func.count()).where(JOBS.c.status == JobStatus.PROCESSING.value).scalar_subquery()
    state = (await connection.execute(select(JOB_QUEUE, flying.label("flying")))).one()
    room = limits.in_flight - state.flying
    if room <= 0 or state.drained_at is not None:
        return []
    plans = list(limits.plans)
    parameters = {
        "now": now,
        "plans": [plan.name for plan in plans],
        "plan_limits": [plan.in_flight for plan in plans],
        "default_limit": limits.plans.of(DEFAULT_PLAN).in_flight,
        "room": room,
    }
    rows = (await connection.execute(NEXT, parameters)).all()
    if not rows:
        return []
    tags = {str(row.job_id): row.tag for row in rows}
    locked = (
        select(JOBS)
        .where(JOBS.c.job_id.in_(list(tags)), JOBS.c.status == JobStatus.QUEUED.value, JOBS.c.deleted_at.is_(None))
        .with_for_update(skip_locked=True)
    )
    found = {str(row["job_id"]): job_of(row) for row in (await connection.execute(locked)).mappings()}
    jobs = [found[job_id] for job_id in tags if job_id in found]
    if jobs:
        served = [tags[job.job_id] for job in jobs]
        time = VirtualTime(state.virtual_time, state.starts).after(served, rows[0].owners)
        owners = [job.order.owner_id for job in jobs]
        values = {"owners": owners, "tags": served, "virtual_time": time.tag, "starts": time.starts}
        await connection.execute(SERVED, values)
    return jobs

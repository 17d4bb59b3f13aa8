"""Who follows which render, in Postgres and by its clock: processes need not agree on the time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncEngine

from services.job.adapters.postgres.tables import JOB_FOLLOWS, JOBS
from services.job.application.ports import Following
from services.job.domain.values import JobStatus


class PostgresLeases:
    """The `Leases` over Postgres."""

    def __init__(self, engine: AsyncEngine, ttl: timedelta = timedelta(seconds=5)) -> None:
        self._engine = engine
        self._ttl = ttl

    def _until(self) -> Any:
        return func.clock_timestamp() + self._ttl

    async def claim(self, holder: str, limit: int) -> list[Following]:
        """Take over renders whose lease is free or has ended; of two processes that try, one gets each."""
        now = func.clock_timestamp()
        free = (
            select(JOBS.c.job_id, literal(holder), self._until())
            .outerjoin_from(JOBS, JOB_FOLLOWS, JOBS.c.job_id == JOB_FOLLOWS.c.job_id)
            .where(
                JOBS.c.status == JobStatus.PROCESSING.value,
                JOBS.c.render_accepted,
                or_(JOB_FOLLOWS.c.job_id.is_(None), JOB_FOLLOWS.c.held_until < now),
            )
            .limit(limit)
        )
        take = pg_insert(JOB_FOLLOWS).from_select(["job_id", "holder", "held_until"], free)
        take = take.on_conflict_do_update(
            index_elements=["job_id"],
            set_={"holder": take.excluded.holder, "held_until": take.excluded.held_until},
            where=JOB_FOLLOWS.c.held_until < now,
        )
        taken = take.returning(JOB_FOLLOWS.c.job_id)
        async with self._engine.begin() as connection:
            job_ids = (await connection.execute(taken)).scalars().all()
            if not job_ids:
                return []
            states = select(JOBS.c.job_id, JOBS.c.attempt, JOBS.c.render_cursor).where(JOBS.c.job_id.in_(job_ids))
            rows = (await connection.execute(states)).all()
        return [Following(str(row.job_id), f"{row.job_id}-{row.attempt}", row.render_cursor) for row in rows]

    async def renew(self, holder: str) -> set[str]:
        """Prolong the leases of renders that still run; drop the others."""
        renewal = (
            update(JOB_FOLLOWS)
            .where(
                JOB_FOLLOWS.c.holder == holder,
                JOB_FOLLOWS.c.job_id == JOBS.c.job_id,
                JOBS.c.status == JobStatus.PROCESSING.value,
                JOBS.c.render_accepted,
            )
            .values(held_until=self._until())
            .returning(JOB_FOLLOWS.c.job_id)
        )
        async with self._engine.begin() as connection:
            held = [str(job_id) for job_id in (await connection.execute(renewal)).scalars()]
            over = delete(JOB_FOLLOWS).where(JOB_FOLLOWS.c.holder == holder, JOB_FOLLOWS.c.job_id.not_in(held))
            await connection.execute(over)
        return set(held)

    async def release(self, holder: str, job_id: str | None = None) -> None:
        """Give back one lease, or all of the holder."""
        statement = delete(JOB_FOLLOWS).where(JOB_FOLLOWS.c.holder == holder)
        if job_id is not None:
            statement = statement.where(JOB_FOLLOWS.c.job_id == job_id)
        async with self._engine.begin() as connection:
            await connection.execute(statement)

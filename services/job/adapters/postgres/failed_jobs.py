"""Failed jobs in Postgres (J9)."""

from __future__ import annotations

from sqlalchemy import Select, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from services.job.adapters.postgres.rows import LISTED, job_of
from services.job.adapters.postgres.tables import JOBS
from services.job.application.failed_jobs import FailedQuery
from services.job.application.ports import PageKey
from services.job.domain.job import Job
from services.job.domain.values import JobStatus


class PostgresFailedJobs:
    """The `FailedJobsStore` over Postgres: walks the index of failed jobs, by keyset."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def failed(self, query: FailedQuery, after: PageKey | None, limit: int) -> list[Job]:
        """At most `limit` jobs after the key."""
        place = (JOBS.c.completed_at, JOBS.c.job_id)
        statement = select(*LISTED).where(JOBS.c.status == JobStatus.FAILED.value, JOBS.c.deleted_at.is_(None))
        if query.owner_id:
            statement = statement.where(JOBS.c.owner_id == query.owner_id)
        if query.error_code:
            statement = statement.where(JOBS.c.failure["code"].astext == query.error_code)
        if query.failed_after is not None:
            statement = statement.where(JOBS.c.completed_at >= query.failed_after)
        if after is not None:
            last = tuple_(literal(after.moment), literal(after.job_id, JOBS.c.job_id.type))
            statement = statement.where(tuple_(*place) < last)
        return await self._jobs(statement.order_by(*(column.desc() for column in place)).limit(limit))

    async def repeats(self, job_id: str) -> list[Job]:
        """The jobs that repeat this one, oldest first."""
        return await self._jobs(select(*LISTED).where(JOBS.c.origin_job_id == job_id).order_by(JOBS.c.created_at))

    async def _jobs(self, statement: Select[tuple[object, ...]]) -> list[Job]:
        async with self._single.connect() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        return [job_of(row) for row in rows]

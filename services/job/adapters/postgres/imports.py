"""`ImportStore` on Postgres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import insert, select
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncEngine

from services.job.adapters.postgres.rows import new_values
from services.job.adapters.postgres.tables import JOB_EVENTS, JOBS
from services.job.adapters.postgres.writer import Encode
from services.job.domain.job import Job


class PostgresImports:
    """A page is one transaction: its jobs are there with their events, or not at all."""

    def __init__(self, engine: AsyncEngine, encode: Encode) -> None:
        self._engine = engine
        self._encode = encode

    async def add(self, jobs: Sequence[Job]) -> Mapping[str, str | None]:
        """See `ImportStore.add`. Nobody watches these jobs: their events count as relayed."""
        if not jobs:
            return {}
        statement = pg_insert(JOBS).on_conflict_do_nothing(index_elements=[JOBS.c.job_id]).returning(JOBS.c.job_id)
        async with self._engine.begin() as connection:
            result = await connection.execute(statement, [new_values(job) for job in jobs])
            stored = {str(job_id) for job_id in result.scalars()}
            events = [
                {"stream_id": event.job_id, "seq": event.seq, "payload": self._encode(event), "relayed": True}
                for job in jobs
                if job.job_id in stored
                for event in job.events
            ]
            if events:
                await connection.execute(insert(JOB_EVENTS), events)
        known = await self.owners([job.job_id for job in jobs if job.job_id not in stored])
        return {job.job_id: known.get(job.job_id) for job in jobs}

    async def owners(self, job_ids: Sequence[str]) -> Mapping[str, str]:
        """See `ImportStore.owners`."""
        statement = select(JOBS.c.job_id, JOBS.c.owner_id).where(JOBS.c.job_id.in_(job_ids))
        async with self._engine.connect() as connection:
            return {str(row.job_id): row.owner_id for row in await connection.execute(statement)}

"""Logs of jobs in Postgres (J4)."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.job.adapters.postgres.log_tables import JOB_LOGS
from services.job.application.logs import LogQuery
from services.job.application.ports import StoredEvent
from services.job.domain.job import Job
from services.job.domain.log import LogLine
from services.runtime.eventlog import EventStore

Encode = Callable[[str, LogLine], bytes]
"""(job id, line) → the payload that is stored, relayed and sent to readers."""


class PostgresLogs:
    """The `LogStore` over Postgres, and the effect that stores what a change of a job has logged."""

    def __init__(self, engine: AsyncEngine, encode: Encode) -> None:
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._encode = encode
        self._log = EventStore(self._single, JOB_LOGS)

    async def store(self, connection: AsyncConnection, job: Job) -> None:
        """The effect: the job's new lines."""
        if not job.lines:
            return
        rows = [
            {
                "stream_id": job.job_id,
                "seq": line.seq,
                "payload": self._encode(job.job_id, line),
                "severity": int(line.severity),
                "stage": line.stage.value,
                "scene_index": line.scene_index,
                "attempt": line.attempt,
            }
            for line in job.lines
        ]
        await connection.execute(insert(JOB_LOGS), rows)

    async def page(self, query: LogQuery, after_seq: int, limit: int) -> list[StoredEvent]:
        """Lines after the position, along the primary key: one job's lines are looked at, no others."""
        lines = JOB_LOGS.c
        statement = (
            select(lines.seq, lines.payload)
            .where(lines.stream_id == query.job_id, lines.seq > after_seq)
            .order_by(lines.seq)
            .limit(limit)
        )
        if query.min_severity is not None:
            statement = statement.where(lines.severity >= int(query.min_severity))
        if query.stage is not None:
            statement = statement.where(lines.stage == query.stage.value)
        if query.scene_index is not None:
            statement = statement.where(lines.scene_index == query.scene_index)
        if query.attempt:
            statement = statement.where(lines.attempt == query.attempt)
        async with self._single.connect() as connection:
            return [StoredEvent(row.seq, row.payload) for row in await connection.execute(statement)]

    async def history(self, job_id: str, after_seq: int, limit: int) -> list[StoredEvent]:
        """Lines after the position, oldest first."""
        return [StoredEvent(*line) for line in await self._log.load(job_id, after_seq, limit)]

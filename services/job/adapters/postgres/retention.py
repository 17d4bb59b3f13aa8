"""What is due, the end of a job, and the audit, in Postgres (J10)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, delete, exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from services.job.adapters.postgres.retention_tables import JOB_AUDIT
from services.job.adapters.postgres.tables import JOB_EVENTS, JOB_FOLLOWS, JOB_OUTBOX, JOB_REQUESTS, JOBS
from services.job.domain.audit import AuditEntry, AuditNote
from services.job.domain.events import Lane
from services.job.domain.job import Job


def audit_values(note: AuditNote, now: datetime, job: Job | None = None) -> dict[str, Any]:
    """The row of an entry."""
    return {
        "occurred_at": now,
        "actor": note.actor,
        "action": note.action,
        "job_id": job.job_id if job else "",
        "owner_id": job.order.owner_id if job else "",
        "details": dict(note.details),
    }


class PostgresRetention:
    """The `RetentionStore` over Postgres. `parts` are columns of further tables, which name the job of a row."""

    def __init__(self, engine: AsyncEngine, parts: Sequence[Column[Any]] = ()) -> None:
        self._engine = engine
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._parts = parts

    async def claim(self, now: datetime, lease: timedelta, limit: int) -> list[str]:
        """Take what is due: its time is put off by the lease, so that it comes back unless it is dealt with."""
        due = (
            select(JOBS.c.job_id)
            .where(JOBS.c.retention_at <= now)
            .order_by(JOBS.c.retention_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        statement = update(JOBS).where(JOBS.c.job_id.in_(due)).values(retention_at=now + lease).returning(JOBS.c.job_id)
        async with self._single.connect() as connection:
            return [str(job_id) for job_id in (await connection.execute(statement)).scalars()]

    async def purge(self, job: Job, note: AuditNote, now: datetime) -> bool:
        """Drop everything that is stored of the job, in one transaction."""
        owed = exists().where(JOB_OUTBOX.c.job_id == job.job_id, JOB_OUTBOX.c.lane == Lane.CREDITS.value)
        async with self._engine.begin() as connection:
            locked = select(JOBS.c.job_id, owed.label("owed")).where(JOBS.c.job_id == job.job_id).with_for_update()
            row = (await connection.execute(locked)).first()
            if row is None or row.owed:
                return row is None
            for column in (JOB_EVENTS.c.stream_id, *self._parts):
                await connection.execute(delete(column.table).where(column == job.job_id))
            for table in (JOB_OUTBOX, JOB_FOLLOWS, JOB_REQUESTS, JOBS):
                await connection.execute(delete(table).where(table.c.job_id == job.job_id))
            await connection.execute(insert(JOB_AUDIT).values(audit_values(note, now, job)))
        return True


class PostgresAudit:
    """The `Audit` over Postgres."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def record(self, note: AuditNote, now: datetime) -> None:
        """Add an entry that is about no job."""
        async with self._single.connect() as connection:
            await connection.execute(insert(JOB_AUDIT).values(audit_values(note, now)))

    async def entries(self, job_id: str, before: int | None, limit: int) -> list[AuditEntry]:
        """Entries, newest first."""
        statement = select(JOB_AUDIT).order_by(JOB_AUDIT.c.entry_id.desc()).limit(limit)
        if job_id:
            statement = statement.where(JOB_AUDIT.c.job_id == job_id)
        if before is not None:
            statement = statement.where(JOB_AUDIT.c.entry_id < before)
        async with self._single.connect() as connection:
            rows = (await connection.execute(statement)).all()
        return [
            AuditEntry(
                row.entry_id,
                row.occurred_at,
                AuditNote(row.actor, row.action, dict(row.details)),
                row.job_id,
                row.owner_id,
            )
            for row in rows
        ]

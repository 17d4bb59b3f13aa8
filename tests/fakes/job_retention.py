"""Retention's ports in memory; `tests/contract/test_job_retention.py` proves them equal to the real adapters."""

from __future__ import annotations

from datetime import datetime, timedelta

from services.job.domain.audit import AuditEntry, AuditNote
from services.job.domain.events import Lane
from services.job.domain.job import Job
from tests.fakes.job import FakeDatabase


class FakeRetention:
    """`RetentionStore` in memory."""

    def __init__(self, database: FakeDatabase) -> None:
        self._db = database
        self._leased: dict[str, datetime] = {}

    async def claim(self, now: datetime, lease: timedelta, limit: int) -> list[str]:
        """Jobs of which something is due."""
        due = [
            (at, job.job_id)
            for job in self._db.jobs.values()
            if (at := job.retention_at) and at <= now and self._leased.get(job.job_id, now) <= now
        ]
        taken = [job_id for _, job_id in sorted(due)[:limit]]
        self._leased.update(dict.fromkeys(taken, now + lease))
        return taken

    async def purge(self, job: Job, note: AuditNote, now: datetime) -> bool:
        """Drop everything that is stored of the job."""
        if any(row.command.job_id == job.job_id and row.command.lane is Lane.CREDITS for row in self._db.outbox):
            return False
        if self._db.jobs.pop(job.job_id, None) is None:
            return True
        self._db.events.pop(job.job_id, None)
        self._db.outbox = [row for row in self._db.outbox if row.command.job_id != job.job_id]
        self._db.leases.pop(job.job_id, None)
        self._db.requests = {name: item for name, item in self._db.requests.items() if item[1] != job.job_id}
        number = len(self._db.audit) + 1
        self._db.audit.append(AuditEntry(number, now, note, job.job_id, job.order.owner_id))
        return True


class FakeAudit:
    """`Audit` in memory."""

    def __init__(self, database: FakeDatabase) -> None:
        self._db = database

    async def record(self, note: AuditNote, now: datetime) -> None:
        """Add an entry that is about no job."""
        self._db.audit.append(AuditEntry(len(self._db.audit) + 1, now, note))

    async def entries(self, job_id: str, before: int | None, limit: int) -> list[AuditEntry]:
        """Entries, newest first."""
        found = [
            entry
            for entry in reversed(self._db.audit)
            if job_id in ("", entry.job_id) and (before is None or entry.entry_id < before)
        ]
        return found[:limit]

"""What is due, the end of a job and the audit, on the fake and on Postgres (J10)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.job.adapters.postgres.jobs import PostgresJobs
from services.job.adapters.postgres.retention import PostgresAudit, PostgresRetention
from services.job.adapters.postgres.writer import JobWriter
from services.job.api.codec import event_payload
from services.job.application.ports import JobStore, RequestKey
from services.job.application.retention import Audit, RetentionStore
from services.job.domain.audit import AuditNote
from services.job.domain.job import Job
from services.job.domain.order import Order
from services.runtime.ids import new_id
from tests.fakes.job import START, CountingSignal, FakeDatabase, FakeJobs
from tests.fakes.job_retention import FakeAudit, FakeRetention

LEASE = timedelta(seconds=60)
SECOND = timedelta(seconds=1)


@dataclass
class Ports:
    """The ports under test."""

    jobs: JobStore
    retention: RetentionStore
    audit: Audit

    async def ended(self, due_s: float, cost: int = 0) -> Job:
        """A cancelled job that is purged after so long."""
        job = Job.accept(new_id(), Order("ada", "T", "C", credit_cost=cost), START)
        await self.jobs.create(job, RequestKey("ada", f"k{job.job_id}", b"f", START + timedelta(hours=24)))
        async with self.jobs.change(job.job_id) as locked:
            assert locked is not None
            locked.cancel(START)
            locked.purge_at = START + timedelta(seconds=due_s)
        return job


@pytest.fixture(params=["fake", "postgres"])
def ports(request: pytest.FixtureRequest) -> Ports:
    if request.param == "fake":
        db = FakeDatabase(event_payload)
        return Ports(FakeJobs(db), FakeRetention(db), FakeAudit(db))
    engine = request.getfixturevalue("engine")
    jobs = PostgresJobs(engine, JobWriter(event_payload, CountingSignal()))
    return Ports(jobs, PostgresRetention(engine), PostgresAudit(engine))


async def test_J10_what_is_due_is_leased_to_one(ports: Ports) -> None:
    """J10: the longest due first; what is not dealt with comes back when the lease has ended."""
    late, early = await ports.ended(20), await ports.ended(10)
    await ports.ended(100)
    assert await ports.retention.claim(START + 9 * SECOND, LEASE, 10) == []
    now = START + 30 * SECOND
    assert set(await ports.retention.claim(now, LEASE, 10)) == {early.job_id, late.job_id}
    assert await ports.retention.claim(now, LEASE, 10) == []
    assert set(await ports.retention.claim(now + LEASE, LEASE, 10)) >= {early.job_id, late.job_id}


async def test_J10_a_purged_job_leaves_its_audit_only(ports: Ports) -> None:
    """J10: row, history, request id; the name can be used again. Twice is once."""
    job = await ports.ended(0)
    note = AuditNote("system", "job.purged", {"object_count": "2"})
    assert await ports.retention.purge(job, note, START)
    assert await ports.retention.purge(job, note, START)
    assert await ports.jobs.get(job.job_id) is None
    assert await ports.jobs.history(job.job_id, 0, 10) == []
    again = Job.accept(new_id(), Order("ada", "T", "C"), START)
    key = RequestKey("ada", f"k{job.job_id}", b"other", START + timedelta(hours=24))
    await ports.jobs.create(again, key)
    assert await ports.jobs.get(again.job_id) is not None
    [entry] = await ports.audit.entries(job.job_id, None, 10)
    assert (entry.note, entry.owner_id, entry.occurred_at) == (note, "ada", START)


async def test_J10_a_job_whose_credits_are_still_to_be_given_back_stays(ports: Ports) -> None:
    """J10, A6: what is owed is not forgotten."""
    job = await ports.ended(0, cost=3)
    assert not await ports.retention.purge(job, AuditNote("system", "job.purged"), START)
    assert await ports.jobs.get(job.job_id) is not None


async def test_J10_the_audit_pages_newest_first(ports: Ports) -> None:
    """J10, J9: of one job, or of all; with the change that it tells of."""
    job = await ports.ended(0)
    async with ports.jobs.change(job.job_id) as locked:
        assert locked is not None
        locked.notes.append(AuditNote("ada", "job.deleted"))

    async def fail() -> None:
        async with ports.jobs.change(job.job_id) as locked:
            assert locked is not None
            locked.notes.append(AuditNote("ada", "never stored"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    await ports.audit.record(AuditNote("root", "queue.drained", {"a": "1"}), START)
    first, second = await ports.audit.entries("", None, 10)
    assert (first.note.action, first.job_id, dict(first.note.details)) == ("queue.drained", "", {"a": "1"})
    assert (second.note.action, second.job_id) == ("job.deleted", job.job_id)
    assert await ports.audit.entries("", first.entry_id, 10) == [second]
    assert await ports.audit.entries(job.job_id, None, 10) == [second]
    assert await ports.audit.entries("", None, 1) == [first]


@pytest.mark.parametrize("statement", ["UPDATE job_audit SET actor = 'nobody'", "DELETE FROM job_audit"])
async def test_J10_the_audit_cannot_be_changed(engine: AsyncEngine, statement: str) -> None:
    """J10: not even by whoever has the database password of the service."""
    await PostgresAudit(engine).record(AuditNote("root", "queue.drained"), START)
    with pytest.raises(DBAPIError, match="only ever added"):
        async with engine.begin() as connection:
            await connection.execute(text(statement))
    assert len(await PostgresAudit(engine).entries("", None, 10)) == 1


async def test_J10_due_jobs_are_found_by_their_index(engine: AsyncEngine) -> None:
    """J10: the sweep's question costs what is due, not what is kept."""
    async with engine.connect() as connection:
        await connection.execute(text("SET enable_seqscan = off"))
        plan = await connection.execute(
            text("EXPLAIN SELECT job_id FROM jobs WHERE retention_at <= now() ORDER BY retention_at LIMIT 50")
        )
        assert "ix_jobs_retention" in "\n".join(plan.scalars())

"""Batches on the fake and on Postgres (V2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from services.job.adapters.postgres.batches import PostgresBatches
from services.job.adapters.postgres.jobs import PostgresJobs
from services.job.adapters.postgres.writer import JobWriter
from services.job.api.batch_codec import event_payload as batch_payload
from services.job.api.codec import event_payload
from services.job.application.batches import BatchStore
from services.job.application.ports import JobStore, PageKey, RequestKey
from services.job.domain.batch import Batch, BatchStatus, Refusal
from services.job.domain.job import Job
from services.job.domain.order import Order
from services.job.domain.values import JobStatus
from services.runtime.db import create_engine
from services.runtime.ids import new_id
from t2m.job.v1 import batch_pb2
from tests import stack
from tests.fakes.batches import FakeBatches
from tests.fakes.job import START, CountingSignal, FakeDatabase, FakeJobs

SECOND = timedelta(seconds=1)
REFUSAL = Refusal(1, "VALIDATION_FAILED", "no", (("topic", "is required"), ("context", "is required")))


@dataclass
class Ports:
    """The store under test, the jobs beside it, and which batches were announced as ended."""

    batches: BatchStore
    jobs: JobStore
    told: Callable[[Job, JobStatus], Awaitable[None]]
    ended: list[str]

    async def add(self, count: int = 2, *refusals: Refusal, owner: str = "ada", key: RequestKey | None = None) -> Batch:
        """A batch with that many items, of which some may be refused."""
        batch = Batch.accept(new_id(), owner, count, refusals, START, "https://a.example/")
        refused = {refusal.index for refusal in refusals}
        jobs = {
            index: Job.accept(new_id(), Order(owner, f"T{index}", "C", batch_id=batch.batch_id), START)
            for index in range(count)
            if index not in refused
        }
        repeated = await self.batches.create(batch, jobs, key)
        if repeated is not None:
            assert key is not None
            assert repeated.fingerprint == b"f"
            return repeated.batch
        return batch

    async def change(self, job_id: str, change: Callable[[Job], None]) -> None:
        """A change of a job, and its effect on the batch."""
        async with self.jobs.change(job_id) as job:
            assert job is not None
            before = job.status
            change(job)
        await self.told(job, before)

    async def jobs_of(self, batch: Batch) -> list[str]:
        """Its open jobs, in order."""
        return sorted(await self.batches.open_jobs(batch.batch_id))


@pytest.fixture(params=["fake", "postgres"])
async def ports(request: pytest.FixtureRequest, postgres: Callable[[], str]) -> AsyncGenerator[Ports]:
    if request.param == "fake":
        db = FakeDatabase(event_payload)
        fake = FakeBatches(db, batch_payload)
        yield Ports(fake, FakeJobs(db), fake.job_changed, fake.ended)
        return
    url = postgres()
    await stack.migrate("job", url)
    engine = create_engine(url)
    writer, ended = JobWriter(event_payload, CountingSignal()), list[str]()

    async def on_ended(connection: AsyncConnection, batch: Batch) -> None:
        ended.append(batch.batch_id)

    async def told(job: Job, before: JobStatus) -> None:
        """The effect has done it."""

    batches = PostgresBatches(engine, writer, batch_payload, CountingSignal(), on_ended)
    writer.effects.append(batches.job_changed)
    yield Ports(batches, PostgresJobs(engine, writer), told, ended)
    await engine.dispose()


def key(request_id: str = "once", owner: str = "ada", expires_s: float = 60) -> RequestKey:
    return RequestKey(owner, request_id, b"f", START + timedelta(seconds=expires_s))


async def test_V2_a_batch_comes_back_as_it_was_stored(ports: Ports) -> None:
    """V2: with its refusals; its jobs are ordinary jobs."""
    batch = await ports.add(3, REFUSAL)
    assert await ports.batches.get(batch.batch_id) == batch
    assert (batch.counts[JobStatus.QUEUED], batch.accepted, batch.revision) == (2, 2, 1)
    assert len(await ports.jobs_of(batch)) == 2
    assert await ports.batches.get(new_id()) is None
    assert ports.ended == []


async def test_V2_of_identical_requests_at_once_one_is_stored(ports: Ports) -> None:
    """V2: the others get it; the name is free again when it has expired, and another owner's is another."""
    batches = await asyncio.gather(*(ports.add(2, REFUSAL, key=key()) for _ in range(20)))
    assert len({batch.batch_id for batch in batches}) == 1
    assert len(await ports.batches.page("ada", None, 100)) == 1
    other = await ports.add(1, owner="bob", key=key(owner="bob"))
    assert other.batch_id != batches[0].batch_id
    expired = await ports.add(1, key=key("short", expires_s=0))
    assert (await ports.add(1, key=key("short", expires_s=0))).batch_id != expired.batch_id


async def test_V2_jobs_are_counted_as_they_change(ports: Ports) -> None:
    """V2: in the transaction of the change; the last one ends the batch, once."""
    batch = await ports.add(2)
    first, second = await ports.jobs_of(batch)
    await ports.change(first, lambda job: job.start_attempt(START))
    running = await ports.batches.get(batch.batch_id)
    assert running is not None
    assert (running.counts[JobStatus.QUEUED], running.counts[JobStatus.PROCESSING]) == (1, 1)
    assert await ports.batches.running() == {batch.batch_id: 0.0}
    await ports.change(first, lambda job: job.cancel(START + SECOND))
    assert await ports.batches.running() == {}
    assert ports.ended == []
    await ports.change(second, lambda job: job.cancel(START + SECOND))
    await ports.change(second, lambda job: job.delete(START + SECOND))
    ended = await ports.batches.get(batch.batch_id)
    assert ended is not None
    assert (ended.status, ended.progress, ended.completed_at) == (BatchStatus.FAILED, 100, START + SECOND)
    assert ports.ended == [batch.batch_id]
    history = await ports.batches.history(batch.batch_id, 0, 100)
    assert [event.seq for event in history] == list(range(1, ended.revision + 1))
    events = [batch_pb2.BatchEvent.FromString(event.payload) for event in history]
    assert [event.WhichOneof("event") for event in events] == ["progress"] * 3 + ["ended"]
    assert events[-1].ended.cancelled_count == 2


async def test_V2_a_batch_without_a_job_is_over_at_once(ports: Ports) -> None:
    """V2: and announced."""
    batch = await ports.add(2, Refusal(0, "C", "M"), REFUSAL)
    stored = await ports.batches.get(batch.batch_id)
    assert stored is not None
    assert stored.status is BatchStatus.FAILED
    assert ports.ended == [batch.batch_id]


async def test_V2_batches_that_somebody_began_to_cancel(ports: Ports) -> None:
    """V2: found when whoever did it has died."""
    batch = await ports.add(2)
    await ports.add(2)
    async with ports.batches.change(batch.batch_id) as locked:
        assert locked is not None
        assert locked.cancel()
    assert await ports.batches.half_cancelled(START, 10) == []
    assert await ports.batches.half_cancelled(START + SECOND, 10) == [batch.batch_id]
    for job_id in await ports.jobs_of(batch):
        await ports.change(job_id, lambda job: job.cancel(START))
    assert await ports.batches.half_cancelled(START + SECOND, 10) == []
    ended = await ports.batches.get(batch.batch_id)
    assert ended is not None
    assert ended.status is BatchStatus.CANCELLED


async def test_V2_lists_go_by_keyset(ports: Ports) -> None:
    """V2: newest first; an owner's, or everybody's."""
    mine = [await ports.add() for _ in range(3)]
    await ports.add(owner="bob")
    expected = sorted((batch.batch_id for batch in mine), reverse=True)
    first = await ports.batches.page("ada", None, 2)
    assert [batch.batch_id for batch in first] == expected[:2]
    after = PageKey(first[-1].created_at, first[-1].batch_id)
    assert [batch.batch_id for batch in await ports.batches.page("ada", after, 2)] == expected[2:]
    assert len(await ports.batches.page(None, None, 10)) == 4

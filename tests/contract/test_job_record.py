"""Rows of an owner that an erasure sees, and turns of exports, on the fakes and on Postgres (A8)."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.job.adapters.postgres.export_turns import PostgresExportTurns
from services.job.adapters.postgres.jobs import PostgresJobs
from services.job.adapters.postgres.owned_records import PostgresOwnedRecords
from services.job.adapters.postgres.writer import JobWriter
from services.job.api.codec import event_payload
from services.job.application.erasing import ErasedOwners, LeftJob
from services.job.application.export import ExportTurns
from services.job.application.ports import JobStore
from services.job.domain.job import Job
from services.job.domain.order import Order
from services.job.domain.values import JobStatus
from services.runtime.ids import new_id
from tests.fakes.job import START, CountingSignal, FakeDatabase, FakeJobs
from tests.fakes.job_record import FakeErasedOwners, FakeExportTurns


@dataclass
class Ports:
    """The ports under test."""

    jobs: JobStore
    owners: ErasedOwners
    turns: ExportTurns

    async def job(self, owner: str) -> Job:
        """A new one."""
        job = Job.accept(new_id(), Order(owner, "T", "C"), START)
        await self.jobs.create(job, None)
        return job


@pytest.fixture(params=["fake", "postgres"])
def ports(request: pytest.FixtureRequest) -> Ports:
    if request.param == "fake":
        db = FakeDatabase(event_payload)
        return Ports(FakeJobs(db), FakeErasedOwners(db), FakeExportTurns())
    engine = request.getfixturevalue("engine")
    jobs = PostgresJobs(engine, JobWriter(event_payload, CountingSignal()))
    return Ports(jobs, PostgresOwnedRecords(engine), PostgresExportTurns(engine))


async def test_A8_jobs_of_an_owner_come_by_id_deleted_or_not(ports: Ports) -> None:
    first, second = sorted([await ports.job("ada"), await ports.job("ada")], key=lambda job: job.job_id)
    await ports.job("eve")
    async with ports.jobs.change(second.job_id) as locked:
        assert locked is not None
        locked.delete(START)
    waiting = LeftJob(first.job_id, JobStatus.QUEUED, deleted=False, completed_at=None)
    stopped = LeftJob(second.job_id, JobStatus.CANCELLED, deleted=True, completed_at=START)
    assert await ports.owners.jobs("ada", "", 10) == [waiting, stopped]
    assert await ports.owners.jobs("ada", "", 1) == [waiting]
    assert await ports.owners.jobs("ada", first.job_id, 10) == [stopped]
    assert (waiting.is_still(START), stopped.is_still(START)) == (False, False)
    assert stopped.is_still(START + timedelta(seconds=60))


async def test_A8_nothing_of_an_owner_is_forgotten_while_there_is_a_job(ports: Ports) -> None:
    await ports.job("ada")
    await ports.owners.forget_receivers("ada")
    assert not await ports.owners.forget("ada")
    assert await ports.owners.forget("eve")
    assert await ports.owners.batches("ada") == []


async def test_A8_one_turn_of_an_owner_at_a_time_and_again_when_it_has_ended(ports: Ports) -> None:
    async with AsyncExitStack() as held:
        assert await held.enter_async_context(ports.turns.take("ada"))
        async with ports.turns.take("ada") as second, ports.turns.take("eve") as other:
            assert (second, other) == (False, True)
        async with ports.turns.take("ada") as third:
            assert not third  # the end of one that was refused gives nothing back
    async with ports.turns.take("ada") as fourth:
        assert fourth


async def test_A8_the_turn_of_a_process_that_died_lapses(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        lapsed = "INSERT INTO data_exports VALUES ('ada', 'dead', now() - interval '1 second')"
        await connection.execute(text(lapsed))
    async with PostgresExportTurns(engine).take("ada") as mine:
        assert mine
        async with engine.connect() as connection:
            holder = (await connection.execute(text("SELECT holder FROM data_exports"))).scalar_one()
    assert holder != "dead"


async def test_A8_a_turn_is_prolonged_while_it_lasts(engine: AsyncEngine) -> None:
    turns = PostgresExportTurns(engine, timedelta(milliseconds=400))
    query = text("SELECT held_until FROM data_exports")
    async with turns.take("ada") as mine, engine.connect() as connection:
        assert mine
        first = (await connection.execute(query)).scalar_one()
        later = first
        async with asyncio.timeout(20):
            while later == first:
                await connection.execute(text("SELECT pg_sleep(0.05)"))
                await connection.rollback()
                later = (await connection.execute(query)).scalar_one()
    assert later > first

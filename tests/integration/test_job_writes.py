"""What Postgres has to do for a progress report (V3) and for new orders (P2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.job.adapters.postgres.jobs import PostgresJobs
from services.job.adapters.postgres.writer import JobWriter
from services.job.api.codec import event_payload
from services.job.application.ports import Created, JobQuery, Repeated, RequestKey
from services.job.domain.job import Job
from services.job.domain.order import Order
from services.job.domain.render import PlannedFact, ProgressFact, Scene
from services.job.domain.retry import RetryPolicy
from services.runtime.db import create_engine
from services.runtime.ids import new_id
from tests import stack
from tests.fakes.job import START, CountingSignal

REPORTS = 60
_WRITES = text("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'jobs'")


async def test_V3_drawn_frames_are_written_in_place(postgres: Callable[[], str]) -> None:
    """V3: a report of frames touches no index (a heap-only update), so an hour of progress leaves the indexes alone."""
    url = postgres()
    await stack.migrate("job", url)
    engine = create_engine(url, pool_size=1, max_overflow=0)
    jobs = PostgresJobs(engine, JobWriter(event_payload, CountingSignal()))
    job = Job.accept(new_id(), Order("ada", "T", "C"), START)
    await jobs.create(job, None)
    facts = [PlannedFact(1, "Title", tuple(Scene(index, f"Scene {index}") for index in range(8)))]
    async with jobs.change(job.job_id) as locked:
        assert locked is not None
        locked.start_attempt(START)
        locked.apply(locked.render_id, facts, START, RetryPolicy(), 0.5)
    async with engine.connect() as connection:
        await connection.execute(text("SELECT pg_stat_force_next_flush()"))
    async with engine.connect() as connection:
        before = (await connection.execute(_WRITES)).one()
    for number in range(REPORTS):
        async with jobs.change(job.job_id) as locked:
            assert locked is not None
            report = ProgressFact(number + 2, float(number), number % 8, number, REPORTS)
            locked.apply(locked.render_id, [report], START, RetryPolicy(), 0.5)
    async with engine.connect() as connection:
        await connection.execute(text("SELECT pg_stat_force_next_flush()"))
    async with engine.connect() as connection:
        after = (await connection.execute(_WRITES)).one()
    await engine.dispose()
    assert after.n_tup_upd - before.n_tup_upd == REPORTS
    # A row with eight scenes has two kilobytes: each fourth version finds its page full and moves, into every index.
    assert after.n_tup_hot_upd - before.n_tup_hot_upd >= REPORTS * 0.7


@asynccontextmanager
async def counted(engine: AsyncEngine) -> AsyncGenerator[list[str]]:
    """The statements that are executed meanwhile."""
    seen: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        seen.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine.sync_engine, "before_cursor_execute", note)


@pytest.fixture
async def engine(postgres: Callable[[], str]) -> AsyncGenerator[AsyncEngine]:
    url = postgres()
    await stack.migrate("job", url)
    made = create_engine(url)
    yield made
    await made.dispose()


def order(number: int, topic: str = "T", **more: Any) -> Job:
    return Job.accept(new_id(), Order(f"owner-{number % 3}", topic, "C", **more), START)


def key(job: Job, request_id: str) -> RequestKey:
    return RequestKey(job.order.owner_id, request_id, b"f", START + timedelta(hours=24))


async def test_P2_orders_of_a_moment_share_a_statement(engine: AsyncEngine) -> None:
    """P2, A6: forty at once take a few statements; each is stored with its event and the command for its credits."""
    jobs = PostgresJobs(engine, JobWriter(event_payload, CountingSignal()))
    made = [order(number, credit_cost=number % 2) for number in range(40)]
    async with counted(engine) as statements:
        outcomes = await asyncio.gather(*(jobs.create(job, key(job, job.job_id)) for job in made))
    assert outcomes == [Created()] * 40
    assert len(statements) <= 3
    for job in made:
        assert [event.seq for event in await jobs.history(job.job_id, 0, 9)] == [1]
    async with engine.connect() as connection:
        rows = await connection.execute(text("SELECT job_id::text, lane, kind FROM job_outbox"))
        commands = sorted(tuple(row) for row in rows)
    assert commands == sorted((job.job_id, "credits", "confirm_credits") for job in made if job.order.credit_cost)


async def test_P2_one_order_that_cannot_be_stored_fails_alone(engine: AsyncEngine) -> None:
    """P2: Postgres refuses the statement for one of twenty; the others are stored, the repeats of a request once."""
    jobs = PostgresJobs(engine, JobWriter(event_payload, CountingSignal()))
    made = [order(number, topic="\0" if number == 7 else "T") for number in range(20)]
    twins = [order(0) for _ in range(3)]
    calls = [jobs.create(job, None) for job in made] + [jobs.create(twin, key(twin, "same")) for twin in twins]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, BaseException)] == [7]
    assert [type(outcome) for outcome in outcomes[20:]] == [Created, Repeated, Repeated]
    assert await jobs.count(JobQuery(None)) == 20


async def test_P2_an_order_that_is_given_up_is_stored_whole_or_not_at_all(engine: AsyncEngine) -> None:
    """P2: whoever goes away meanwhile takes nobody along."""
    jobs = PostgresJobs(engine, JobWriter(event_payload, CountingSignal()))
    made = [order(number) for number in range(12)]
    calls = [asyncio.create_task(jobs.create(job, None)) for job in made]
    await asyncio.sleep(0)
    for call in calls[::3]:
        call.cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [outcome for n, outcome in enumerate(outcomes) if n % 3] == [Created()] * 8
    stored = {job.job_id for job in await jobs.page(JobQuery(None), None, 0, 20)}
    for job in made:
        assert len(await jobs.history(job.job_id, 0, 9)) == (job.job_id in stored)


async def test_P2_two_replicas_with_the_same_requests_do_not_block_each_other(engine: AsyncEngine) -> None:
    """V1: groups of two processes claim the same thirty request ids from either end; each request has one job."""
    replicas = [PostgresJobs(engine, JobWriter(event_payload, CountingSignal())) for _ in range(2)]
    names = [f"r{number}" for number in range(30)]
    calls = [
        replica.create(job, key(job, name))
        for replica, order_of in zip(replicas, (names, names[::-1]), strict=True)
        for name in order_of
        for job in [order(0)]
    ]
    outcomes = await asyncio.gather(*calls)
    assert [type(outcome) for outcome in outcomes].count(Created) == 30
    assert await replicas[0].count(JobQuery(None)) == 30

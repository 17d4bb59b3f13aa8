"""What a progress report costs Postgres (V3)."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import text

from services.job.adapters.postgres.jobs import PostgresJobs
from services.job.adapters.postgres.writer import JobWriter
from services.job.api.codec import event_payload
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

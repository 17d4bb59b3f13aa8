"""The dashboard's figures on the fake and on Postgres (J11)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from services.job.adapters.postgres.dashboard import PostgresDashboard
from services.job.adapters.postgres.jobs import PostgresJobs
from services.job.adapters.postgres.writer import JobWriter
from services.job.api.codec import event_payload
from services.job.application.dashboard import DashboardStore, DayCounts, Figures
from services.job.application.ports import JobStore
from services.job.domain.job import Job
from services.job.domain.order import Order
from services.job.domain.render import Failure, Video
from services.job.domain.values import JobStatus
from services.runtime.db import create_engine
from services.runtime.ids import new_id
from tests import stack
from tests.contract.test_job_ports import VIDEO
from tests.fakes.dashboard import FakeDashboard
from tests.fakes.job import CountingSignal, FakeDatabase, FakeJobs

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
SINCE = datetime(2026, 3, 3, tzinfo=UTC)


@dataclass
class Ports:
    """The figures, and a way to make jobs."""

    jobs: JobStore
    dashboard: DashboardStore

    async def add(self, at: datetime, owner: str = "ada", cost: int = 0) -> Job:
        """A queued job."""
        job = Job.accept(new_id(), Order(owner, "T", "C", credit_cost=cost), at)
        await self.jobs.create(job, None)
        return job

    async def started(self, at: datetime, owner: str = "ada", cost: int = 0) -> str:
        """A processing job."""
        job = await self.add(at, owner, cost)
        async with self.jobs.change(job.job_id) as locked:
            assert locked is not None
            locked.start_attempt(at)
        return job.job_id

    async def ended(self, at: datetime, took_s: int, video: Video | None, cost: int = 0) -> str:
        """A job that completed with a video, or failed without one."""
        job_id = await self.started(at, cost=cost)
        async with self.jobs.change(job_id) as locked:
            assert locked is not None
            locked.refuse_render(locked.render_id, Failure("C", "M"), at + timedelta(seconds=took_s))
            if video is not None:
                locked.status, locked.failure, locked.video = JobStatus.COMPLETED, None, video
        return job_id


@pytest.fixture(params=["fake", "postgres"])
async def ports(request: pytest.FixtureRequest, postgres: Callable[[], str]) -> AsyncGenerator[Ports]:
    if request.param == "fake":
        db = FakeDatabase(event_payload)
        yield Ports(FakeJobs(db), FakeDashboard(db))
        return
    url = postgres()
    await stack.migrate("job", url)
    engine = create_engine(url)
    yield Ports(PostgresJobs(engine, JobWriter(event_payload, CountingSignal())), PostgresDashboard(engine))
    await engine.dispose()


async def test_J11_no_jobs_no_figures(ports: Ports) -> None:
    """J11."""
    assert await ports.dashboard.figures("ada", SINCE) == Figures()


async def test_J11_figures_of_a_span(ports: Ports) -> None:
    """J11: the owner's jobs of the span, by state, day, time and size; open ones whenever they came."""
    yesterday, long_ago = NOON - timedelta(days=1), NOON - timedelta(days=9)
    video = replace(VIDEO, size_bytes=100, duration_s=1.5)
    await ports.ended(yesterday, 10, video, cost=2)
    await ports.ended(NOON, 20, replace(video, size_bytes=10), cost=1)
    await ports.ended(NOON, 60, replace(video, size_bytes=1), cost=4)
    await ports.ended(NOON, 5, None, cost=8)
    await ports.ended(long_ago, 5, video, cost=16)
    await ports.add(long_ago)
    await ports.started(NOON)
    await ports.add(NOON, owner="bob")
    gone = await ports.add(NOON)
    async with ports.jobs.change(gone.job_id) as locked:
        assert locked is not None
        locked.delete(NOON)
    midnight = NOON.replace(hour=0)
    assert await ports.dashboard.figures("ada", SINCE) == Figures(
        queued=1,
        processing=1,
        completed=3,
        failed=1,
        cancelled=0,
        total=5,
        processing_time_median=timedelta(seconds=20),
        video_duration_total_s=4.5,
        video_bytes_total=111,
        credits_spent=7,
        days=(DayCounts(midnight - timedelta(days=1), 1, 1, 0), DayCounts(midnight, 4, 2, 1)),
    )

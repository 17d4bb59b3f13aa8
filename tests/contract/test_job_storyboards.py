"""Ordered storyboards, on the fake and on Postgres (V9)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest

from services.job.adapters.postgres.jobs import PostgresJobs
from services.job.adapters.postgres.storyboards import PostgresStoryboards
from services.job.adapters.postgres.writer import JobWriter
from services.job.api.codec import event_payload
from services.job.application.ports import JobStore
from services.job.application.storyboards import Storyboard, StoryboardStore
from services.job.domain.job import Job
from services.job.domain.order import Order
from services.runtime.ids import new_id
from tests.fakes.job import START, CountingSignal, FakeDatabase, FakeJobs
from tests.fakes.storyboards import FakeStoryboardStore

SECOND = timedelta(seconds=1)
BOARD = Storyboard(b"\x0a\x00\xff board", "A title")


@dataclass
class Ports:
    """The ports under test."""

    jobs: JobStore
    storyboards: StoryboardStore


@pytest.fixture(params=["fake", "postgres"])
def ports(request: pytest.FixtureRequest) -> Ports:
    if request.param == "fake":
        db = FakeDatabase(event_payload)
        return Ports(FakeJobs(db), FakeStoryboardStore(db))
    engine = request.getfixturevalue("engine")
    return Ports(PostgresJobs(engine, JobWriter(event_payload, CountingSignal())), PostgresStoryboards(engine))


async def test_V9_a_storyboard_is_kept_once_for_each_owner(ports: Ports) -> None:
    name = await ports.storyboards.keep("ada", BOARD, START)
    assert await ports.storyboards.keep("ada", BOARD, START) == name
    assert await ports.storyboards.keep("ada", Storyboard(b"other", "t"), START) != name
    assert await ports.storyboards.load("ada", name) == BOARD
    assert await ports.storyboards.load("bob", name) is None
    assert await ports.storyboards.load("ada", "none") is None


async def test_V9_it_stays_as_long_as_a_job_refers_to_it(ports: Ports) -> None:
    used = await ports.storyboards.keep("ada", BOARD, START)
    unused = await ports.storyboards.keep("bob", BOARD, START)
    again = await ports.storyboards.keep("eve", BOARD, START)
    await ports.storyboards.keep("eve", BOARD, START + 2 * SECOND)
    order = Order("ada", "A title", "", storyboard=used, scene_fallback=True)
    job = Job.accept(new_id(), order, START)
    await ports.jobs.create(job, None)
    assert await ports.storyboards.purge(START) == 0, "not old enough"
    assert await ports.storyboards.purge(START + SECOND) == 1
    assert await ports.storyboards.load("bob", unused) is None
    assert await ports.storyboards.load("ada", used) == BOARD
    assert await ports.storyboards.load("eve", again) == BOARD, "it was ordered again"
    stored = await ports.jobs.get(job.job_id)
    assert stored is not None
    assert stored.order == order

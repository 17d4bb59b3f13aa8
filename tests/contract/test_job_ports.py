"""One suite for the ports of the job service: the fakes of the unit tests and Postgres must behave alike."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.job.adapters import postgres as adapters
from services.job.adapters.postgres.jobs import PostgresJobs
from services.job.adapters.postgres.leases import PostgresLeases
from services.job.adapters.postgres.outbox import PostgresOutbox
from services.job.adapters.postgres.queue import PostgresQueue
from services.job.adapters.postgres.tables import METADATA
from services.job.adapters.postgres.writer import JobWriter
from services.job.api.codec import event_payload
from services.job.application.ports import (
    Created,
    Delivery,
    JobQuery,
    JobStore,
    Leases,
    Outbox,
    PageKey,
    Repeated,
    RequestKey,
    Revision,
)
from services.job.application.queueing import AdmissionLimits, Queue
from services.job.domain.events import CancelRender, Lane, StartRender
from services.job.domain.job import Job
from services.job.domain.order import Order
from services.job.domain.plan import Plan, Plans
from services.job.domain.render import (
    Chapter,
    Failure,
    PlannedFact,
    ProgressFact,
    RenderFact,
    RenderState,
    Scene,
    SceneFact,
    StateFact,
    Video,
)
from services.job.domain.retry import RetryPolicy
from services.job.domain.values import JobStage, JobStatus, Priority, Quality
from services.runtime.db import create_engine
from services.runtime.ids import new_id
from tests import stack
from tests.fakes.job import (
    START,
    CountingSignal,
    FakeDatabase,
    FakeJobs,
    FakeLeases,
    FakeOutbox,
)
from tests.fakes.job_queue import FakeQueue

LEASE = timedelta(seconds=20)
VIDEO = Video(
    video_object_id="v",
    thumbnail_object_id="t",
    storyboard_object_id="s",
    title="Title ½",
    size_bytes=1,
    sha256="a" * 64,
    duration_s=1.5,
    width=2,
    height=3,
    frame_rate=30.0,
    video_codec="h264",
    frame_count=45,
    chapters=(Chapter(0, "One", "bullets", 0.0, 1.5),),
)


@dataclass
class Ports:
    """The ports under test, and a look at the signal that announces new events."""

    jobs: JobStore
    queue: Queue
    outbox: Outbox
    leases: Leases
    short_leases: Leases
    """The same leases, but a claim ends at once."""
    stored: CountingSignal


@pytest.fixture(params=["fake", "postgres"])
async def ports(request: pytest.FixtureRequest, postgres: Callable[[], str]) -> AsyncGenerator[Ports]:
    stored = CountingSignal()
    if request.param == "fake":
        db = FakeDatabase(event_payload)
        yield Ports(FakeJobs(db), FakeQueue(db), FakeOutbox(db), FakeLeases(db), FakeLeases(db, timedelta(0)), stored)
        return
    url = postgres()
    await stack.migrate("job", url)
    engine = create_engine(url)
    writer = JobWriter(event_payload, stored)
    yield Ports(
        PostgresJobs(engine, writer),
        PostgresQueue(engine, writer),
        PostgresOutbox(engine),
        PostgresLeases(engine),
        PostgresLeases(engine, timedelta(0)),
        stored,
    )
    await engine.dispose()


def new_job(owner: str = "ada", at: datetime = START, **order: Any) -> Job:
    fields: dict[str, Any] = {"topic": "T", "context": "C", **order}
    return Job.accept(new_id(), Order(owner, **fields), at)


async def stored(ports: Ports, owner: str = "ada", at: datetime = START, **order: Any) -> Job:
    job = new_job(owner, at, **order)
    await ports.jobs.create(job, None)
    return job


def key(request_id: str = "r", fingerprint: bytes = b"f", until: datetime = START + timedelta(hours=24)) -> RequestKey:
    return RequestKey("ada", request_id, fingerprint, until)


async def admit(ports: Ports, now: datetime) -> list[str]:
    """Start what may start; ids in order."""
    async with ports.queue.admit(now, AdmissionLimits(10, Plans({"free": Plan(in_flight=10)}))) as jobs:
        for job in jobs:
            job.start_attempt(now)
    return [job.job_id for job in jobs]


async def accept_render(ports: Ports, job_id: str) -> None:
    async with ports.jobs.change(job_id) as job:
        assert job is not None
        job.confirm_render(job.render_id)


def bare(job: Job | None) -> Job:
    """The job as it is stored, without what was only on its way."""
    assert job is not None
    job.events.clear()
    job.commands.clear()
    return job


async def test_job_is_kept_as_it_was(ports: Ports) -> None:
    """Every field survives: scenes, video, failure, times, configuration."""
    order: dict[str, Any] = {
        "quality": Quality.HIGH,
        "priority": Priority.LOW,
        "thumbnails": False,
        "max_retries": 0,
        "batch_id": "b",
        "configuration": {"theme": "light", "n": [1, 2.5, None, {"x": True}]},
    }
    job = new_job(**order)
    job.first_estimate = START + timedelta(seconds=9)
    assert await ports.jobs.create(job, None) == Created()
    assert bare(await ports.jobs.get(job.job_id)) == job
    async with ports.jobs.change(job.job_id) as locked:
        assert locked is not None
        locked.start_attempt(START + timedelta(seconds=1))
        facts: list[RenderFact] = [
            PlannedFact(1, "Title", (Scene(0, "One", frames_total=9, warnings=("w",)), Scene(1))),
            ProgressFact(2, 10.5, 0, 3, 9),
            SceneFact(3, Scene(0, "One", frames_done=9, frames_total=9, attempts=2), 50.0),
        ]
        locked.apply(locked.render_id, facts, START + timedelta(seconds=2), RetryPolicy(), 0.5)
    assert bare(await ports.jobs.get(job.job_id)) == bare(locked)
    async with ports.jobs.change(job.job_id) as locked:
        assert locked is not None
        done = StateFact(4, RenderState.SUCCEEDED, JobStage.PUBLISHING, 100.0, video=VIDEO)
        locked.apply(locked.render_id, [done], START + timedelta(seconds=3), RetryPolicy(), 0.5)
    assert bare(await ports.jobs.get(job.job_id)) == bare(locked)
    assert locked is not None
    assert locked.video is not None


async def test_failure_is_kept(ports: Ports) -> None:
    job = await stored(ports, max_retries=1)
    async with ports.jobs.change(job.job_id) as locked:
        assert locked is not None
        locked.start_attempt(START)
        failure = Failure("C", "M", JobStage.RENDERING, 0, retryable=True)
        fact = StateFact(1, RenderState.FAILED, JobStage.RENDERING, 5.0, failure=failure)
        locked.apply(locked.render_id, [fact], START, RetryPolicy(), 0.5)
    again = bare(await ports.jobs.get(job.job_id))
    assert (again.failure, again.next_attempt_at) == (failure, START + timedelta(seconds=30))


async def test_v1_request_id_is_claimed_once(ports: Ports) -> None:
    """V1: of 50 identical requests at once one is stored, and all learn of it."""
    jobs = [new_job() for _ in range(50)]
    outcomes = await asyncio.gather(*(ports.jobs.create(job, key()) for job in jobs))
    created = [job.job_id for job, outcome in zip(jobs, outcomes, strict=True) if isinstance(outcome, Created)]
    assert len(created) == 1
    assert {outcome.job.job_id for outcome in outcomes if isinstance(outcome, Repeated)} == set(created)
    assert await ports.jobs.count(JobQuery("ada")) == 1


async def test_v1_request_id_is_scoped_and_expires(ports: Ports) -> None:
    """V1: another owner may use the same id; after its lifetime it is free again."""
    first = new_job()
    await ports.jobs.create(first, key(fingerprint=b"1"))
    repeated = await ports.jobs.create(new_job(), key(fingerprint=b"2"))
    assert isinstance(repeated, Repeated)
    assert (repeated.job.job_id, repeated.fingerprint) == (first.job_id, b"1")
    other = RequestKey("bob", "r", b"1", START + timedelta(hours=24))
    assert await ports.jobs.create(new_job("bob"), other) == Created()
    late = START + timedelta(hours=24)
    third = new_job(at=late)
    assert await ports.jobs.create(third, key(fingerprint=b"3", until=late + timedelta(hours=24))) == Created()
    repeated = await ports.jobs.create(new_job(at=late), key())
    assert isinstance(repeated, Repeated)
    assert repeated.job.job_id == third.job_id
    await ports.jobs.purge_requests(late + timedelta(hours=25))
    assert await ports.jobs.create(new_job(at=late), key()) == Created()


async def test_change_stores_nothing_when_it_raises(ports: Ports) -> None:
    job = await stored(ports)

    async def cancel_and_stumble() -> None:
        async with ports.jobs.change(job.job_id) as locked:
            assert locked is not None
            locked.cancel(START)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await cancel_and_stumble()
    assert bare(await ports.jobs.get(job.job_id)).status is JobStatus.QUEUED
    assert [event.seq for event in await ports.jobs.history(job.job_id, 0, 10)] == [1]
    async with ports.jobs.change(new_id()) as missing:
        assert missing is None


async def test_j1_changes_at_once_leave_no_gap(ports: Ports) -> None:
    """J1: concurrent changes take turns, so revisions are 1, 2, 3 …"""
    job = await stored(ports)
    await admit(ports, START)

    async def draw(seq: int) -> None:
        async with ports.jobs.change(job.job_id) as locked:
            assert locked is not None
            fact = ProgressFact(locked.render_cursor + 1, float(seq), 0, 0, 0)
            locked.apply(locked.render_id, [fact], START, RetryPolicy(), 0.5)

    await asyncio.gather(*(draw(seq) for seq in range(20)))
    events = await ports.jobs.history(job.job_id, 0, 100)
    assert [event.seq for event in events] == list(range(1, 23))
    assert [event.seq for event in await ports.jobs.history(job.job_id, 5, 3)] == [6, 7, 8]


async def test_j2_pages_cover_the_list_once(ports: Ports) -> None:
    """J2: newest first, equal times ordered by id, keyset and skip agree."""
    jobs = [await stored(ports, at=START + timedelta(seconds=number // 3)) for number in range(10)]
    await stored(ports, "bob")
    expected = [job.job_id for job in sorted(jobs, key=lambda job: (job.created_at, job.job_id), reverse=True)]
    query, after, seen = JobQuery("ada"), None, []
    for _ in range(4):
        page = await ports.jobs.page(query, after, 0, 3)
        seen += [job.job_id for job in page]
        after = PageKey(page[-1].created_at, page[-1].job_id)
    assert seen == expected
    assert [job.job_id for job in await ports.jobs.page(query, None, 4, 2)] == expected[4:6]
    assert await ports.jobs.count(query) == 10
    assert len(await ports.jobs.page(JobQuery(None), None, 0, 100)) == 11


async def test_j2_filters(ports: Ports) -> None:
    """J2: status, priority, batch, times, text in the topic, order by update."""
    plain = await stored(ports, topic="Group theory 100%")
    batched = await stored(ports, at=START + timedelta(hours=1), batch_id="b", priority=Priority.HIGH)
    async with ports.jobs.change(plain.job_id) as locked:
        assert locked is not None
        locked.cancel(START + timedelta(hours=2))
    deleted = await stored(ports)
    async with ports.jobs.change(deleted.job_id) as locked:
        assert locked is not None
        locked.delete(START)

    async def found(**filters: Any) -> list[str]:
        query = JobQuery(owner_id="ada", **filters)
        page = [job.job_id for job in await ports.jobs.page(query, None, 0, 10)]
        assert await ports.jobs.count(query) == len(page)
        return page

    assert await found() == [batched.job_id, plain.job_id]
    assert await found(by_update=True) == [plain.job_id, batched.job_id]
    assert await found(statuses=frozenset({JobStatus.CANCELLED, JobStatus.FAILED})) == [plain.job_id]
    assert await found(priority=Priority.HIGH) == [batched.job_id]
    assert await found(batch_id="b") == [batched.job_id]
    assert await found(created_after=START + timedelta(hours=1)) == [batched.job_id]
    assert await found(created_before=START + timedelta(hours=1)) == [plain.job_id]
    assert await found(topic="GROUP") == [plain.job_id]
    assert await found(topic="100%") == [plain.job_id]
    assert await found(topic="1%0") == []
    assert await found(topic="_") == []


async def test_commands_of_a_job_come_in_order(ports: Ports) -> None:
    """A cancel never overtakes the start before it."""
    job, other = await stored(ports), await stored(ports)
    await admit(ports, START)
    async with ports.jobs.change(job.job_id) as locked:
        assert locked is not None
        locked.cancel(START)
    first = await ports.outbox.claim(Lane.RENDER, START, LEASE, 10)
    start = StartRender(job.job_id, f"{job.job_id}-1")
    assert {delivery.command for delivery in first} == {start, StartRender(other.job_id, f"{other.job_id}-1")}
    assert await ports.outbox.claim(Lane.RENDER, START, LEASE, 10) == []
    [delivery] = [delivery for delivery in first if delivery.command == start]
    await ports.outbox.postpone(delivery, START + timedelta(seconds=1))
    [again] = await ports.outbox.claim(Lane.RENDER, START + timedelta(seconds=1), LEASE, 10)
    assert again == Delivery(delivery.delivery_id, start, 2)
    await ports.outbox.postpone(delivery, START)  # Of a holder whose lease had ended: without effect.
    assert await ports.outbox.claim(Lane.RENDER, START + timedelta(seconds=2), LEASE, 10) == []
    await ports.outbox.done(again)
    [cancel] = await ports.outbox.claim(Lane.RENDER, START + timedelta(seconds=2), LEASE, 10)
    assert cancel.command == CancelRender(job.job_id, f"{job.job_id}-1")


async def test_crashed_delivery_is_taken_over(ports: Ports) -> None:
    await stored(ports)
    await admit(ports, START)
    [first] = await ports.outbox.claim(Lane.RENDER, START, LEASE, 10)
    [second] = await ports.outbox.claim(Lane.RENDER, START + LEASE, LEASE, 10)
    assert (second.delivery_id, second.attempts) == (first.delivery_id, 2)


async def test_lease_is_held_by_one(ports: Ports) -> None:
    """Accepted renders of processing jobs only; several claims at once share them out."""
    jobs = [await stored(ports, f"user-{number}") for number in range(6)]
    await admit(ports, START)
    assert await ports.leases.claim("me", 10) == []
    for job in jobs[:5]:
        await accept_render(ports, job.job_id)
    claims = await asyncio.gather(*(ports.leases.claim(f"holder-{number}", 3) for number in range(4)))
    taken = sorted(following.job_id for claim in claims for following in claim)
    assert taken == sorted(job.job_id for job in jobs[:5])
    assert {len(claim) <= 3 for claim in claims} == {True}


async def test_lease_ends_is_renewed_and_released(ports: Ports) -> None:
    job = await stored(ports)
    await admit(ports, START)
    await accept_render(ports, job.job_id)
    [following] = await ports.leases.claim("a", 10)
    await ports.leases.release("a")
    [following] = await ports.leases.claim("a", 10)
    assert (following.render_id, following.cursor) == (f"{job.job_id}-1", 0)
    assert await ports.leases.renew("a") == {job.job_id}
    assert await ports.leases.renew("b") == set()
    assert await ports.leases.claim("b", 10) == []
    await ports.leases.release("b", job.job_id)  # Not its own: without effect.
    assert await ports.leases.renew("a") == {job.job_id}
    await ports.leases.release("a", job.job_id)
    assert await ports.short_leases.claim("b", 10) == [following]
    # "b" dies at once, and its lease ends by itself.
    assert await ports.leases.claim("c", 10) == [following]
    assert await ports.leases.renew("b") == set()
    async with ports.jobs.change(job.job_id) as locked:
        assert locked is not None
        locked.cancel(START)
    assert await ports.leases.renew("c") == set()
    assert await ports.leases.claim("d", 10) == []


async def test_migrations_make_the_tables_that_the_code_uses(postgres: Callable[[], str]) -> None:
    """What the migrations leave is what `tables.py` says, and running them again changes nothing."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    for module in pkgutil.iter_modules(adapters.__path__):
        if module.name.endswith("_tables"):
            importlib.import_module(f"{adapters.__name__}.{module.name}")  # Its tables are in METADATA then.
    importlib.import_module("services.job.bootstrap.record")  # The runtime's table of audit entries.
    url = postgres()
    await asyncio.gather(*(stack.migrate("job", url) for _ in range(2)))
    engine = create_engine(url)
    async with engine.connect() as connection:
        difference = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync, opts={"compare_type": True}), METADATA)
        )
    await engine.dispose()
    assert [item for item in difference if "alembic_version" not in str(item)] == []


async def test_P3_revisions_that_come_together_are_each_stored_or_fail_alone(ports: Ports) -> None:
    """P3, J7: every job has its own event and number; one that fails takes nobody with it; no job is no job."""
    jobs = [await stored(ports, f"owner-{number}") for number in range(8)]
    await admit(ports, START + timedelta(seconds=1))
    for job in jobs:
        await accept_render(ports, job.job_id)
    before = {job.job_id: bare(await ports.jobs.get(job.job_id)).revision for job in jobs}

    def draws(number: int) -> Revision:
        async def draw(job: Job | None) -> bool:
            assert job is not None
            if number == 3:
                raise ValueError("a report that cannot be read")
            facts: list[RenderFact] = [ProgressFact(1, 10.0 + number, 0, 3, 9)]
            return job.apply(job.render_id, facts, START + timedelta(seconds=2), RetryPolicy(), 0.5)

        return draw

    async def nobody(job: Job | None) -> bool:
        return job is not None

    calls = [ports.jobs.revise(job.job_id, draws(number)) for number, job in enumerate(jobs)]
    *outcomes, none = await asyncio.gather(*calls, ports.jobs.revise(new_id(), nobody), return_exceptions=True)
    assert [type(each) for each in outcomes] == [bool, bool, bool, ValueError, bool, bool, bool, bool]
    assert none is False
    for number, job in enumerate(jobs):
        kept = bare(await ports.jobs.get(job.job_id))
        events = await ports.jobs.history(job.job_id, before[job.job_id], 10)
        changed = 0 if number == 3 else 1
        assert (kept.revision, len(events)) == (before[job.job_id] + changed, changed)
        assert kept.progress == (10.0 + number if changed else 0.0)

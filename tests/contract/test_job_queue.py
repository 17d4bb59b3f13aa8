"""The queue of jobs on the fake and on Postgres: fairness, priorities, limits, drain, pace (J5, J6, V3)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.job.adapters.postgres.jobs import PostgresJobs
from services.job.adapters.postgres.queue import PostgresQueue
from services.job.adapters.postgres.writer import JobWriter
from services.job.api.codec import event_payload
from services.job.application.ports import JobStore
from services.job.application.queueing import AdmissionLimits, Queue
from services.job.domain.job import Job
from services.job.domain.order import Order
from services.job.domain.plan import Plan, Plans
from services.job.domain.render import Failure, RenderState, StateFact
from services.job.domain.retry import RetryPolicy, TimeLimits
from services.job.domain.values import JobStage, Priority, Quality
from services.runtime.db import create_engine
from services.runtime.ids import new_id
from tests import stack
from tests.contract.test_job_ports import VIDEO
from tests.fakes.job import START, CountingSignal, FakeDatabase, FakeJobs
from tests.fakes.job_queue import FakeQueue

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


def limits(in_flight: int = 10, **plans: int) -> AdmissionLimits:
    """So many jobs at once; by plan, ten of one user where nothing is said."""
    known = {"free": 10, **plans}
    return AdmissionLimits(in_flight, Plans({name: Plan(name, at_once) for name, at_once in known.items()}))


@dataclass
class Bench:
    """The queue under test, and what tests do with it."""

    jobs: JobStore
    queue: Queue

    async def add(self, owner: str, at: datetime = START, **order: Any) -> Job:
        """A waiting job."""
        job = Job.accept(new_id(), Order(owner, "T", "C", **order), at)
        await self.jobs.create(job, None)
        return job

    async def flood(self, owner: str, count: int, at: datetime = START, **order: Any) -> list[Job]:
        """Many at once."""
        return await asyncio.gather(*(self.add(owner, at + number * SECOND / 1000, **order) for number in range(count)))

    async def admit(self, now: datetime, rules: AdmissionLimits) -> list[Job]:
        """Start what may start."""
        async with self.queue.admit(now, rules) as admitted:
            for job in admitted:
                job.start_attempt(now)
        return admitted

    async def end(self, job: Job, now: datetime) -> None:
        """Its slot becomes free."""
        async with self.jobs.change(job.job_id) as locked:
            assert locked is not None
            locked.refuse_render(locked.render_id, Failure("C", "M"), now)


@pytest.fixture(params=["fake", "postgres"])
async def bench(request: pytest.FixtureRequest, postgres: Callable[[], str]) -> AsyncGenerator[Bench]:
    if request.param == "fake":
        db = FakeDatabase(event_payload)
        yield Bench(FakeJobs(db), FakeQueue(db))
        return
    url = postgres()
    await stack.migrate("job", url)
    engine = create_engine(url)
    writer = JobWriter(event_payload, CountingSignal())
    yield Bench(PostgresJobs(engine, writer), PostgresQueue(engine, writer))
    await engine.dispose()


def ids(jobs: list[Job]) -> list[str]:
    """Their ids."""
    return [job.job_id for job in jobs]


@pytest.mark.parametrize("priority", [Priority.HIGH, Priority.DEFAULT], ids=str)
@pytest.mark.parametrize("slots", [1, 2, 8])
async def test_J5_five_hundred_jobs_of_one_delay_anothers_first_by_one_slot(
    bench: Bench, slots: int, priority: Priority
) -> None:
    """J5: an hour-old backlog, of high priority even, and a newcomer: the very next free slot is the newcomer's."""
    flood = await bench.flood("flood", 500, priority=priority)
    running = await bench.admit(START + HOUR, limits(slots))
    assert {job.order.owner_id for job in running} == {"flood"}
    assert len(running) == slots
    await bench.end(running[0], START + HOUR)
    [another] = await bench.admit(START + HOUR, limits(slots))
    newcomer = await bench.add("newcomer", START + HOUR)
    assert await bench.queue.position(newcomer) == 0
    await bench.end(another, START + HOUR)
    assert ids(await bench.admit(START + HOUR, limits(slots))) == [newcomer.job_id]
    assert len(flood) == 500


async def test_J5_owners_take_turns(bench: Bench) -> None:
    """J5: three backlogs of different sizes and ages get the same share, one slot or many."""
    for number, (owner, count) in enumerate((("a", 30), ("b", 20), ("c", 20))):
        await bench.flood(owner, count, START + number * HOUR)
    now, served = START + 4 * HOUR, Counter[str]()
    for slots in (1, 1, 1, 2, 3, 4):
        jobs = await bench.admit(now, limits(slots))
        served.update(job.order.owner_id for job in jobs)
        for job in jobs:
            await bench.end(job, now)
    assert served == {"a": 4, "b": 4, "c": 4}


async def test_J5_idleness_is_not_saved_up(bench: Bench) -> None:
    """J5: who was away while another had ten turns does not get ten in a row."""
    await bench.flood("busy", 30)
    for _ in range(10):
        [job] = await bench.admit(START + 2 * MINUTE, limits(1))
        await bench.end(job, START + 2 * MINUTE)
    await bench.flood("back", 10, START + MINUTE)
    served = []
    for _ in range(6):
        [job] = await bench.admit(START + 2 * MINUTE, limits(1))
        served.append(job.order.owner_id)
        await bench.end(job, START + 2 * MINUTE)
    assert served.count("back") in (3, 4)


async def test_J5_priorities_and_ageing(bench: Bench) -> None:
    """J5: high before default before low, yet a low job that waited long goes before a fresh high one."""
    low = await bench.add("a", priority=Priority.LOW)
    default = await bench.add("b")
    high = await bench.add("c", priority=Priority.HIGH)
    assert [await bench.queue.position(job) for job in (high, default, low)] == [0, 1, 2]
    assert ids(await bench.admit(START, limits(1))) == [high.job_id]
    assert await bench.admit(START, limits(1)) == []
    later = START + 31 * MINUTE
    fresh = await bench.add("d", later, priority=Priority.HIGH)
    assert ids(await bench.admit(later, limits(4))) == [default.job_id, low.job_id, fresh.job_id]


@pytest.mark.parametrize("same_owner", [True, False], ids=["own high jobs", "high jobs of others"])
async def test_J5_a_low_job_does_not_starve(bench: Bench, same_owner: bool) -> None:
    """J5: under a stream of high jobs that takes every slot, a low one waits for those of the next half hour only."""
    low = await bench.add("low", priority=Priority.LOW)
    now = START
    for minute in range(40):
        now = START + minute * MINUTE
        for number in range(1 if minute else 2):
            await bench.add("low" if same_owner else f"{minute}-{number}", now, priority=Priority.HIGH)
        [job] = await bench.admit(now, limits(1))
        if job.job_id == low.job_id:
            break
        await bench.end(job, now)
    else:
        pytest.fail("the low job was never started")
    assert START + 30 * MINUTE <= now <= START + 32 * MINUTE


async def test_J5_endless_newcomers_do_not_starve_who_had_a_turn(bench: Bench) -> None:
    """J5: every slot is asked for by a new owner, each with less turns than the one who waits for the second."""
    first, second = await bench.flood("regular", 2)
    [started] = await bench.admit(START + MINUTE, limits(1))
    assert started.job_id == first.job_id
    for minute in range(1, 100):
        now = START + minute * MINUTE
        await bench.end(started, now)
        await bench.add(f"newcomer-{minute}", now, priority=Priority.HIGH)
        [started] = await bench.admit(now, limits(1))
        if started.job_id == second.job_id:
            break
    else:
        pytest.fail("the second job was never started")
    assert minute <= 33


async def test_J5_jobs_at_once_by_plan(bench: Bench) -> None:
    """J5: a user of the free plan runs one job at once, one of the pro plan three; an unknown plan is the free one."""
    rules = limits(10, free=1, pro=3)
    for owner, plan in (("a", "free"), ("b", "pro"), ("c", "gone")):
        await bench.flood(owner, 5, plan=plan)
    running = await bench.admit(START + MINUTE, rules)
    assert Counter(job.order.owner_id for job in running) == {"a": 1, "b": 3, "c": 1}
    assert await bench.admit(START + MINUTE, rules) == []


async def test_J5_A6_another_plan_counts_for_what_waits_too(bench: Bench) -> None:
    """J5, A6: from the first order under it; the limit is that of the newest order that waits."""
    rules = limits(10, free=1, pro=3)
    await bench.flood("a", 5, plan="free")
    await bench.add("a", START + MINUTE, plan="pro", priority=Priority.LOW)
    assert len(await bench.admit(START + MINUTE, rules)) == 3
    await bench.flood("b", 5, plan="pro")
    await bench.add("b", START + MINUTE, plan="free", priority=Priority.HIGH)
    assert len(await bench.admit(START + MINUTE, rules)) == 1


async def test_V3_the_position_is_the_order_in_which_jobs_start(bench: Bench) -> None:
    """V3, J5: what each job is told is what happens, to the last."""
    waiting = [
        *await bench.flood("a", 5),
        *await bench.flood("b", 2, START + MINUTE, priority=Priority.HIGH),
        *await bench.flood("c", 3, START + 2 * MINUTE, priority=Priority.LOW),
    ]
    [first] = await bench.admit(START + HOUR, limits(1))
    left = [job for job in waiting if job.job_id != first.job_id]
    promised = {await bench.queue.position(job): job.job_id for job in left}
    assert sorted(promised) == list(range(len(left)))
    await bench.end(first, START + HOUR)
    started = []
    for _ in left:
        [job] = await bench.admit(START + HOUR, limits(1))
        started.append(job.job_id)
        await bench.end(job, START + HOUR)
    assert started == [promised[number] for number in range(len(left))]


async def test_V3_the_position_of_a_job_that_is_not_stored_yet(bench: Bench) -> None:
    """V3: what the acceptance promises, for an owner with waiting jobs and for one without."""
    await bench.flood("a", 3)
    await bench.flood("b", 2)
    positions = []
    for owner in ("a", "c"):
        job = Job.accept(new_id(), Order(owner, "T", "C"), START + MINUTE)
        foretold = await bench.queue.position(job)
        await bench.jobs.create(job, None)
        assert await bench.queue.position(job) == foretold
        positions.append(foretold)
    assert positions == [5, 2]


async def test_J6_waits_for_its_time(bench: Bench) -> None:
    """J6: a job that is to be tried again later is not started before."""
    job = await bench.add("ada")
    async with bench.jobs.change(job.job_id) as locked:
        assert locked is not None
        locked.start_attempt(START)
        fact = StateFact(1, RenderState.FAILED, JobStage.RENDERING, 5.0, failure=Failure("C", "M", retryable=True))
        locked.apply(locked.render_id, [fact], START, RetryPolicy(), 0.5)
    assert await bench.admit(START + 29 * SECOND, limits()) == []
    assert ids(await bench.admit(START + 30 * SECOND, limits())) == [job.job_id]


async def test_J5_admissions_at_once_keep_the_limits(bench: Bench) -> None:
    """J5: ten dispatchers together start no job twice and no more than the limit."""
    for number in range(12):
        await bench.add(f"user-{number}")
    rounds = await asyncio.gather(*(bench.admit(START, limits(5)) for _ in range(10)))
    started = [job.job_id for admitted in rounds for job in admitted]
    assert len(started) == len(set(started)) == 5


async def test_J5_a_job_that_is_being_changed_is_left_out(bench: Bench) -> None:
    """J5, J3: admission does not wait for a cancel."""
    busy, free = await bench.add("a"), await bench.add("b")
    async with bench.jobs.change(busy.job_id) as locked:
        assert ids(await bench.admit(START, limits())) == [free.job_id]
        assert locked is not None
        locked.cancel(START)
    assert await bench.admit(START, limits()) == []


async def test_J9_a_drained_queue_starts_nothing(bench: Bench) -> None:
    """J9: until it is resumed; who drained it first is remembered."""
    job = await bench.add("ada", priority=Priority.HIGH)
    delayed = await bench.add("bob", START + MINUTE)
    assert await bench.queue.drain("root", START)
    assert not await bench.queue.drain("other", START + MINUTE)
    assert await bench.admit(START, limits()) == []
    state = await bench.queue.state(START)
    assert (state.drained_at, state.drained_by, state.processing) == (START, "root", 0)
    depths = {depth.priority: (depth.ready, depth.delayed, depth.oldest_created_at) for depth in state.depths}
    assert depths == {
        Priority.HIGH: (1, 0, START),
        Priority.DEFAULT: (0, 1, delayed.created_at),
        Priority.LOW: (0, 0, None),
    }
    assert await bench.queue.resume()
    assert not await bench.queue.resume()
    assert ids(await bench.admit(START, limits())) == [job.job_id]
    assert (await bench.queue.state(START)).processing == 1


async def test_J6_attempts_that_take_too_long_are_found(bench: Bench) -> None:
    """J6: the soft limit for a render that was accepted, the hard one for any; oldest first."""
    old, young, waiting = await bench.add("a"), await bench.add("b"), await bench.add("c", START + HOUR)
    for job, at in ((young, START + MINUTE), (old, START)):
        async with bench.jobs.change(job.job_id) as locked:
            assert locked is not None
            locked.start_attempt(at)
            if job is old:
                locked.confirm_render(locked.render_id)
    limits = TimeLimits(soft=10 * MINUTE, hard=15 * MINUTE)

    async def found(after: timedelta) -> list[str]:
        return await bench.queue.overdue(START + after, limits, 10)

    assert await found(10 * MINUTE) == []
    assert await found(11 * MINUTE + SECOND) == [old.job_id]
    assert await found(16 * MINUTE) == [old.job_id]
    assert await found(16 * MINUTE + SECOND) == [old.job_id, young.job_id]
    assert await bench.queue.overdue(START + HOUR, limits, 1) == [old.job_id]
    assert waiting.job_id not in await found(HOUR)


async def test_V3_the_pace_is_the_median_of_recent_jobs(bench: Bench) -> None:
    """V3: by stage, and by frame, of the same quality."""
    assert await bench.queue.pace(Quality.MEDIUM) is None
    for rendering_s in (10, 1000, 30):
        job = await bench.add("ada")
        async with bench.jobs.change(job.job_id) as locked:
            assert locked is not None
            locked.start_attempt(START)
            moment = START
            for number, (stage, spent_s) in enumerate(
                ((JobStage.RENDERING, 2), (JobStage.ASSEMBLING, rendering_s), (JobStage.PUBLISHING, 3))
            ):
                moment += spent_s * SECOND
                fact = StateFact(number + 1, RenderState.RUNNING, stage, 50.0)
                locked.apply(locked.render_id, [fact], moment, RetryPolicy(), 0.5)
            video = replace(VIDEO, frame_count=100)
            done = StateFact(9, RenderState.SUCCEEDED, JobStage.PUBLISHING, 100.0, video=video)
            locked.apply(locked.render_id, [done], moment + SECOND, RetryPolicy(), 0.5)
    pace = await bench.queue.pace(Quality.MEDIUM)
    assert pace is not None
    assert (pace.planning, pace.rendering, pace.assembling, pace.publishing) == (
        2 * SECOND,
        30 * SECOND,
        3 * SECOND,
        SECOND,
    )
    assert pace.per_frame == 0.3 * SECOND
    assert await bench.queue.pace(Quality.HIGH) is None

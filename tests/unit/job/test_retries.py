"""Attempts: when they are repeated, when they are given up, what is counted of them (J6, V3)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.job.application.metrics import observe
from services.job.application.overdue import Overdue
from services.job.application.queueing import QueueState
from services.job.domain.job import Job
from services.job.domain.order import Order
from services.job.domain.render import Failure, RenderState, StateFact
from services.job.domain.retry import RetryPolicy, TimeLimits
from services.job.domain.values import JobStage, JobStatus, Priority
from tests.contract.test_job_ports import VIDEO
from tests.fakes.job import START, CountingSignal
from tests.unit.job.world import World


@pytest.fixture
def world() -> World:
    return World()


async def attempts(world: World, job_id: str, failure: Failure) -> int:
    """Let every attempt fail like that until the job has ended; how many there were."""
    for _ in range(20):
        await world.dispatcher.admit()
        job = await world.job(job_id)
        if job.status is JobStatus.PROCESSING:
            async with world.jobs.change(job_id) as locked:
                assert locked is not None
                fact = StateFact(1, RenderState.FAILED, JobStage.RENDERING, 5.0, failure=failure)
                locked.apply(locked.render_id, [fact], world.clock.now(), world.rules.retry, world.draw)
        if (job := await world.job(job_id)).status.terminal:
            return job.attempt
        world.clock.advance(hours=1)
    pytest.fail("the job never ended")


@pytest.mark.parametrize("max_retries", [0, 1, 3, 10])
async def test_J6_a_poison_job_stops_at_the_cap(world: World, max_retries: int) -> None:
    """J6: one attempt and as many more as were asked for."""
    job = await world.create(max_retries=max_retries)
    assert await attempts(world, job.job_id, Failure("SCENE_CRASHED", "M", retryable=True)) == max_retries + 1
    ended = await world.job(job.job_id)
    assert (ended.status, ended.failure and ended.failure.code) == (JobStatus.FAILED, "SCENE_CRASHED")


async def test_J6_what_cannot_pass_fails_at_once(world: World) -> None:
    """J6: a failure that another attempt would meet again."""
    job = await world.create(max_retries=10)
    assert await attempts(world, job.job_id, Failure("STORYBOARD_INVALID", "M")) == 1


@given(attempt=st.integers(1, 60), draw=st.floats(0, 1, exclude_max=True))
def test_J6_backoff_is_full_jitter_below_a_doubling_ceiling(attempt: int, draw: float) -> None:
    """J6: base 60 s, doubled with each attempt, cap 3600 s, anywhere below."""
    policy = RetryPolicy()
    ceiling = min(3600.0, 60.0 * 2 ** (attempt - 1))
    assert policy.delay(attempt, draw) == timedelta(seconds=ceiling) * draw


async def test_J6_a_start_that_meets_a_fault_is_given_up(world: World) -> None:
    """J6: video_render answers INTERNAL whatever is done: five times, then the attempt has failed, then the job."""
    world.renders.fault = "INTERNAL: no"
    job = await world.create(max_retries=1)
    for _ in range(40):
        await world.dispatcher.admit()
        await world.deliveries.deliver()
        if (await world.job(job.job_id)).status.terminal:
            break
        world.clock.advance(seconds=15)
    ended = await world.job(job.job_id)
    assert (ended.status, ended.attempt) == (JobStatus.FAILED, 2)
    assert ended.failure is not None
    assert (ended.failure.code, ended.failure.retryable) == ("RENDER_START_FAILED", True)


async def test_J6_waiting_for_video_render_costs_no_attempt(world: World) -> None:
    """J6: while it is away the start is offered again and again; then the first attempt begins."""
    world.renders.away = True
    job = await world.create(max_retries=0)
    await world.dispatcher.admit()
    for _ in range(30):
        await world.deliveries.deliver()
        world.clock.advance(seconds=15)
    world.renders.away = False
    await world.deliveries.deliver()
    started = await world.job(job.job_id)
    assert (started.status, started.attempt, world.renders.starts) == (JobStatus.PROCESSING, 1, [f"{job.job_id}-1"])


@pytest.mark.parametrize(("max_retries", "expected"), [(0, JobStatus.FAILED), (1, JobStatus.QUEUED)])
async def test_J6_an_attempt_that_takes_too_long_is_broken_off(
    world: World, max_retries: int, expected: JobStatus
) -> None:
    """J6: its render is stopped, and it counts as failed."""
    job = await world.processing(max_retries=max_retries)
    overdue = Overdue(world.queue, world.jobs, world.clock, TimeLimits(), RetryPolicy(), CountingSignal(), lambda: 0.5)
    world.clock.advance(seconds=3600)
    assert await overdue.look() == 0
    world.clock.advance(seconds=1)
    assert await overdue.look() == 1
    broken = await world.job(job.job_id)
    assert (broken.status, broken.failure and broken.failure.code) == (expected, "TIME_LIMIT_EXCEEDED")
    await world.deliveries.deliver()
    assert world.renders.renders[f"{job.job_id}-1"].cancelled
    assert await overdue.look() == 0


async def test_J6_an_attempt_that_video_render_never_took_has_the_hard_limit(world: World) -> None:
    """J6: away for longer than that; then the attempt is given up, as any other."""
    world.renders.away = True
    job = await world.create(max_retries=0)
    await world.dispatcher.admit()
    overdue = Overdue(world.queue, world.jobs, world.clock, TimeLimits(), RetryPolicy(), CountingSignal())
    world.clock.advance(seconds=4000)
    assert await overdue.look() == 0
    world.clock.advance(seconds=1)
    assert await overdue.look() == 1
    ended = await world.job(job.job_id)
    assert (ended.status, ended.failure and ended.failure.code) == (JobStatus.FAILED, "TIME_LIMIT_EXCEEDED")


async def test_J6_only_answers_count_as_faults(world: World) -> None:
    """J6: many tries that reached nobody, then four faults: the start is offered still."""
    world.renders.away = True
    job = await world.create(max_retries=0)
    await world.dispatcher.admit()
    for number in range(24):
        if number == 20:
            world.renders.away, world.renders.fault = False, "INTERNAL: no"
        await world.deliveries.deliver()
        world.clock.advance(seconds=15)
    world.renders.fault = ""
    await world.deliveries.deliver()
    assert world.renders.starts == [f"{job.job_id}-1"]


@pytest.mark.parametrize(
    ("priority", "waited", "expected"),
    [
        (Priority.LOW, 29, Priority.LOW),
        (Priority.LOW, 30, Priority.DEFAULT),
        (Priority.LOW, 61, Priority.HIGH),
        (Priority.LOW, 999, Priority.HIGH),
        (Priority.DEFAULT, 30, Priority.HIGH),
        (Priority.HIGH, -5, Priority.HIGH),
    ],
)
def test_J5_long_waiting_moves_a_render_up(priority: Priority, waited: int, expected: Priority) -> None:
    """J5: workers serve their queues strictly in order; a level for each half hour keeps the low one from starving."""
    assert priority.after(timedelta(minutes=waited)) is expected


async def test_J5_the_render_is_started_in_the_queue_of_its_age(world: World) -> None:
    """J5."""
    job = await world.create(priority=Priority.LOW)
    world.clock.advance(minutes=31)
    await world.dispatcher.admit()
    await world.deliveries.deliver()
    assert world.renders.priorities == {f"{job.job_id}-1": Priority.DEFAULT}


@dataclass
class Figures:
    """`JobMetrics` that remembers."""

    seen: Counter[tuple[str, ...]] = field(default_factory=Counter)
    errors: dict[str, float] = field(default_factory=dict)

    def admitted(self, quality: str, waited_s: float) -> None:
        self.seen["admitted", quality, f"{waited_s:.0f}"] += 1

    def retried(self, code: str) -> None:
        self.seen["retried", code] += 1

    def ended(self, status: str, code: str) -> None:
        self.seen["ended", status, code] += 1

    def completed(self, quality: str, seconds: float) -> None:
        self.seen["completed", quality, f"{seconds:.0f}"] += 1

    def eta_error(self, at: str, ratio: float) -> None:
        self.errors[at] = ratio

    def queue(self, state: QueueState) -> None:
        self.seen["queue", str(state.processing)] += 1


def test_V3_J6_a_job_is_counted_once_and_its_promises_are_judged() -> None:
    """V3, J6: one retry, one end; promised after 50 s and 60 s more at half way, done after 100 s."""
    figures, now = Figures(), START + timedelta(seconds=7)
    job = Job.accept("id", Order("ada", "T", "C"), START, START + timedelta(seconds=50))

    def note() -> None:
        observe(figures, job)
        job.events.clear()

    note()
    job.start_attempt(now)
    note()
    failed = StateFact(1, RenderState.FAILED, JobStage.RENDERING, 5.0, failure=Failure("C", "M", retryable=True))
    job.apply(job.render_id, [failed], now, RetryPolicy(), 0.0)
    note()
    job.start_attempt(now)
    note()
    job.promised_half_way(START + timedelta(seconds=120), START + timedelta(seconds=60))
    done = StateFact(1, RenderState.SUCCEEDED, JobStage.PUBLISHING, 100.0, video=replace(VIDEO))
    job.apply(job.render_id, [done], START + timedelta(seconds=100), RetryPolicy(), 0.0)
    note()
    assert figures.seen == {
        ("admitted", "medium", "7"): 1,
        ("retried", "C"): 1,
        ("ended", "completed", ""): 1,
        ("completed", "medium", "93"): 1,
    }
    assert figures.errors == {"accepted": pytest.approx(0.5), "half": pytest.approx(0.5)}

"""Dispatcher, deliveries and follower over the fakes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from services.job.application.coalesce import Coalescing, batches
from services.job.application.follow import Follower
from services.job.application.queueing import AdmissionLimits
from services.job.application.ticking import Backoff, Wakeup
from services.job.domain.events import CancelRender, RemoveFiles
from services.job.domain.job import Job
from services.job.domain.plan import Plan, Plans
from services.job.domain.render import (
    Failure,
    PlannedFact,
    ProgressFact,
    RenderFact,
    RenderState,
    Scene,
    StateFact,
    Video,
)
from services.job.domain.values import JobStage, JobStatus, Priority
from tests.fakes.job import START
from tests.unit.job.world import ADA, World

DEADLINE_S = 10.0
VIDEO = Video("v", "t", "s", "Title", 4, "a" * 64, 1.0, 1280, 720, 30.0, "h264", 30)


@pytest.fixture
def world() -> World:
    return World()


def drawn(seq: int, progress: float, scene: int = 0) -> ProgressFact:
    return ProgressFact(seq, progress, scene, seq, 100)


def done(seq: int) -> StateFact:
    return StateFact(seq, RenderState.SUCCEEDED, JobStage.PUBLISHING, 100.0, video=VIDEO)


def broken(seq: int) -> StateFact:
    failure = Failure("C", "M", JobStage.RENDERING, 0, retryable=True)
    return StateFact(seq, RenderState.FAILED, JobStage.RENDERING, 0.0, failure=failure)


@asynccontextmanager
async def following(follower: Follower) -> AsyncIterator[None]:
    task = asyncio.create_task(follower.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(world: World, job: Job, condition: Callable[[Job], bool]) -> Job:
    """The job, once the condition holds; looked at after every change."""

    def holds() -> bool:
        return condition(world.db.jobs[job.job_id])

    async with asyncio.timeout(DEADLINE_S), world.db.grown:
        await world.db.grown.wait_for(holds)
    return await world.job(job.job_id)


async def test_j5_dispatcher_keeps_the_limits() -> None:
    """J5: high first, at most two of a user, at most three in all."""
    world = World(AdmissionLimits(3, Plans({"free": Plan(in_flight=2)})))
    low, high = await world.create(priority=Priority.LOW), await world.create(priority=Priority.HIGH)
    await world.create()
    assert await world.dispatcher.admit() == 2
    assert (await world.job(high.job_id)).attempt == 1
    assert (await world.job(low.job_id)).attempt == 0
    assert await world.dispatcher.admit() == 0


async def test_start_is_delivered_after_the_change_is_stored(world: World) -> None:
    job = await world.processing()
    assert world.renders.starts == [f"{job.job_id}-1"]
    assert job.render_accepted
    assert (world.accepted.times, world.db.outbox) == (1, [])


async def test_nothing_is_lost_while_video_render_is_away(world: World) -> None:
    job = await world.create()
    world.renders.away = True
    await world.dispatcher.admit()
    assert await world.deliveries.deliver() == 1
    assert await world.deliveries.deliver() == 0
    world.renders.away = False
    world.clock.advance(seconds=1)
    assert await world.deliveries.deliver() == 1
    assert (await world.job(job.job_id)).render_accepted


async def test_waits_between_deliveries_grow_to_a_bound(world: World) -> None:
    await world.create()
    world.renders.away = True
    await world.dispatcher.admit()
    waits = []
    for _ in range(10):
        await world.deliveries.deliver()
        waits.append((world.db.outbox[0].available_at - world.clock.now()).total_seconds())
        world.clock.moment = world.db.outbox[0].available_at
    assert waits[:3] == [0.25, 0.5, 1.0]
    assert waits[-1] == 10.0


async def test_start_of_a_cancelled_job_is_not_sent(world: World) -> None:
    """J3: cancelled between the commit and the call: nothing is started, nothing remains."""
    job = await world.create()
    await world.dispatcher.admit()
    await world.orders.cancel(ADA, job.job_id)
    assert await world.deliveries.deliver() == 1
    assert isinstance(world.db.outbox[0].command, CancelRender)
    assert await world.deliveries.deliver() == 1
    assert world.renders.starts == []
    assert [row.command for row in world.db.outbox] == [RemoveFiles(job.job_id)]


async def test_j3_cancel_reaches_the_render(world: World) -> None:
    job = await world.processing()
    await world.orders.cancel(ADA, job.job_id)
    await world.deliveries.deliver()
    assert world.renders.renders[job.render_id].cancelled


async def test_refused_render_fails_the_job(world: World) -> None:
    world.renders.refusal = "configuration.theme: unknown"
    job = await world.processing()
    assert job.status is JobStatus.FAILED
    assert job.failure == Failure("RENDER_REFUSED", "configuration.theme: unknown", JobStage.PLANNING)
    assert world.db.outbox == []


async def test_render_is_followed_to_its_end(world: World) -> None:
    job = await world.processing()
    async with following(world.follower()):
        await world.renders.emit(job.render_id, PlannedFact(1, "Title", (Scene(0),)), drawn(2, 50.0), done(3))
        job = await until(world, job, lambda job: job.status is JobStatus.COMPLETED)
    assert (job.render_cursor, job.video is not None) == (3, True)
    assert world.db.leases == {}
    assert world.freed.times > 0


async def test_restarted_follower_goes_on_at_the_stored_cursor(world: World) -> None:
    job = await world.processing()
    await world.renders.emit(job.render_id, PlannedFact(1, "Title", (Scene(0),)), drawn(2, 50.0))
    async with following(world.follower("first")):
        await until(world, job, lambda job: job.render_cursor == 2)
    revision = (await world.job(job.job_id)).revision
    async with following(world.follower("second")):
        await world.renders.emit(job.render_id, done(3))
        job = await until(world, job, lambda job: job.status is JobStatus.COMPLETED)
    assert job.revision == revision + 1
    assert world.renders.watches[-1] == (job.render_id, 2)


async def test_two_followers_of_one_render_do_no_harm(world: World) -> None:
    """Without leases to keep them apart, the cursor alone makes every fact count once."""
    job = await world.processing()
    expired = timedelta(0)
    async with following(world.follower("a", expired)), following(world.follower("b", expired)):
        for seq in range(1, 20):
            await world.renders.emit(job.render_id, PlannedFact(seq, f"Title {seq}", ()))
        await world.renders.emit(job.render_id, done(20))
        job = await until(world, job, lambda job: job.status.terminal)
    assert len(world.renders.watches) > 1
    assert job.revision == 2 + 20


async def test_stream_is_resumed_when_video_render_comes_back(world: World) -> None:
    job = await world.processing()
    async with following(world.follower()):
        await world.renders.emit(job.render_id, PlannedFact(1, "Title", ()))
        await until(world, job, lambda job: job.render_cursor == 1)
        await world.renders.restart()
        await world.renders.emit(job.render_id, done(2))
        await until(world, job, lambda job: job.status is JobStatus.COMPLETED)
    assert world.renders.watches == [(job.render_id, 0), (job.render_id, 1)]


async def test_j6_failure_is_tried_again_later() -> None:
    """J6: with the clock moved, not waited for."""
    world = World(draw=0.25)
    job = await world.processing(max_retries=1)
    async with following(world.follower()):
        await world.renders.emit(job.render_id, broken(1))
        job = await until(world, job, lambda job: job.status is JobStatus.QUEUED)
        assert job.next_attempt_at == START + timedelta(seconds=15)
        assert await world.dispatcher.admit() == 0
        world.clock.advance(seconds=15)
        assert await world.dispatcher.admit() == 1
        await world.deliveries.deliver()
        await world.renders.emit(f"{job.job_id}-2", broken(1))
        job = await until(world, job, lambda job: job.status is JobStatus.FAILED)
    assert (job.attempt, world.renders.starts) == (2, [f"{job.job_id}-1", f"{job.job_id}-2"])


async def test_lost_render_is_started_again(world: World) -> None:
    """video_render lost its database: the same id again, followed from its first event."""
    job = await world.processing()
    async with following(world.follower()):
        await world.renders.emit(job.render_id, PlannedFact(1, "Title", ()))
        await until(world, job, lambda job: job.render_cursor == 1)
        world.renders.renders.clear()
        await world.renders.restart()
        await until(world, job, lambda job: not job.render_accepted)
        await world.deliveries.deliver()
        await world.renders.emit(job.render_id, PlannedFact(1, "Title", ()), done(2))
        await until(world, job, lambda job: job.status is JobStatus.COMPLETED)
    assert world.renders.starts == [job.render_id] * 2


async def test_render_that_lost_its_end_is_read_again(world: World) -> None:
    job = await world.processing()
    async with world.jobs.change(job.job_id) as locked:
        assert locked is not None
        locked.render_cursor = 9
    await world.renders.emit(job.render_id, done(1))
    async with following(world.follower()):
        job = await until(world, job, lambda job: job.status.terminal)
    assert job.status is JobStatus.COMPLETED


async def test_follower_lets_go_of_a_cancelled_job(world: World) -> None:
    job = await world.processing()
    follower = world.follower()
    await follower.tend()
    assert world.db.leases[job.job_id].holder == "me"
    await world.orders.cancel(ADA, job.job_id)
    await follower.tend()
    assert world.db.leases == {}


async def batched(rules: Coalescing, *facts: RenderFact, hold_until: int = 0) -> list[list[int]]:
    """The positions of each batch; the source stays open until there were `hold_until` batches."""
    enough = asyncio.Event()

    async def source() -> AsyncGenerator[RenderFact]:
        for fact in facts:
            yield fact
        if hold_until:
            await enough.wait()

    seen: list[list[int]] = []
    async with asyncio.timeout(DEADLINE_S):
        async for batch in batches(source(), rules):
            seen.append([fact.seq for fact in batch])
            if len(seen) == hold_until:
                enough.set()
    return seen


async def test_progress_is_coalesced_by_share() -> None:
    """DESIGN §4: percentages are coalesced before they get a seq."""
    facts = [drawn(seq, seq / 10) for seq in range(1, 31)]
    seen = await batched(Coalescing(step=1.0, window_s=60.0), *facts)
    assert [batch[-1] for batch in seen] == [1, 11, 21, 30]


async def test_each_scene_keeps_its_last_report() -> None:
    facts = [drawn(1, 5.0), drawn(2, 5.1, 1), drawn(3, 5.2), drawn(4, 5.3, 1), drawn(5, 5.4, 2)]
    assert await batched(Coalescing(1.0, 60.0), *facts) == [[1], [3, 4, 5]]


async def test_other_facts_take_the_waiting_progress_along() -> None:
    facts: list[RenderFact] = [
        drawn(1, 5.0),
        drawn(2, 5.1),
        PlannedFact(3, "T", ()),
        PlannedFact(4, "T", ()),
        drawn(5, 5.2),
    ]
    assert await batched(Coalescing(1.0, 60.0), *facts) == [[1], [2, 3], [4], [5]]


async def test_progress_waits_for_the_window_at_most() -> None:
    seen = await batched(Coalescing(1.0, 0.01), drawn(1, 5.0), drawn(2, 5.1), hold_until=2)
    assert seen == [[1], [2]]


async def test_wakeup_is_remembered() -> None:
    wakeup = Wakeup(60)
    wakeup.set()
    async with asyncio.timeout(DEADLINE_S):
        await wakeup.wait()
    await Wakeup(0.001).wait()


def test_backoff_grows_to_its_bound() -> None:
    backoff = Backoff(0.2, 5.0)
    waits = [backoff.next_s() for _ in range(50)]
    assert 0.1 <= waits[0] <= 0.2
    assert all(2.5 <= wait <= 5.0 for wait in waits[10:])
    backoff.reset()
    assert backoff.next_s() <= 0.2

"""Faults in the middle of a job: nothing accepted is lost, nothing is counted twice (J1, J5; DESIGN §3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

import grpc
import pytest

from t2m.job.v1 import job_pb2
from tests.fakes.render_server import drawn, planned, scene_done, succeeded
from tests.integration.job_harness import DEADLINE_S, Caller, World, new_world, process


@pytest.fixture
async def world(postgres: Callable[[], str], redis_server: str) -> AsyncGenerator[World]:
    async with new_world(postgres, redis_server) as world:
        yield world


async def assert_intact(user: Caller, job_id: str, scenes: int) -> None:
    """The job has completed, its revisions are gap-free, each scene was finished once."""
    progress = await user.ended(job_id)
    assert progress.status == job_pb2.JOB_STATUS_COMPLETED, progress
    events = await user.history(job_id)
    assert [event.seq for event in events] == list(range(1, progress.revision + 1))
    finished = [event.scene.scene.index for event in events if event.WhichOneof("event") == "scene"]
    assert finished == list(range(scenes))


async def test_sigkill_between_commit_and_start_loses_nothing(world: World) -> None:
    """The command is stored with the change: the next process delivers it."""
    world.renders.refuse = (grpc.StatusCode.UNAVAILABLE, "not now")
    async with process(world) as (child, user):
        job = await user.create()
        await user.until(job.job_id, lambda progress: progress.status == job_pb2.JOB_STATUS_PROCESSING)
        child.kill()
        await child.wait()
    assert not world.renders.renders
    world.renders.refuse = None
    world.renders.autoplay = lambda _: [planned("One"), scene_done(0, 90), succeeded("", "")]
    async with process(world) as (_, user):
        await assert_intact(user, job.job_id, 1)
    assert list(world.renders.renders) == [f"{job.job_id}-1"]


async def test_sigkill_while_following_loses_nothing(world: World) -> None:
    """The cursor is stored with what the events caused: no event is lost or taken over twice."""
    async with process(world) as (child, user):
        job = await user.create()
        render_id = f"{job.job_id}-1"
        await world.renders.started(render_id)
        await world.renders.emit(render_id, planned("One", "Two"), scene_done(0, 40))
        await user.until(job.job_id, lambda progress: progress.progress == 40)
        child.kill()
        await child.wait()
    await world.renders.emit(render_id, scene_done(1, 80), succeeded("", ""))
    async with process(world) as (_, user):
        await assert_intact(user, job.job_id, 2)
    assert world.renders.renders[render_id].watches == [0, 2]


async def test_sigterm_ends_the_process_in_order(world: World) -> None:
    async with process(world) as (child, user):
        job = await user.create()
        await world.renders.started(f"{job.job_id}-1")
        async with user.watching(job.job_id) as watching:
            await watching.next()
            child.terminate()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await watching.rest()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        async with asyncio.timeout(DEADLINE_S):
            assert await child.wait() == 0


async def test_restart_of_video_render_is_survived(world: World) -> None:
    server = await world.start()
    user = server.caller()
    job = await user.create()
    render_id = f"{job.job_id}-1"
    await world.renders.started(render_id)
    await world.renders.emit(render_id, planned("One", "Two", "Three"))
    for number in range(3):
        await world.renders.emit(render_id, scene_done(number, 30.0 * (number + 1)))
        share = 30.0 * (number + 1)
        await user.until(job.job_id, lambda progress, share=share: progress.progress >= share)  # type: ignore[misc]
        await world.neighbours.stop()
        await world.neighbours.start()
    await world.renders.emit(render_id, succeeded("", ""))
    await assert_intact(user, job.job_id, 3)
    await server.stop()
    watches = world.renders.renders[render_id].watches
    assert watches == sorted(set(watches))


async def test_orders_are_accepted_while_video_render_is_away(world: World) -> None:
    """An order only needs Postgres; it is started once video_render is back."""
    server = await world.start()
    user = server.caller()
    await user.create()  # The keys of auth, which shares the address, are learnt.
    await world.neighbours.stop()
    job = await user.create()
    world.renders.autoplay = lambda _: [planned("One"), scene_done(0, 90), succeeded("", "")]
    await world.neighbours.start()
    await assert_intact(user, job.job_id, 1)
    await server.stop()


async def test_lost_database_of_video_render_starts_the_render_again(world: World) -> None:
    """Under the same id; progress does not fall within the attempt."""
    server = await world.start()
    user = server.caller()
    job = await user.create()
    render_id = f"{job.job_id}-1"
    await world.renders.started(render_id)
    await world.renders.emit(render_id, planned("One"), drawn(60))
    await user.until(job.job_id, lambda progress: progress.progress == 60)
    await world.neighbours.stop()
    world.renders.autoplay = lambda _: [planned("One"), drawn(10), scene_done(0, 90), succeeded("", "")]
    await world.renders.lose()
    await world.neighbours.start()
    await assert_intact(user, job.job_id, 1)
    shares = [event.progress.progress for event in await user.history(job.job_id) if event.HasField("progress")]
    assert shares == sorted(shares)
    assert (await user.get(job.job_id)).attempt == 1
    await server.stop()


async def test_replicas_share_the_renders_and_take_over(world: World) -> None:
    """One follower a render; when its process ends, another goes on at the cursor."""
    first, second = await world.start(), await world.start()
    user = second.caller()
    jobs = [await user.create() for _ in range(4)]
    for job in jobs:
        await world.renders.started(f"{job.job_id}-1")
        await world.renders.emit(f"{job.job_id}-1", planned("One", "Two"), scene_done(0, 40))
        await user.until(job.job_id, lambda progress: progress.progress == 40)
    assert [len(render.watches) for render in world.renders.renders.values()] == [1] * 4
    await first.stop()
    for job in jobs:
        await world.renders.emit(f"{job.job_id}-1", scene_done(1, 80), succeeded("", ""))
        await assert_intact(user, job.job_id, 2)
    assert all(render.starts == 1 for render in world.renders.renders.values())
    await second.stop()


async def test_j3_cancel_reaches_a_render_whose_service_was_away(world: World) -> None:
    """J3: the row at once; the call follows when video_render is back."""
    server = await world.start()
    user = server.caller()
    job = await user.create()
    render = await world.renders.started(f"{job.job_id}-1")
    await user.until(job.job_id, lambda progress: progress.revision == 2)
    await world.neighbours.stop()
    assert (await user.cancel(job.job_id)).status == job_pb2.JOB_STATUS_CANCELLED
    await world.neighbours.start()
    await world.renders.wait_for(lambda: render.cancels == 1)
    await server.stop()

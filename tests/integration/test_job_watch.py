"""Watches over a real server, Postgres and Redis: every event once and in order, whatever is restarted (J7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import grpc
import pytest
from redis.asyncio import Redis
from sqlalchemy import delete

from deploy.local.redis import EmbeddedRedis
from services.job.adapters.postgres.tables import JOB_EVENTS
from services.runtime.db import create_engine
from t2m.job.v1 import job_pb2
from tests import stack
from tests.fakes.render_server import planned, scene_done, succeeded
from tests.integration.job_harness import TERMINAL, Caller, Running, World, failure, new_world

OWN_DATABASE = 11
"""Of the session's Redis: these tests flush it."""


@pytest.fixture
async def world(postgres: Callable[[], str]) -> AsyncGenerator[World]:
    async with new_world(postgres, stack.redis_url(OWN_DATABASE)) as world:
        yield world


@pytest.fixture
async def server(world: World) -> AsyncGenerator[Running]:
    running_server = await world.start()
    yield running_server
    await running_server.stop()


@pytest.fixture
def user(server: Running) -> Caller:
    return server.caller()


async def started(world: World, user: Caller) -> str:
    """A job whose render waits for the test's word."""
    job = await user.create()
    await world.renders.started(f"{job.job_id}-1")
    return job.job_id


async def happen(world: World, job_id: str, times: int) -> None:
    """So many events of the job."""
    for number in range(times):
        await world.renders.emit(f"{job_id}-1", planned(f"Scene {number}"))


async def finish(world: World, job_id: str) -> None:
    await world.renders.emit(f"{job_id}-1", scene_done(0, 90), succeeded("", ""))


def seqs(events: list[job_pb2.JobEvent]) -> list[int]:
    return [event.seq for event in events]


async def test_j7_snapshot_then_every_event_then_the_end(world: World, user: Caller) -> None:
    job_id = await started(world, user)
    async with user.watching(job_id) as watching:
        first = await watching.next()
        assert first is not None
        assert (first.WhichOneof("event"), first.snapshot.revision) == ("snapshot", first.seq)
        await happen(world, job_id, 3)
        await finish(world, job_id)
        events = await watching.rest()
    assert seqs(events) == list(range(first.seq, first.seq + 6))
    assert [event.WhichOneof("event") for event in events[1:]] == ["planned"] * 3 + ["scene", "status"]
    assert events[-1].status.status == job_pb2.JOB_STATUS_COMPLETED
    assert events[1:] == (await user.history(job_id))[first.seq :]


async def test_j7_after_seq_gives_everything_behind_it(world: World, user: Caller) -> None:
    job_id = await started(world, user)
    await happen(world, job_id, 3)
    await finish(world, job_id)
    last = (await user.ended(job_id)).revision
    assert seqs(await user.watch(job_id, 0)) == list(range(1, last + 1))
    assert seqs(await user.watch(job_id, 3)) == list(range(4, last + 1))
    assert seqs(await user.watch(job_id, last)) == []
    [snapshot] = await user.watch(job_id)
    assert (snapshot.seq, snapshot.snapshot.status) == (last, job_pb2.JOB_STATUS_COMPLETED)
    beyond = await failure(user.watch(job_id, last + 1))
    assert (beyond.code, beyond.reason) == (grpc.StatusCode.OUT_OF_RANGE, "POSITION_EXPIRED")


async def test_j7_expired_position_comes_with_the_progress(world: World, user: Caller) -> None:
    job_id = await started(world, user)
    engine = create_engine(world.database_url)
    async with engine.begin() as connection:
        await connection.execute(delete(JOB_EVENTS).where(JOB_EVENTS.c.stream_id == job_id, JOB_EVENTS.c.seq == 1))
    await engine.dispose()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await user.watch(job_id, 0)
    assert caught.value.code() is grpc.StatusCode.OUT_OF_RANGE
    trailers = dict(caught.value.trailing_metadata() or ())
    assert b"type.googleapis.com/t2m.job.v1.JobProgress" in bytes(trailers["grpc-status-details-bin"])


async def test_j7_reconnecting_watcher_misses_and_repeats_nothing(world: World, user: Caller) -> None:
    """J7: cut after every second event, resumed from the last seq."""
    job_id = await started(world, user)
    seen: list[int] = []
    playing = asyncio.create_task(happen(world, job_id, 12))
    async with asyncio.timeout(30):
        while True:
            async with user.watching(job_id, seen[-1] if seen else 0) as watching:
                for _ in range(2):
                    event = await watching.next()
                    if event is not None:
                        seen.append(event.seq)
            if len(seen) == 14:
                await playing
                await finish(world, job_id)
            if event is None:
                break
    assert seen == list(range(1, 17))


async def test_j7_flush_of_redis_loses_nothing(world: World, user: Caller) -> None:
    job_id = await started(world, user)
    redis = Redis.from_url(world.redis_url)
    async with user.watching(job_id, 0) as watching:
        for _ in range(4):
            await happen(world, job_id, 2)
            await redis.flushdb()
        await finish(world, job_id)
        events = await watching.rest()
    await redis.aclose()
    assert seqs(events) == list(range(1, 13))


async def test_j7_redis_that_is_gone_loses_nothing(postgres: Callable[[], str], tmp_path: Path) -> None:
    """J7: without Redis the events come from Postgres; when it is back, from there."""
    redis = EmbeddedRedis(tmp_path / "redis")
    redis.start()
    try:
        async with new_world(postgres, redis.url) as world:
            server = await world.start()
            user = server.caller()
            job_id = await started(world, user)
            async with user.watching(job_id, 0) as watching:
                await happen(world, job_id, 1)
                redis.kill()
                await happen(world, job_id, 2)
                while len(watching.seen) < 5:
                    await watching.next()
                await asyncio.to_thread(redis.start)
                await finish(world, job_id)
                events = await watching.rest()
            await server.stop()
    finally:
        redis.kill()
    assert seqs(events) == list(range(1, 8))


async def test_j7_restart_of_the_service_is_resumed(world: World) -> None:
    """J7: SIGTERM ends the stream with UNAVAILABLE and a usable cursor; the next process goes on from it."""
    server = await world.start()
    user = server.caller()
    job_id = await started(world, user)
    seen: list[int] = []
    for _ in range(3):
        async with user.watching(job_id, seen[-1] if seen else 0) as watching:
            await happen(world, job_id, 2)
            await watching.next()
            stopping = asyncio.create_task(server.stop())
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await watching.rest()
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            await stopping
        seen += seqs(watching.seen)
        server = await world.start()
        user = server.caller(user.subject)
    await finish(world, job_id)
    seen += seqs(await user.watch(job_id, seen[-1]))
    await server.stop()
    assert seen == list(range(1, 11))
    # The render was read on from where the last process stopped, never from the start.
    watches = world.renders.renders[f"{job_id}-1"].watches
    assert watches == sorted(watches)


async def test_j7_many_watchers_see_the_same(world: World, user: Caller) -> None:
    job_id = await started(world, user)
    watchers = [asyncio.create_task(user.watch(job_id, 0)) for _ in range(30)]
    await happen(world, job_id, 20)
    await finish(world, job_id)
    everything = [seqs(events) for events in await asyncio.gather(*watchers)]
    assert everything == [list(range(1, 25))] * 30


async def test_j7_watcher_on_another_replica(world: World, server: Running, user: Caller) -> None:
    """J7: events reach watchers of a replica that does not follow the render."""
    other = await world.start()
    try:
        elsewhere = other.caller(user.subject)
        job_id = await started(world, user)
        watchers = [asyncio.create_task(who.watch(job_id, 0)) for who in (user, elsewhere)]
        await happen(world, job_id, 5)
        await finish(world, job_id)
        first, second = await asyncio.gather(*watchers)
    finally:
        await other.stop()
    assert first == second
    assert first[-1].status.status in TERMINAL

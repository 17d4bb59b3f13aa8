"""Logs over a real server, Postgres and Redis, with a scripted video_render (J4, V3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import grpc
import pytest
from redis.asyncio import Redis

from t2m.job.v1 import job_pb2, log_pb2
from t2m.job.v1 import log_service_pb2 as pb
from t2m.video_render.v1 import render_pb2
from tests.fakes.render_server import failed, planned, succeeded
from tests.integration.job_harness import Caller, Running, World, failure, new_world

ERROR = render_pb2.LOG_SEVERITY_ERROR


@pytest.fixture
async def world(postgres: Callable[[], str], redis_server: str) -> AsyncGenerator[World]:
    async with new_world(postgres, redis_server) as world:
        yield world


@pytest.fixture
async def server(world: World) -> AsyncGenerator[Running]:
    running_server = await world.start()
    yield running_server
    await running_server.stop()


@pytest.fixture
def user(server: Running) -> Caller:
    return server.caller()


def said(message: str, severity: Any = render_pb2.LOG_SEVERITY_INFO, scene: int | None = None) -> Any:
    """A line of a render."""
    return render_pb2.RenderLogged(
        severity=severity, stage=render_pb2.RENDER_STAGE_RENDERING, scene_index=scene, step_attempt=1, message=message
    )


async def lines(user: Caller, job_id: str, **filters: Any) -> list[log_pb2.JobLogEntry]:
    """All lines, in pages of three."""
    found: list[log_pb2.JobLogEntry] = []
    token = ""
    for _ in range(100):
        request = pb.ListJobLogsRequest(job_id=job_id, page_size=3, page_token=token, **filters)
        page = await user.call("ListJobLogs", request)
        found += page.entries
        if not (token := page.next_page_token):
            return found
    pytest.fail("the pages have no end")


async def follow(user: Caller, job_id: str, after_seq: int | None = None) -> list[log_pb2.JobLogEvent]:
    """Everything that a follower gets until the log ends."""
    request = pb.WatchJobLogsRequest(job_id=job_id, after_seq=after_seq)
    call = user.method("WatchJobLogs", request)(request, metadata=user.metadata, timeout=30)
    return [answer.event async for answer in call]


async def test_J4_a_log_in_pages_filtered_and_followed(world: World, user: Caller) -> None:
    """J4: each line once, from any position; the follower's stream ends with the job."""
    job = await user.create()
    following = asyncio.ensure_future(follow(user, job.job_id, 0))
    render = f"{job.job_id}-1"
    await world.renders.started(render)
    await world.renders.emit(render, planned("One", "Two"), said("one", scene=0), said("two", ERROR, scene=1))
    await world.renders.emit(render, said("three"), succeeded("v", "t"))
    await user.ended(job.job_id)
    stored = await lines(user, job.job_id)
    messages = [line.message for line in stored]
    assert messages == ["attempt 1 began, medium quality", "one", "two", "three", "the job is completed"]
    assert [line.seq for line in stored] == [1, 2, 3, 4, 5]
    assert [line.message for line in await lines(user, job.job_id, min_severity=ERROR)] == ["two"]
    assert [line.message for line in await lines(user, job.job_id, scene_index=0)] == ["one"]
    assert [line.message for line in await lines(user, job.job_id, stage=job_pb2.JOB_STAGE_PLANNING)] == messages[:1]
    assert [event.entry for event in await following] == stored
    assert [event.entry for event in await follow(user, job.job_id, 3)] == stored[3:]
    [only] = await follow(user, job.job_id)
    assert (only.WhichOneof("event"), only.position.last_seq, only.seq) == ("position", 5, 5)


async def test_J4_followed_over_a_redis_flush_and_a_restart(world: World, redis_server: str) -> None:
    """J4: nothing is missed and nothing comes twice."""
    server = await world.start()
    user = server.caller()
    job = await user.create()
    render = f"{job.job_id}-1"
    await world.renders.started(render)
    await world.renders.emit(render, planned("One"), said("before"))
    await user.until(job.job_id, lambda progress: bool(progress.scenes))
    async with Redis.from_url(redis_server) as redis:
        await redis.delete(f"joblog:{job.job_id}")
    await world.renders.emit(render, said("after the flush"), render_pb2.RenderProgressed(progress=5, frames_total=9))
    await user.until(job.job_id, lambda progress: progress.progress >= 5)
    await server.stop()
    other = await world.start()
    again = other.caller(user.subject)
    following = asyncio.ensure_future(follow(again, job.job_id, 0))
    await world.renders.emit(render, said("after the restart"), succeeded("v", "t"))
    entries = [event.entry for event in await following]
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    assert [entry.message for entry in entries][1:-1] == ["before", "after the flush", "after the restart"]
    await other.stop()


async def test_V3_J4_a_failure_shows_the_last_lines_of_its_step(world: World, user: Caller) -> None:
    """V3: stage, scene, code, retryable and an excerpt, in the status and in the history."""
    job = await user.create(max_retries=0)
    await world.renders.started(f"{job.job_id}-1")
    broken = failed(retryable=False)
    broken.error.log_excerpt.extend(["Traceback", "MemoryError"])
    await world.renders.emit(f"{job.job_id}-1", broken)
    progress = await user.ended(job.job_id)
    assert list(progress.error.log_excerpt) == ["Traceback", "MemoryError"]
    assert (progress.error.scene_index, progress.error.stage) == (1, job_pb2.JOB_STAGE_RENDERING)
    history = await user.history(job.job_id)
    assert history[-1].status.error == progress.error


async def test_J4_A5_others_see_no_log(server: Running, user: Caller) -> None:
    """J4, A5: and a position that does not exist is refused."""
    job = await user.create()
    stranger = server.caller()
    assert (await failure(lines(stranger, job.job_id))).code == grpc.StatusCode.NOT_FOUND
    assert (await failure(follow(stranger, job.job_id))).code == grpc.StatusCode.NOT_FOUND
    assert (await failure(follow(user, job.job_id, 99))).code == grpc.StatusCode.OUT_OF_RANGE
    forged = await failure(user.call("ListJobLogs", pb.ListJobLogsRequest(job_id=job.job_id, page_token="AAAA")))
    assert forged.violations[0][0] == "page_token"

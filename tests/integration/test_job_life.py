"""The life of a job over a real server, Postgres and Redis: V1, V3, J1, J3."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

import pytest

from services.runtime.ids import new_id
from t2m.job.v1 import job_pb2
from t2m.video_render.v1 import render_pb2
from tests.fakes.render_server import drawn, planned, running, scene_done, succeeded
from tests.integration.job_harness import Caller, Running, World, new_world


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


async def test_v1_v3_j1_job_runs_to_completion(world: World, user: Caller) -> None:
    """Accept, dispatch, start, follow, complete; the history has no gaps."""
    job = await user.create()
    assert job.status == job_pb2.JOB_STATUS_QUEUED
    assert job.revision == 1
    render = await world.renders.started(f"{job.job_id}-1")
    assert (render.request.owner_id, render.request.topic) == (user.subject, job.topic)
    video, thumbnail = new_id(), new_id()
    await world.renders.emit(
        f"{job.job_id}-1",
        running(render_pb2.RENDER_STAGE_PLANNING),
        planned("One", "Two"),
        running(render_pb2.RENDER_STAGE_RENDERING, 5),
        drawn(30, 0, 60),
        scene_done(0, 50),
        scene_done(1, 90),
        succeeded(video, thumbnail),
    )
    progress = await user.ended(job.job_id)
    assert progress.status == job_pb2.JOB_STATUS_COMPLETED
    assert progress.progress == 100
    assert [scene.status for scene in progress.scenes] == [job_pb2.SCENE_STATUS_COMPLETED] * 2
    events = await user.history(job.job_id)
    assert [event.seq for event in events] == list(range(1, progress.revision + 1))
    assert [event.status.status for event in events if event.WhichOneof("event") == "status"] == [
        job_pb2.JOB_STATUS_QUEUED,
        job_pb2.JOB_STATUS_PROCESSING,
        job_pb2.JOB_STATUS_PROCESSING,
        job_pb2.JOB_STATUS_COMPLETED,
    ]

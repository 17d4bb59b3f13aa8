"""The queue, the retries and the figures of a real job server with scripted neighbours (J5, J6, V3, O2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta

import grpc
import httpx
import pytest

from t2m.job.v1 import job_pb2
from t2m.video_render.v1 import render_pb2
from tests.fakes.render_server import drawn, failed, planned, running, succeeded
from tests.integration.job_harness import Running, World, new_world

RENDERING = render_pb2.RENDER_STAGE_RENDERING


@pytest.fixture
async def world(postgres: Callable[[], str], redis_server: str) -> AsyncGenerator[World]:
    async with new_world(postgres, redis_server) as world:
        yield world


async def figures(server: Running) -> dict[str, float]:
    """What `/metrics` says, by name and labels."""
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"http://127.0.0.1:{server.server.metrics_port}/metrics")).text
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


async def figures_of(server: Running, last: str, before: dict[str, float]) -> dict[str, float]:
    """The figures once `last` is among them: a change is counted after it is stored, a watcher may see it earlier."""
    async with asyncio.timeout(10):
        while True:
            after = await figures(server)
            if after.get(last) != before.get(last):
                return after
            await asyncio.sleep(0.02)


async def test_J5_a_newcomer_has_the_next_slot(world: World) -> None:
    """J5: one slot, thirty jobs of one user: the first one that another hands in starts as soon as the slot is free."""
    server = await world.start(max_in_flight=1)
    crowd, newcomer = server.caller(), server.caller()
    jobs = [await crowd.create(priority=job_pb2.JOB_PRIORITY_HIGH) for _ in range(30)]
    first = await world.renders.started(f"{jobs[0].job_id}-1")
    job = await newcomer.create(priority=job_pb2.JOB_PRIORITY_LOW)
    assert (await newcomer.progress(job.job_id)).queue_position == 0
    await world.renders.emit(first.request.render_id, succeeded("", ""))
    await world.renders.started(f"{job.job_id}-1")
    assert list(world.renders.renders) == [f"{jobs[0].job_id}-1", f"{job.job_id}-1"]
    await server.stop()


async def test_J6_a_poison_job_stops_at_the_cap(world: World) -> None:
    """J6: a render that fails each time, its worker out of memory, is started once and twice more, never again."""
    world.renders.autoplay = lambda _: [planned("One"), failed("WORKER_LOST")]
    server = await world.start(retry_base_s=0)
    user = server.caller()
    job = await user.create(max_retries=2)
    progress = await user.ended(job.job_id)
    assert (progress.status, progress.error.code) == (job_pb2.JOB_STATUS_FAILED, "WORKER_LOST")
    assert list(world.renders.renders) == [f"{job.job_id}-{number}" for number in (1, 2, 3)]
    await server.stop()


async def test_J6_a_start_that_is_answered_with_faults_fails(world: World) -> None:
    """J6: five answers, over a few seconds, rather than one every ten seconds for ever."""
    world.renders.refuse = (grpc.StatusCode.INTERNAL, "a bug")
    server = await world.start()
    user = server.caller()
    job = await user.create(max_retries=0)
    progress = await user.ended(job.job_id)
    assert (progress.status, progress.error.code) == (job_pb2.JOB_STATUS_FAILED, "RENDER_START_FAILED")
    assert "a bug" in progress.error.message
    await server.stop()


async def test_J6_the_time_limit_holds_over_a_restart(world: World) -> None:
    """J6: an hour after the attempt began it is given up and its render stopped, by whichever process is there then."""
    server = await world.start()
    user = server.caller()
    job = await user.create(max_retries=0)
    render = await world.renders.started(f"{job.job_id}-1")
    await world.renders.emit(render.request.render_id, planned("One"), drawn(10))
    await user.until(job.job_id, lambda progress: progress.progress >= 10)
    await server.stop()
    world.clock.offset = timedelta(seconds=3601)
    server = await world.start()
    user = server.caller(user.subject)
    progress = await user.ended(job.job_id)
    assert (progress.status, progress.error.code) == (job_pb2.JOB_STATUS_FAILED, "TIME_LIMIT_EXCEEDED")
    await world.renders.wait_for(lambda: render.cancels == 1)
    await server.stop()


async def test_O2_V3_figures_are_served_once_per_job(world: World) -> None:
    """O2, V3, J6: two replicas, two completed jobs, one failed after a retry: `/metrics` has each once."""
    server = await world.start(metrics_port=0, retry_base_s=0)
    other = await world.start(retry_base_s=0)
    before = await figures(server)
    user = server.caller()
    for number in range(2):
        job = await user.create()
        render_id = f"{job.job_id}-1"
        await world.renders.started(render_id)
        await world.renders.emit(render_id, planned("One"), running(RENDERING, 5.0), drawn(60, frames_done=60))
        await user.until(job.job_id, lambda progress: progress.progress >= 60)
        await world.renders.emit(render_id, succeeded("", ""))
        await user.ended(job.job_id)
        world.clock.offset += timedelta(seconds=11 * (number + 1))  # What was known of recent jobs is forgotten.
    world.renders.autoplay = lambda _: [failed("C")]
    await user.ended((await user.create(max_retries=1)).job_id)
    after = await figures_of(server, 'jobs_ended_total{code="C",status="failed"}', before)

    def more(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert more('jobs_ended_total{code="",status="completed"}') == 2
    assert more('jobs_ended_total{code="C",status="failed"}') == 1
    assert more('job_retries_total{code="C"}') == 1
    assert more('job_processing_time_seconds_count{quality="medium"}') == 2
    assert more('job_queue_wait_seconds_count{quality="medium"}') == 3
    # Nothing was known when the first was accepted.
    assert more('job_eta_error_ratio_count{at="accepted"}') == 1
    assert more('job_eta_error_ratio_count{at="half"}') == 1
    assert 0 < after["job_completion_rate"] < 1
    depths = {f'job_queue_depth{{priority="{name}",state="ready"}}' for name in ("high", "default", "low")}
    assert depths <= after.keys()
    await other.stop()
    await server.stop()

"""`RenderService` over gRPC: errors, idempotency, watching, priorities, and a render by the real engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import av
import grpc
import pytest
import redis
from google.protobuf import struct_pb2

from services.runtime.errors import rpc_error_details
from services.runtime.identity import Role
from t2m.video_render.v1 import render_pb2
from t2m.video_render.v1 import render_service_pb2 as pb
from tests.integration import storage_harness
from tests.integration.video_render_harness import REAL_WORKER, Stack, eventually, running

CODE = grpc.StatusCode


@pytest.fixture
async def stack(postgres: Callable[[], str], tmp_path: Path) -> AsyncIterator[Stack]:
    """Everything but a worker."""
    async with running(postgres, tmp_path) as made:
        yield made


async def failure_of_watch(stack: Stack, render_id: str, after_seq: int) -> tuple[grpc.StatusCode, str]:
    """How a watch fails at once."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(stack.watch(render_id, after_seq))
    failure = rpc_error_details(caught.value)
    return failure.code, failure.reason


async def test_bad_calls_have_clear_errors(stack: Stack) -> None:
    """O6: unknown render, other request under the id, position ahead, bad option, wrong caller."""
    await stack.start("r1", "a 1")
    same = await stack.start("r1", "a 1")
    assert same.state == render_pb2.RENDER_STATE_PENDING
    conflict = await storage_harness.failure(stack.start("r1", "b 2"))
    assert (conflict.code, conflict.reason) == (CODE.ALREADY_EXISTS, "IDEMPOTENCY_CONFLICT")
    for call in (stack.get("nope"), stack.cancel("nope")):
        unknown = await storage_harness.failure(call)
        assert (unknown.code, unknown.reason) == (CODE.NOT_FOUND, "NOT_FOUND")
    assert await failure_of_watch(stack, "nope", 0) == (CODE.NOT_FOUND, "NOT_FOUND")
    assert (await failure_of_watch(stack, "r1", 99))[0] == CODE.OUT_OF_RANGE
    configuration = struct_pb2.Struct()
    configuration.update({"theme": "plaid"})
    bad = await storage_harness.failure(stack.start("r2", "a 1", configuration=configuration))
    assert bad.code == CODE.INVALID_ARGUMENT
    assert bad.violations[0][0] == "configuration.theme"
    missing = await storage_harness.failure(stack.start("r 3", "a 1"))
    assert {path for path, _ in missing.violations} == {"render_id"}
    about_nothing = await storage_harness.failure(stack.start("r3", "a 1", topic=" "))
    assert {path for path, _ in about_nothing.violations} == {"topic"}
    request = pb.GetRenderRequest(render_id="r1")
    for role in (Role.USER, Role.ADMIN):
        denied = await storage_harness.failure(stack.stub.GetRender(request, metadata=storage_harness.metadata(role)))
        assert denied.code == CODE.PERMISSION_DENIED
    assert (await storage_harness.failure(stack.stub.GetRender(request))).code == CODE.UNAUTHENTICATED


async def test_J7_watchers_see_every_event_once_from_wherever_they_start(stack: Stack) -> None:
    """J7: live, resumed in the middle, after the end, and at the end."""
    await stack.start("r1", "burn 1", "burn 1")
    live = [asyncio.ensure_future(_collect(stack, "r1")) for _ in range(3)]
    await stack.start_worker()
    seen = (await asyncio.gather(*live))[0]
    assert all(watcher.result() == list(range(1, len(seen) + 1)) for watcher in live)
    relayed = redis.Redis.from_url(stack.redis.url)
    assert [entry for entry, _ in relayed.xrange("render:r1") or []] == [f"{seq}-0".encode() for seq in seen]
    relayed.close()
    for after in (0, 3, len(seen) - 1, len(seen)):
        assert [event.seq async for event in stack.watch("r1", after)] == seen[after:]


async def test_O4_a_stopping_service_ends_its_watchers_with_a_cursor(stack: Stack) -> None:
    """O4: what has happened was delivered, then UNAVAILABLE says: again, from there."""
    await stack.start("r1", "a 1")
    watching = stack.watch("r1")
    assert (await anext(watching)).seq == 1
    stopping = asyncio.ensure_future(stack.server.stop())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(watching)
    assert caught.value.code() is CODE.UNAVAILABLE
    await stopping


async def _collect(stack: Stack, render_id: str) -> list[int]:
    """The numbers a watcher sees until the stream ends."""
    return [event.seq async for event in stack.watch(render_id)]


async def test_J5_the_queues_are_served_in_order_of_priority(stack: Stack, tmp_path: Path) -> None:
    """J5: what waits in `high_priority` goes first, whatever came first."""
    log = tmp_path / "marks"
    priorities = {"low": pb.RENDER_PRIORITY_LOW, "default": pb.RENDER_PRIORITY_DEFAULT, "high": pb.RENDER_PRIORITY_HIGH}
    for name, priority in priorities.items():
        (log / name).mkdir(parents=True)
        await stack.start(name, f"mark {log / name}", priority=priority, job_id=name)

    async def published() -> bool:
        return not await stack.rows("SELECT 1 FROM outbox")

    await eventually(published, "every plan in its queue")
    await stack.start_worker(T2M_WORKER_CONCURRENCY="1")
    for name in priorities:
        assert (await stack.finished(name))[0].state == render_pb2.RENDER_STATE_SUCCEEDED
    ended = {name: (await stack.get(name)).started_at.ToNanoseconds() for name in priorities}
    assert sorted(ended, key=lambda name: ended[name]) == ["high", "default", "low"]


@pytest.mark.timeout(240)
async def test_R1_a_render_by_the_real_engine(stack: Stack) -> None:
    """R1, V6: Manim at 480p15; what is reported is what the file holds."""
    await stack.start_worker(REAL_WORKER)
    await stack.start(
        "r1",
        "# A line",
        "- It is straight",
        "- Two points fix it",
        "",
        "# Its equation",
        "$$ y = 2 x + 1 $$",
        topic="Lines",
    )
    render, _ = await stack.finished("r1")
    assert render.state == render_pb2.RENDER_STATE_SUCCEEDED, render.error
    file = stack.folder / "video.mp4"
    file.write_bytes(await stack.storage.read(object_id=render.video.video_object_id))
    with av.open(str(file)) as container:
        video = container.streams.video[0]
        frames = sum(1 for _ in container.decode(video))
        size = (video.width, video.height, float(video.average_rate or 0))
    assert size == (854, 480, 15.0) == (render.video.width, render.video.height, render.video.frame_rate)
    assert frames == render.video.frame_count == sum(scene.frames_total for scene in render.scenes)
    assert render.video.duration.ToTimedelta().total_seconds() == pytest.approx(frames / 15, abs=0.2)
    assert [chapter.title for chapter in render.video.chapters] == [scene.title for scene in render.scenes]
    poster = await stack.storage.read(object_id=render.video.thumbnail_object_id)
    assert poster.startswith(b"\x89PNG")
    assert render.video.thumbnail_content_type == "image/png"


async def test_J10_J3_a_job_is_forgotten_while_it_runs(stack: Stack) -> None:
    """J10, J3: its render is stopped, then nothing is known of it; a repeat succeeds, and the worker goes on."""
    await stack.start_worker()
    render = await stack.start("r1", "burn 30")
    await stack.until_drawing()
    request = pb.DeleteRendersRequest(owner_id=render.owner_id, job_id=render.job_id)
    caller = storage_harness.as_job()
    answers = [await stack.stub.DeleteRenders(request, metadata=caller) for _ in range(2)]
    assert [answer.render_count for answer in answers] == [1, 0]
    unknown = await storage_harness.failure(stack.get("r1"))
    assert unknown.code == CODE.NOT_FOUND
    await stack.start("r2", "burn 0.1")
    done, _ = await stack.finished("r2")
    assert done.state == render_pb2.RENDER_STATE_SUCCEEDED

"""The object store goes away in the middle of renders, and comes back (S4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from t2m.storage.v1 import object_service_pb2 as pb
from t2m.video_render.v1 import render_pb2
from tests.integration.storage_harness import as_job, sha256
from tests.integration.video_render_harness import Stack, eventually, running
from tests.s3_servers import Rclone, credentials

SUCCEEDED = render_pb2.RENDER_STATE_SUCCEEDED
PUBLISHING = render_pb2.RENDER_STAGE_PUBLISHING
RENDERS = 10


@pytest.fixture
def s3(tmp_path: Path) -> Any:
    """A store of this test's own."""
    store = Rclone(tmp_path / "s3")
    yield store
    store.kill()


@pytest.fixture
async def stack(s3: Rclone, postgres: Callable[[], str], tmp_path: Path) -> AsyncIterator[Stack]:
    """Everything but a worker; the bytes lie in the store."""
    store = {
        "storage_backend": "s3",
        "storage_region": "us-east-1",
        "s3_endpoint_url": s3.url,
        "s3_path_style": True,
    }
    with credentials(s3.access_key, s3.secret_key):
        async with running(postgres, tmp_path, store=store, lease_s=8.0, heartbeat_s=0.5) as made:
            s3.make_buckets(made.storage.settings.buckets())
            yield made


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    """Where scenes leave a file per attempt."""
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


def begun(marks: Path) -> int:
    """How many times a scene was begun."""
    return len(list(marks.glob("*-*")))


def waiting(stack: Stack, *render_ids: str) -> Callable[[], Any]:
    """Whether all these renders wait for the storage, in the last stage."""

    async def check() -> bool:
        found = await asyncio.gather(*map(stack.get, render_ids))
        return all((render.stage, render.waits_for) == (PUBLISHING, "storage") for render in found)

    return check


def tried_again(stack: Stack) -> Callable[[], Any]:
    """Whether every step that waits has asked the storage twice."""

    async def check() -> bool:
        [[least]] = await stack.rows("SELECT min(parked) FROM steps WHERE parked > 0")
        return least is not None and least >= 2

    return check


async def whole(stack: Stack, render: render_pb2.Render, lines: list[str]) -> None:
    """The render succeeded, and its video can be read."""
    assert render.state == SUCCEEDED, render
    content = await stack.storage.read(object_id=render.video.video_object_id)
    assert content.decode().splitlines() == [f"segment of {line}" for line in lines]


async def test_S4_a_store_that_goes_away_in_the_middle_of_ten_renders_loses_nothing(
    stack: Stack, s3: Rclone, marks: Path
) -> None:
    """S4: all wait in `publishing` and say why, no scene is drawn twice, and all complete by themselves."""
    await stack.start_worker()
    names = [f"r{number}" for number in range(RENDERS)]
    scripts = {name: [f"mark {marks} burn 0.1{number}"] for number, name in enumerate(names)}
    for name in names[:2]:
        await stack.start(name, *scripts[name], job_id=f"j-{name}")
    for name in names[:2]:
        await whole(stack, (await stack.finished(name))[0], scripts[name])
    for name in names[2:]:
        await stack.start(name, *scripts[name], job_id=f"j-{name}")
    await stack.until_drawing()
    await asyncio.to_thread(s3.kill)
    await eventually(waiting(stack, *names[2:]), "all wait for the storage")
    rows = await stack.rows("SELECT max(attempts - handed_back) FROM steps WHERE kind = 'scene'")
    await eventually(tried_again(stack), "all have tried it again and found it away")
    await asyncio.to_thread(s3.start)
    for name in names[2:]:
        render, events = await stack.finished(name)
        await whole(stack, render, scripts[name])
        assert "storage" in {event.state_changed.waits_for for event in events}
    assert begun(marks) == RENDERS, "no scene was drawn again"
    assert rows[0][0] <= 1, "waiting costs no attempt"
    spool = stack.settings.scratch_dir / "spool"
    assert [path.name for path in spool.iterdir()] == []


async def test_S4_the_spool_survives_the_worker(stack: Stack, s3: Rclone, marks: Path) -> None:
    """S4, V10: killed while everything waits; the next worker here stores what was drawn by the first."""
    first = await stack.start_worker()
    await asyncio.to_thread(s3.kill)
    lines = [f"mark {marks}", f"mark {marks} burn 0.2"]
    await stack.start("r1", *lines)
    await eventually(waiting(stack, "r1"), "the render waits for the storage")
    first.tree.kill()
    first.process.wait(10)
    await asyncio.to_thread(s3.start)
    await stack.start_worker()
    render, _ = await stack.finished("r1")
    await whole(stack, render, lines)
    assert begun(marks) == 2


async def test_S4_a_full_spool_is_back_pressure(stack: Stack, s3: Rclone, marks: Path) -> None:
    """S4: a worker that may keep nothing holds on to its scene and draws no other one; nothing is lost."""
    await asyncio.to_thread(s3.kill)
    await stack.start_worker(T2M_SPOOL_MAX_BYTES="0", T2M_WORKER_CONCURRENCY="1")
    lines = [f"mark {marks}", f"mark {marks} burn 0.1"]
    await stack.start("r1", *lines)

    async def held() -> bool:
        return "the spool is full" in stack.workers[0].log.read_text()

    await eventually(held, "the worker has found its spool full")
    assert begun(marks) == 1
    await asyncio.to_thread(s3.start)
    render, _ = await stack.finished("r1")
    await whole(stack, render, lines)
    assert begun(marks) == 2


async def test_S6_a_worker_killed_in_the_middle_of_its_uploads_leaves_nothing_false(
    stack: Stack, s3: Rclone, marks: Path
) -> None:
    """S6, V10: its rows stay pending, the scene is drawn again, and every committed row has its bytes."""
    worker = await stack.start_worker()
    s3.hang()
    await stack.start("r1", f"mark {marks}")

    async def uploading() -> bool:
        return any(state == "pending" for state, _ in await stack.storage.rows())

    await eventually(uploading, "an upload begun")
    worker.tree.kill()
    worker.process.wait(10)
    s3.go_on()
    await stack.start_worker()
    render, _ = await stack.finished("r1")
    await whole(stack, render, [f"mark {marks}"])
    named = pb.ListObjectsRequest(owner_id="u1", page_size=500)
    listed = (await stack.storage.stub.ListObjects(named, metadata=as_job())).objects
    assert len(listed) >= 5
    for each in listed:
        assert sha256(await stack.storage.read(object_id=each.object_id)) == each.sha256
    states = [state for state, _ in await stack.storage.rows()]
    assert states.count("committed") == len(listed)
    assert "pending" in states, "what the killed worker has begun, for the sweep"

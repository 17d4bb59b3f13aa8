"""Processes that die, sleep or lose their queue in the middle of a render (V10, DESIGN §3)."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from services.video_render.adapters.celery.app import RUN_STEP, WorkerLimits, create_app
from t2m.video_render.v1 import render_pb2
from tests.integration.video_render_harness import Stack, eventually, running

SUCCEEDED = render_pb2.RENDER_STATE_SUCCEEDED
FAST: dict[str, Any] = {"lease_s": 8.0, "heartbeat_s": 0.5}
"""The lease of most tests here, so that nobody waits 15 s; the figure itself is no part of what they show."""


@pytest.fixture
async def stack(postgres: Callable[[], str], tmp_path: Path) -> AsyncIterator[Stack]:
    """Everything but a worker."""
    async with running(postgres, tmp_path, **FAST) as made:
        yield made


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    """Where scenes leave a file per attempt."""
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


def drawn(marks: Path) -> list[int]:
    """The scenes that were begun, with repeats."""
    return sorted(int(path.name.partition("-")[0]) for path in marks.glob("*-*"))


async def gone(processes: list[psutil.Process], deadline_s: float) -> None:
    """Wait until processes have ended."""

    async def ended() -> bool:
        return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)

    await eventually(ended, f"{processes} gone", deadline_s)


@pytest.mark.parametrize("victim", ["pool child", "zygote", "render child"])
async def test_V10_kill_9_in_mid_scene_repeats_only_that_scene(stack: Stack, marks: Path, victim: str) -> None:
    """V10: whichever process of a scene is killed, nothing below it survives and only that scene runs again."""
    go = marks / "go"
    worker = await stack.start_worker()
    await stack.start("r1", f"mark {marks}", f"mark {marks} until {go}", f"mark {marks}")
    await eventually(_drawn_is(marks, [0, 1, 2]), "every scene begun")
    await stack.until_drawing()
    await eventually(_alone(stack), "one scene left")
    pool_child, render_child = worker.drawing()[0]
    zygote = psutil.Process(render_child.ppid())
    chain = [pool_child, zygote, render_child]
    chain[["pool child", "zygote", "render child"].index(victim)].kill()
    await gone([render_child], 5)
    go.touch()
    render, _ = await stack.finished("r1")
    assert render.state == SUCCEEDED, render.error
    assert drawn(marks) == [0, 1, 1, 2]
    assert [scene.attempts for scene in render.scenes] == [1, 2, 1]


async def test_V10_kill_9_of_a_whole_worker_leaves_no_process_and_costs_its_scenes(stack: Stack, marks: Path) -> None:
    """V10: another worker takes over, without waiting for the lease, and no process of the dead one survives."""
    go = marks / "go"
    worker = await stack.start_worker()
    await stack.start("r1", f"mark {marks}", f"mark {marks} until {go}")
    await eventually(_drawn_is(marks, [0, 1]), "every scene begun")
    await eventually(_alone(stack), "one scene left")
    family = worker.tree.children(recursive=True)
    assert len(family) >= 5, "two pool children, two zygotes, a render child"
    worker.process.kill()
    await gone(family, 5)
    await stack.start_worker()
    await eventually(_drawn_is(marks, [0, 1, 1]), "the scene begun again", 20)
    go.touch()
    render, _ = await stack.finished("r1")
    assert render.state == SUCCEEDED


async def test_V10_a_zombie_is_refused_by_the_fence(stack: Stack, marks: Path) -> None:
    """V10: a worker that slept past its lease wakes up with a finished scene; its result is thrown away."""
    go = marks / "go"
    zombie = await stack.start_worker(T2M_WORKER_CONCURRENCY="1")
    await stack.start("r1", f"mark {marks} until {go}")
    await eventually(_drawn_is(marks, [0]), "the scene begun")
    sleeper, _ = zombie.drawing()[0]
    sleeper.suspend()  # only the supervisor sleeps: its render child goes on and finishes
    second = await stack.start_worker(T2M_WORKER_CONCURRENCY="1")
    await eventually(_drawn_is(marks, [0, 0]), "taken over", FAST["lease_s"] + 20)
    go.touch()
    render, events = await stack.finished("r1")
    sleeper.resume()
    await eventually(_logged(zombie.log, "result thrown away"), "the zombie has noticed")
    assert render.state == SUCCEEDED
    [row] = await stack.rows("SELECT fence, attempts FROM steps WHERE kind = 'scene'")
    assert tuple(row) == (2, 2)
    assert (await stack.get("r1")).seq == len(events), "the zombie has added to the history"
    assert second.process.poll() is None


async def test_a_flushed_redis_loses_nothing(stack: Stack, marks: Path) -> None:
    """DESIGN §3: FLUSHALL while steps wait in the queue and a scene is drawn; the render completes."""
    go = marks / "go"
    await stack.start_worker(T2M_WORKER_CONCURRENCY="1")
    await stack.start("r1", f"until {go}", f"mark {marks}", f"mark {marks}")
    await stack.until_drawing()
    client = redis.Redis.from_url(stack.redis.url)
    assert client.llen("default") == 2
    client.flushall()
    client.close()
    go.touch()
    render, _ = await stack.finished("r1")
    assert render.state == SUCCEEDED
    assert drawn(marks) == [1, 2]


async def test_a_restarted_redis_loses_nothing(stack: Stack, marks: Path) -> None:
    """DESIGN §3: Redis goes away in mid render and comes back."""
    go = marks / "go"
    await stack.start_worker(T2M_WORKER_CONCURRENCY="1")
    await stack.start("r1", f"until {go}", f"mark {marks}")
    await stack.until_drawing()
    await asyncio.to_thread(stack.redis.kill)
    go.touch()
    await asyncio.to_thread(stack.redis.start)
    render, _ = await stack.finished("r1")
    assert render.state == SUCCEEDED
    assert drawn(marks) == [1]


async def test_J3_P9_cancel_ends_the_processes_within_a_second(stack: Stack, marks: Path) -> None:
    """J3: the row first, then the processes; P9: within a second."""
    worker = await stack.start_worker()
    await stack.start("r1", f"until {marks}/never", f"until {marks}/never", f"mark {marks}")
    await stack.until_drawing(2)
    drawing = [render for _, render in worker.drawing()]
    asked_at = time.monotonic()
    render = await stack.cancel("r1")
    assert render.state == render_pb2.RENDER_STATE_CANCELLED
    await gone(drawing, 5)
    print(f"cancel to processes gone: {time.monotonic() - asked_at:.2f} s")
    assert time.monotonic() - asked_at < 1.0
    assert (await stack.cancel("r1")).seq == render.seq, "a repeated cancel changes nothing"
    await stack.finished("r1")
    attempts = stack.settings.scratch_dir / "attempts"
    await eventually(_empty(attempts), "no scratch file left")
    assert await stack.rows("SELECT 1 FROM steps WHERE state = 'running' OR lease_until IS NOT NULL") == []
    await stack.start("r2", f"mark {marks}", job_id="j2")
    assert (await stack.finished("r2"))[0].state == SUCCEEDED, "the worker works on"


async def test_J3_cancel_without_a_broker_is_noticed_by_the_heartbeat(stack: Stack, marks: Path) -> None:
    """J3: when the revocation cannot be sent, the next heartbeat stops the scene."""
    worker = await stack.start_worker()
    await stack.start("r1", f"until {marks}/never")
    await stack.until_drawing()
    drawing = [render for _, render in worker.drawing()]
    await asyncio.to_thread(stack.redis.kill)
    render = await stack.cancel("r1")
    assert render.state == render_pb2.RENDER_STATE_CANCELLED
    await gone(drawing, 10)


async def test_duplicate_deliveries_are_harmless(stack: Stack, marks: Path) -> None:
    """DESIGN §3: every step is delivered three times over; each scene is drawn once."""
    go = marks / "go"
    await stack.start("r1", f"mark {marks} until {go}", f"mark {marks} until {go}")
    app = create_app(stack.settings.broker, WorkerLimits(60, 1))
    steps = ["r1.plan", "r1.scene.0", "r1.scene.1", "r1.assemble", "r1.scene.99", "unknown.plan"]
    await stack.start_worker()
    await eventually(_drawn_is(marks, [0, 1]), "every scene begun")
    for step in steps * 3:
        await asyncio.to_thread(app.send_task, RUN_STEP, args=[step], queue="default")
    go.touch()
    render, _ = await stack.finished("r1")
    for step in steps * 3:
        await asyncio.to_thread(app.send_task, RUN_STEP, args=[step], queue="default")
    await eventually(_queue_is_empty(stack), "all deliveries taken")
    assert render.state == SUCCEEDED
    assert drawn(marks) == [0, 1]
    assert (await stack.get("r1")) == render


async def test_V10_processes_that_have_grown_are_replaced_between_steps(stack: Stack) -> None:
    """V10: no step is lost or begun twice by it."""
    worker = await stack.start_worker(T2M_WORKER_CONCURRENCY="1", T2M_POOL_MEMORY_BYTES=str(1024 * 1024))
    first = {process.pid for process in worker.pool()}
    await stack.start("r1", "burn 0.1", "burn 0.2")
    render, _ = await stack.finished("r1")
    assert render.state == SUCCEEDED
    assert [scene.attempts for scene in render.scenes] == [1, 1]
    assert not first & {process.pid for process in worker.pool()}


async def test_V10_attempts_are_capped(stack: Stack, marks: Path) -> None:
    """V10: a scene that always crashes is tried as often as allowed; then the render fails, and may be tried again."""
    await stack.start_worker()
    await stack.start("r1", f"mark {marks} crash 3", f"mark {marks}")
    render, _ = await stack.finished("r1")
    assert render.state == render_pb2.RENDER_STATE_FAILED
    assert (render.error.code, render.error.scene_index, render.error.retryable) == ("SCENE_RENDER_FAILED", 0, True)
    assert drawn(marks).count(0) == 4
    # The same job's next attempt finds the finished scene in the cache.
    await stack.start("r2", f"mark {marks}", f"mark {marks}")
    await stack.finished("r2")
    assert drawn(marks).count(1) == 1


async def test_J6_a_scene_that_kills_its_process_stops_at_the_cap(stack: Stack, marks: Path) -> None:
    """J6: as the kernel's killer does it, every time; the job is told not to begin again, others go on."""
    worker = await stack.start_worker()
    await stack.start("r1", f"mark {marks} die SIGKILL")
    await stack.start("r2", f"until {marks}/go", job_id="j2")
    render, _ = await stack.finished("r1")
    assert (render.error.code, render.error.scene_index, render.error.retryable) == ("SCENE_CRASHED", 0, False)
    assert "SIGKILL" in render.error.message
    assert drawn(marks) == [0] * 4
    (marks / "go").touch()
    other, _ = await stack.finished("r2")
    assert other.state == SUCCEEDED
    assert worker.process.poll() is None


async def test_J6_a_scene_beyond_its_memory_fails_at_once(stack: Stack, marks: Path) -> None:
    """J6: its own limit, not the machine's; the same scene would need as much again."""
    await stack.start_worker(T2M_SCENE_MEMORY_BYTES=str(1024**3))
    await stack.start("r1", f"mark {marks} hog 512", f"mark {marks} hog 1025")
    render, _ = await stack.finished("r1")
    assert (render.error.code, render.error.scene_index, render.error.retryable) == ("OUT_OF_MEMORY", 1, False)
    assert drawn(marks).count(1) == 1
    assert "1024 MiB" in render.error.message
    await stack.start("r2", f"mark {marks} hog 512", job_id="j2")
    assert (await stack.finished("r2"))[0].state == SUCCEEDED


async def test_V10_a_final_failure_is_not_repeated(stack: Stack, marks: Path) -> None:
    """J6: a scene that would fail the same way again fails the render at once."""
    await stack.start_worker()
    await stack.start("r1", f"mark {marks} fail TYPESETTING_FAILED", f"until {marks}/never")
    render, _ = await stack.finished("r1")
    assert (render.error.code, render.error.retryable) == ("TYPESETTING_FAILED", False)
    assert drawn(marks) == [0]


async def test_J6_a_step_past_its_time_limit_fails(stack: Stack, marks: Path) -> None:
    """J6: the soft limit kills the scene's process and fails the render."""
    worker = await stack.start_worker(T2M_SOFT_TIME_LIMIT_S="2")
    await stack.start("r1", f"until {marks}/never")
    render, _ = await stack.finished("r1")
    error = render.error
    assert (error.code, error.scene_index, error.retryable) == ("TIME_LIMIT_EXCEEDED", 0, False)
    assert error.message == "took longer than 2 s"
    assert not worker.drawing()


async def test_J6_a_step_that_cannot_be_stopped_is_killed_at_the_hard_limit(stack: Stack, marks: Path) -> None:
    """J6: its supervisor is frozen, so the soft limit cannot end it, and its lease is renewed; the hard limit can."""
    worker = await stack.start_worker(T2M_SOFT_TIME_LIMIT_S="2", T2M_HARD_TIME_LIMIT_S="5")
    await stack.start("r1", f"mark {marks} until {marks}/never")
    await eventually(_drawn_is(marks, [0]), "the scene begun")
    [(pool_child, render_child)] = worker.drawing()
    zygote = psutil.Process(render_child.ppid())
    zygote.suspend()
    await gone([pool_child, zygote, render_child], 30)
    render, _ = await stack.finished("r1")
    assert (render.error.code, render.error.scene_index) == ("TIME_LIMIT_EXCEEDED", 0)
    assert render.scenes[0].attempts == 2, "the second attempt could be stopped by the soft limit"
    assert worker.process.poll() is None


async def test_O4_a_stopping_worker_hands_its_scene_back(stack: Stack, marks: Path) -> None:
    """O4: past the grace period a scene goes to another worker at once, and is not counted as a failed attempt."""
    go = marks / "go"
    first = await stack.start_worker(T2M_LEASE_S="60", T2M_WORKER_CONCURRENCY="1")
    await stack.start("r1", f"mark {marks} until {go}")
    await eventually(_drawn_is(marks, [0]), "the scene begun")
    await stack.start_worker(T2M_LEASE_S="60", T2M_WORKER_CONCURRENCY="1")
    first.process.send_signal(signal.SIGTERM)
    await eventually(_drawn_is(marks, [0, 0]), "taken over long before the lease of 60 s", 30)
    assert await asyncio.to_thread(first.process.wait, 30) == 0
    go.touch()
    render, _ = await stack.finished("r1")
    assert render.state == SUCCEEDED
    [row] = await stack.rows("SELECT attempts, handed_back FROM steps WHERE kind = 'scene'")
    assert tuple(row) == (2, 1)


async def test_O4_a_stopping_worker_finishes_what_fits_the_grace(stack: Stack, marks: Path) -> None:
    """O4: SIGTERM lets a short scene finish."""
    go = marks / "go"
    worker = await stack.start_worker(T2M_SHUTDOWN_GRACE_S="30")
    await stack.start("r1", f"mark {marks} until {go}")
    await eventually(_drawn_is(marks, [0]), "the scene begun")
    worker.process.send_signal(signal.SIGTERM)
    go.touch()
    assert await asyncio.to_thread(worker.process.wait, 60) == 0
    [row] = await stack.rows("SELECT state, attempts FROM steps WHERE kind = 'scene'")
    assert tuple(row) == ("succeeded", 1)


def _remove(path: Path) -> None:
    path.unlink()


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def _poison(path: Path) -> None:
    path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))


@pytest.mark.parametrize("harm", [_remove, _truncate, _poison])
async def test_V10_a_segment_that_is_lost_or_damaged_is_rendered_again(
    stack: Stack, marks: Path, harm: Callable[[Path], None]
) -> None:
    """V10: what the cache points to is not what was stored; its scene is drawn again, the render completes."""
    await stack.start_worker()
    await stack.start("r1", f"mark {marks}")
    first, _ = await stack.finished("r1")
    await stack.start("r2", f"mark {marks}", job_id="j2")
    await stack.finished("r2")
    assert drawn(marks) == [0], "the second render takes the scene from the cache"
    for path in [*stack.storage.files(), *(stack.folder / "scratch" / "segments").iterdir()]:
        harm(path)
    await stack.start("r3", f"mark {marks}", job_id="j3")
    render, _ = await stack.finished("r3")
    assert render.state == SUCCEEDED
    assert drawn(marks) == [0, 0]
    assert first.video.sha256 == render.video.sha256


def _drawn_is(marks: Path, expected: list[int]) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return drawn(marks) == expected

    return check


def _alone(stack: Stack) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        [[left]] = await stack.rows("SELECT scenes_left FROM renders")
        return bool(left == 1) and sum(len(worker.drawing()) for worker in stack.workers) == 1

    return check


def _empty(folder: Path) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return not any(folder.iterdir())  # noqa: ASYNC240  # a small local folder

    return check


def _logged(log: Path, text: str) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return text in log.read_text(errors="replace")  # noqa: ASYNC240  # a small local file

    return check


def _queue_is_empty(stack: Stack) -> Callable[[], Awaitable[bool]]:
    client = redis.Redis.from_url(stack.redis.url)

    async def check() -> bool:
        return client.llen("default") == 0 and client.hlen("unacked") == 0

    return check


async def test_J4_V3_failed_and_killed_scenes_say_why(stack: Stack) -> None:
    """J4, V3: a scene that ends its process, time after time: every attempt is told, and the error shows the last."""
    await stack.start_worker()
    await stack.start("r1", "burn 0.1", "crash 1")
    render, events = await stack.finished("r1")
    assert render.state == render_pb2.RENDER_STATE_FAILED
    lines = [event.log for event in events if event.WhichOneof("event") == "log"]
    crashed = [line for line in lines if line.HasField("scene_index") and line.scene_index == 1]
    begun = [line.step_attempt for line in crashed if line.message.endswith("began")]
    assert begun == list(range(1, len(begun) + 1))
    assert len(begun) > 1
    errors = [line.message for line in crashed if line.severity == render_pb2.LOG_SEVERITY_ERROR]
    assert "ended without a result" in errors[-1]
    assert errors[-1] == render.error.log_excerpt[-1]
    assert (render.error.scene_index, render.error.stage) == (1, render_pb2.RENDER_STAGE_RENDERING)
    assert not [line.message for line in lines if str(stack.folder) in line.message]

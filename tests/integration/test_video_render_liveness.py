"""Who is dead for certain, by real processes, and what that spares (V10, P9)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from services.video_render.adapters.process import liveness as module
from services.video_render.adapters.process.liveness import ProcLiveness
from t2m.video_render.v1 import render_pb2
from tests.integration.video_render_harness import Stack, eventually, running

_NAME = (
    "from services.video_render.adapters.process.liveness import ProcLiveness;"
    "print(ProcLiveness().me(), flush=True); input()"
)


@pytest.fixture
async def stack(postgres: Callable[[], str], tmp_path: Path) -> AsyncIterator[Stack]:
    """A lease that no test here lives to see the end of."""
    async with running(postgres, tmp_path, lease_s=600.0, heartbeat_s=0.5) as made:
        yield made


def test_V10_killed_is_dead_and_stopped_is_alive() -> None:
    """V10: only an ended process of this very machine is dead; any doubt is life."""
    liveness = ProcLiveness()
    child = subprocess.Popen([sys.executable, "-c", _NAME], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    name = child.stdout.readline().strip()
    try:
        assert name != liveness.me()
        assert not liveness.provably_dead(name)
        os.kill(child.pid, signal.SIGSTOP)
        assert not liveness.provably_dead(name)
        place, pid, start = name.split(":")
        assert liveness.provably_dead(f"{place}:{pid}:{int(start) - 1}"), "the number was given to another process"
        for doubt in (
            "",
            "else:1:1",
            f"{place}x:{pid}:1",
            f"{place}:no:1",
            f"{place}:{pid}:",
            f"{place}:{pid}:x",
            place,
        ):
            assert not liveness.provably_dead(doubt), doubt
    finally:
        child.kill()
        child.wait(timeout=10)
    assert liveness.provably_dead(name)
    assert not liveness.provably_dead(liveness.me())


def test_V10_what_cannot_be_seen_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """V10: a process that /proc hides, or whose state cannot be read, is waited for."""
    liveness = ProcLiveness()
    name = liveness.me()
    monkeypatch.setattr(module, "_PROC", tmp_path)
    assert not liveness.provably_dead(name), "hidden"
    (tmp_path / str(os.getpid()) / "stat").mkdir(parents=True)
    assert not liveness.provably_dead(name), "unreadable"
    (tmp_path / str(os.getpid()) / "stat").rmdir()
    for garbled in ("", f"{os.getpid()} (python) R 1", f"{os.getpid()} (python) Z" + " x" * 40):
        (tmp_path / str(os.getpid()) / "stat").write_text(garbled)
        assert not liveness.provably_dead(name), garbled
    assert not liveness.me()


@pytest.mark.parametrize("victim", ["pool child", "whole worker"])
async def test_V10_a_killed_worker_costs_seconds_not_its_lease(stack: Stack, tmp_path: Path, victim: str) -> None:
    """V10, P9: the scene runs again long before a lease of ten minutes ends; the result is one."""
    go = tmp_path / "go"
    worker = await stack.start_worker()
    await stack.start("r1", f"until {go}")
    await stack.until_drawing()
    [(child, _)] = worker.drawing()
    processes = worker.tree.children(recursive=True)
    if victim == "pool child":
        child.kill()
    else:
        for process in [worker.tree, *processes]:
            process.kill()
        worker.process.wait()
        await stack.start_worker()

    async def begun_again() -> bool:
        return (await stack.get("r1")).scenes[0].attempts == 2

    await eventually(begun_again, "the scene runs again", 20)
    go.touch()
    render, _ = await stack.finished("r1")
    assert render.state == render_pb2.RENDER_STATE_SUCCEEDED


async def test_V10_a_delivery_given_back_by_the_queue_is_taken_at_once(
    postgres: Callable[[], str], tmp_path: Path
) -> None:
    """V10: no sweeper sees this machine, as where workers run elsewhere; a repeated delivery is enough."""
    go = tmp_path / "go"
    async with running(postgres, tmp_path, lease_s=600.0, heartbeat_s=0.5, sweep_interval_s=600.0) as stack:
        worker = await stack.start_worker()
        await stack.start("r1", f"until {go}")
        await stack.until_drawing()
        [(child, _)] = worker.drawing()
        child.kill()

        async def begun_again() -> bool:
            return (await stack.get("r1")).scenes[0].attempts == 2

        await eventually(begun_again, "the scene runs again", 20)
        go.touch()
        render, _ = await stack.finished("r1")
        assert render.state == render_pb2.RENDER_STATE_SUCCEEDED

"""The supervisor on stand-in processes: order, restarts, clean and unclean ends, one stack per folder."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy.local.errors import ProcessFailedError, StackError
from deploy.local.folder import DataFolder
from deploy.local.process import ProcessState
from deploy.local.specs import ProcessSpec, Stage
from deploy.local.supervisor import Supervisor

ROOT = Path(__file__).parents[2]
DEADLINE = 20.0

STAND_IN = """
import pathlib, signal, subprocess, sys
folder, name, mode = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
if mode == "broken":
    sys.exit("cannot open the widget")
def leave(*_):
    with (folder / "ends").open("a") as file:
        file.write(name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if mode == "stubborn" else leave)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with (folder / "starts").open("a") as file:
    file.write(name + "\\n")
(folder / (name + ".child")).write_text(str(child.pid))
(folder / (name + ".up")).write_text(str(__import__("os").getpid()))
while True:
    signal.pause()
"""


def spec(folder: Path, name: str, mode: str = "good", *, stop_timeout: float = 5.0) -> ProcessSpec:
    """A process that is ready when it has written its file."""
    mark = folder / f"{name}.up"

    async def ready() -> bool:
        return mark.exists()

    return ProcessSpec(
        name,
        lambda: [sys.executable, "-c", STAND_IN, str(folder), name, mode],
        ready,
        prepare=lambda: mark.unlink(missing_ok=True),
        stop_timeout=stop_timeout,
        start_timeout=DEADLINE,
    )


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split() if path.exists() else []


async def until(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_until, condition)


@pytest.fixture
async def supervise(tmp_path: Path) -> AsyncIterator[Callable[..., Supervisor]]:
    made: list[Supervisor] = []

    def make(*stages: Stage, changed: Callable[[ProcessState], None] = lambda state: None) -> Supervisor:
        made.append(Supervisor(stages, logs=tmp_path / "logs", changed=changed))
        return made[-1]

    yield make
    for supervisor in made:
        await supervisor.down()


async def test_stages_start_in_order_and_end_in_reverse(tmp_path: Path, supervise: Callable[..., Supervisor]) -> None:
    steps: list[list[str]] = []

    async def step() -> None:
        steps.append(lines(tmp_path / "starts"))

    supervisor = supervise(
        Stage([spec(tmp_path, "first")], then=(step,)),
        Stage([spec(tmp_path, "second")]),
        Stage([spec(tmp_path, "third")]),
    )
    await supervisor.up()
    assert lines(tmp_path / "starts") == ["first", "second", "third"]
    assert steps == [["first"]]
    assert [state.status for state in supervisor.states] == ["ready"] * 3
    await supervisor.down()
    assert lines(tmp_path / "ends") == ["third", "second", "first"]
    assert [state.status for state in supervisor.states] == ["stopped"] * 3


async def test_a_process_that_dies_comes_back_and_is_counted(
    tmp_path: Path, supervise: Callable[..., Supervisor]
) -> None:
    seen: list[str] = []
    supervisor = supervise(Stage([spec(tmp_path, "one")]), changed=lambda state: seen.append(state.status))
    await supervisor.up()
    state = supervisor.states[0]
    for deaths in (1, 2):
        assert state.pid is not None
        child = psutil.Process(int((tmp_path / "one.child").read_text(encoding="utf-8")))
        psutil.Process(state.pid).kill()
        await until(lambda deaths=deaths: state.restarts == deaths and state.status == "ready")  # type: ignore[misc]
        assert gone([child])
    assert state.last_exit == -signal.SIGKILL
    assert "backoff" in seen


async def test_a_group_is_killed_once_however_often_the_next_start_fails(
    tmp_path: Path, supervise: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Met as a session of another Postgres that was killed: it had got the number of a server gone minutes before."""
    killed: list[int] = []
    real = os.killpg

    def killpg(group: int, number: int) -> None:
        killed.append(group)
        real(group, number)

    monkeypatch.setattr(os, "killpg", killpg)
    whole = spec(tmp_path, "one")
    failures = iter(range(3))

    def prepare() -> None:
        if (tmp_path / "starts").exists() and next(failures, None) is not None:
            raise OSError("the folder is gone")
        whole.prepare()

    supervisor = supervise(Stage([replace(whole, prepare=prepare)]))
    await supervisor.up()
    state = supervisor.states[0]
    first = state.pid
    assert first is not None
    psutil.Process(first).kill()
    await until(lambda: state.restarts == 4 and state.status == "ready")
    assert killed == [first]


async def test_a_restart_on_request_is_not_a_death(tmp_path: Path, supervise: Callable[..., Supervisor]) -> None:
    supervisor = supervise(Stage([spec(tmp_path, "one")]))
    await supervisor.up()
    before = supervisor.states[0].pid
    await supervisor.restart("one")
    await until(lambda: supervisor.states[0].pid not in {None, before} and supervisor.states[0].status == "ready")
    assert supervisor.states[0].restarts == 0
    with pytest.raises(StackError, match="there are: one"):
        await supervisor.restart("two")


async def test_a_stage_that_fails_says_why_and_leaves_nothing_behind(
    tmp_path: Path, supervise: Callable[..., Supervisor]
) -> None:
    supervisor = supervise(
        Stage([spec(tmp_path, "good")]), Stage([spec(tmp_path, "other"), spec(tmp_path, "bad", "broken")])
    )
    with pytest.raises(ProcessFailedError, match="cannot open the widget"):
        await supervisor.up()
    assert all(state.pid is None for state in supervisor.states)
    assert "good" in lines(tmp_path / "ends")


async def test_a_process_that_will_not_end_is_killed_with_its_children(
    tmp_path: Path, supervise: Callable[..., Supervisor]
) -> None:
    supervisor = supervise(Stage([spec(tmp_path, "mule", "stubborn", stop_timeout=0.3)]))
    await supervisor.up()
    child = psutil.Process(int((tmp_path / "mule.child").read_text(encoding="utf-8")))
    await supervisor.down()
    await until(lambda: gone([child]))


RUNNER = """
import asyncio, pathlib, sys
from deploy.local.folder import DataFolder
from deploy.local.runner import AlreadyRunningError, Runner, acquire
from deploy.local.specs import Stage
from tests.integration.test_embedded_supervisor import spec
folder = DataFolder(pathlib.Path(sys.argv[1]))
try:
    lock = acquire(folder)
except AlreadyRunningError as error:
    sys.exit(f"t2m is {error}")
second = spec(folder.root, "second", "stubborn", stop_timeout=1.0)
stages = [Stage([spec(folder.root, "first")]), Stage([second])]
runner = Runner(folder, lock, stages, {"url": "http://127.0.0.1:1"}, print)
asyncio.run(runner.run(lambda: print("up", flush=True)))
"""


class Stack:
    """A runner in a process of its own, as `up` is."""

    def __init__(self, root: Path) -> None:
        self.folder = DataFolder(root)
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUNNER, str(root)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_until_up(self) -> dict[str, Any]:
        """The state once it is ready."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line == "up\n":
                return self.state()
        raise AssertionError(self.process.communicate()[1])

    def state(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.folder.state.read_text(encoding="utf-8"))
        return content

    def members(self) -> list[psutil.Process]:
        """The stand-ins and their children, not the supervisor and its guardian."""
        pids = [process["pid"] for process in self.state()["processes"]]
        pids += [int((self.folder.root / f"{name}.child").read_text(encoding="utf-8")) for name in ("first", "second")]
        return [psutil.Process(pid) for pid in pids]


def gone(processes: list[psutil.Process]) -> bool:
    return not [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_second_stack_on_a_folder_is_told_of_the_first(tmp_path: Path) -> None:
    first = Stack(tmp_path)
    try:
        state = first.wait_until_up()
        second = Stack(tmp_path)
        _, message = second.process.communicate(timeout=DEADLINE)
        assert f"t2m is already running (pid {state['pid']}, http://127.0.0.1:1)" in message
        assert second.process.returncode == 1
        assert first.folder.running() is not None
    finally:
        first.process.terminate()
        first.process.communicate(timeout=DEADLINE)


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_whole_stack(tmp_path: Path, signal_number: signal.Signals) -> None:
    stack = Stack(tmp_path)
    stack.wait_until_up()
    members = stack.members()
    stack.process.send_signal(signal_number)
    assert stack.process.communicate(timeout=DEADLINE)[1] == ""
    assert stack.process.returncode == 0
    assert stack.state()["status"] == "stopped"
    assert stack.folder.running() is None
    wait_until(lambda: gone(members))


def test_nothing_outlives_a_killed_supervisor_and_the_next_one_starts(tmp_path: Path) -> None:
    """Even a process that ignores SIGTERM, and its children, are gone before the next stack starts."""
    stack = Stack(tmp_path)
    stack.wait_until_up()
    members = stack.members()
    stack.process.kill()
    stack.process.communicate(timeout=DEADLINE)
    again = Stack(tmp_path)
    try:
        again.wait_until_up()
        assert gone(members)
    finally:
        again.process.terminate()
        again.process.communicate(timeout=DEADLINE)


def test_a_stop_in_the_middle_of_the_start_ends_what_was_started(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    wait_until((tmp_path / "first.up").exists)
    stack.process.terminate()
    assert stack.process.communicate(timeout=DEADLINE)[1] == ""
    assert stack.state()["status"] == "stopped"
    assert all(process["pid"] is None for process in stack.state()["processes"])

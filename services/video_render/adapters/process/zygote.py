"""The zygote: a process with the engine imported and a single thread, from which render children are forked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NoReturn

from services.video_render.adapters.process import memory
from services.video_render.adapters.process.lifeline import die_with_parent
from services.video_render.adapters.process.messages import Draw, Drawn, Ended, Failed, Frames, Kill
from services.video_render.adapters.process.output import tail
from services.video_render.adapters.process.render_child import draw
from services.video_render.application.engine import Ladder, OnFrames, SceneOutput, SceneRenderer
from services.video_render.application.ports import SceneCrashed
from services.video_render.domain.storyboard import Storyboard

_FIRST_FD = 3  # after standard input, output and error


class Zygote:
    """The pool child's end. Draws one scene at a time; see the port `SceneProcess`."""

    def __init__(self, control: Connection, pid: int) -> None:
        self._control = control
        self.pid = pid
        self.alive = True
        """False once the zygote has ended; nothing can be drawn by this object then."""

    @classmethod
    def start(cls, renderer: SceneRenderer, memory_bytes: int = 0) -> Zygote:
        """Fork the zygote. Call it while this process has one thread and no connections.

        `memory_bytes`: the most that drawing a scene may take; 0 for no limit.
        """
        ours, theirs = Pipe(duplex=True)
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _in_fork(lambda: _serve(renderer, theirs, parent, memory_bytes))
        theirs.close()
        return cls(ours, pid)

    def stop(self) -> None:
        """End the zygote, and with it what it draws."""
        self._control.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        self.alive = False

    async def render(
        self, storyboard: Storyboard, index: int, ladder: Ladder, out_dir: Path, on_frames: OnFrames
    ) -> SceneOutput:
        """Draw a scene; raises `SceneFailed`, `SceneCrashed`. When cancelled, returns after the process is gone."""
        run = _Run(on_frames)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._control.fileno(), self._receive, run)
        try:
            self._control.send(Draw(storyboard, index, ladder, out_dir))
            await run.ended.wait()
            return run.result(out_dir)
        except OSError as exc:
            self.alive = False
            raise SceneCrashed("SCENE_CRASHED", "the process that starts renders is gone") from exc
        finally:
            if self.alive and not run.ended.is_set():
                self._control.send(Kill())
                await run.ended.wait()
            loop.remove_reader(self._control.fileno())

    def _receive(self, run: _Run) -> None:
        try:
            while self._control.poll():
                run.take(self._control.recv())
        except (EOFError, OSError):
            self.alive = False
            run.ended.set()


class _Run:
    """What is known about the scene being drawn."""

    def __init__(self, on_frames: OnFrames) -> None:
        self._on_frames = on_frames
        self._outcome: Drawn | Failed | None = None
        self._end: Ended | None = None
        self.ended = asyncio.Event()

    def take(self, message: object) -> None:
        """The next message."""
        match message:
            case Frames(done, total):
                self._on_frames(done, total)
            case Drawn() | Failed():
                self._outcome = message
            case Ended():
                self._end = message
                self.ended.set()

    def result(self, out_dir: Path) -> SceneOutput:
        """The scene; raises `SceneFailed`, `SceneCrashed`, each with what the process printed last."""
        match self._outcome:
            case Drawn(output):
                return output
            case Failed(error):
                error.log = tail(out_dir)
                raise error
        code, death = _death(self._end)
        raise SceneCrashed(code, f"the render process ended without a result ({death})", tail(out_dir))


def _death(end: Ended | None) -> tuple[str, str]:
    """How a process ended that nobody here has killed: a code, and words for people."""
    if end is None:
        return "SCENE_CRASHED", "its supervisor is gone"
    if end.exit_code >= 0:
        return "SCENE_RENDER_FAILED", f"exit code {end.exit_code}"
    if end.exit_code == -signal.SIGKILL and end.out_of_memory:
        return "OUT_OF_MEMORY", "killed by the kernel, which ran out of memory"
    return "SCENE_CRASHED", f"killed by {signal.Signals(-end.exit_code).name}"


def _in_fork(main: Callable[[], int | None]) -> NoReturn:
    """Run the body of a forked process; whatever happens, nothing of the caller's stack runs in it."""
    status = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        status = main() or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _serve(renderer: SceneRenderer, control: Connection, parent: int, memory_bytes: int) -> None:
    """The zygote's life: one order after another until the pool child closes its end, or dies."""
    die_with_parent(parent)
    os.setsid()  # Ctrl-C at a terminal is for the worker to handle
    _close_all_but(control.fileno())
    with contextlib.suppress(EOFError):
        while True:
            order = control.recv()
            if isinstance(order, Draw):  # a late Kill finds nothing to kill
                _supervise(renderer, control, order, memory_bytes)


def _close_all_but(kept: int) -> None:
    """The pool's pipes and the broker's sockets are inherited; held open here, their ends would go unnoticed."""
    limit = os.sysconf("SC_OPEN_MAX")
    os.closerange(_FIRST_FD, kept)
    os.closerange(kept + 1, limit)


def _supervise(renderer: SceneRenderer, control: Connection, order: Draw, memory_bytes: int) -> None:
    """Fork a render child and pass its reports on until it is gone."""
    oom_kills = memory.oom_kills()
    reader, writer = Pipe(duplex=False)
    zygote = os.getpid()
    pid = os.fork()
    if pid == 0:
        reader.close()
        control.close()
        _in_fork(lambda: draw(renderer, order, writer, zygote, memory_bytes))
    writer.close()
    with contextlib.suppress(PermissionError, ProcessLookupError):
        os.setpgid(pid, pid)  # here as well as in the child: whoever comes first, no kill can miss the group
    try:
        while _pass_on(control, reader, pid):
            pass
    finally:
        reader.close()
        _kill_group(pid)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    _kill_group(pid)  # what the child has left behind; the group's id cannot be reused before the child is reaped
    _, status = os.waitpid(pid, 0)
    control.send(Ended(os.waitstatus_to_exitcode(status), memory.oom_kills() > oom_kills))


def _pass_on(control: Connection, reader: Connection, pid: int) -> bool:
    """Handle what has arrived; False when the render child reports no more. EOFError when the pool child is gone."""
    ready: list[Any] = wait([control, reader])
    if control in ready and isinstance(control.recv(), Kill):
        _kill_group(pid)
    if reader in ready:
        try:
            control.send(reader.recv())
        except (EOFError, OSError):  # the end, or half a message of a child that was killed
            return False
    return True


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)

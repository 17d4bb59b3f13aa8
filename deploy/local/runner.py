"""``up`` itself: hold the lock, run the supervisor, keep the state file true, obey signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import IO, Any

from deploy.local import files
from deploy.local.errors import StackError
from deploy.local.folder import DataFolder, process_started
from deploy.local.process import ProcessState
from deploy.local.specs import Stage
from deploy.local.supervisor import Supervisor

RELEASE_TIMEOUT = 30.0
"""Seconds to wait for the remains of a crashed stack, whose guardian still holds the lock."""
REWRITE_INTERVAL = 1.0
"""Seconds until the state file is tried again after it could not be written."""


class AlreadyRunningError(StackError):
    """Another supervisor holds this data folder; ``state`` is what it last wrote."""

    def __init__(self, state: dict[str, Any]) -> None:
        super().__init__(f"already running (pid {state['pid']}, {state.get('url') or state.get('status')})")
        self.state = state


def acquire(folder: DataFolder) -> IO[str]:
    """The folder's lock. AlreadyRunningError when a stack runs; waits for one that is just ending."""
    folder.create()
    deadline = time.monotonic() + RELEASE_TIMEOUT
    while (lock := folder.try_lock()) is None:
        state = folder.running()
        if state is not None and state.get("status") != "stopping":
            raise AlreadyRunningError(state)
        if time.monotonic() > deadline:
            raise StackError(f"{folder.root} is locked by something that is not a running stack")
        time.sleep(0.1)
    return lock


class Runner:
    """Runs stages until a signal says stop. Belongs to the main thread."""

    def __init__(
        self,
        folder: DataFolder,
        lock: IO[str],
        stages: Sequence[Stage],
        facts: dict[str, Any],
        announce: Callable[[str], None],
    ) -> None:
        """``facts`` are written to the state file as they are; ``announce`` gets one line per event."""
        self._folder = folder
        self._facts = facts
        self._announce = announce
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._rewrite: asyncio.TimerHandle | None = None
        self._status = "starting"
        self._began = time.time()
        self._supervisor = Supervisor(stages, logs=folder.logs, changed=self._on_change, lock=lock)

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Bring everything up, call ``on_ready``, stay until SIGINT, SIGTERM or SIGHUP, take everything down.

        SIGUSR1: restart the processes named in the request file. StackError when the stack does not come up.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGUSR1, self._on_restart_request)
        self._write()
        try:
            if await self._up_unless_stopped():
                self._set("ready")
                on_ready()
                await self._stop.wait()
        except BaseException:
            self._set("failed")
            raise
        finally:
            if self._status != "failed":
                self._set("stopping")
            await self._supervisor.down()
        self._set("stopped")

    async def _up_unless_stopped(self) -> bool:
        """True when all is up; False when a signal came first (what was started is stopped by then)."""
        up = asyncio.create_task(self._supervisor.up())
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait({up, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not up.done():
            self._set("stopping")
            up.cancel()
            await asyncio.gather(up, return_exceptions=True)
            return False
        up.result()
        return True

    def _on_restart_request(self) -> None:
        names = files.read_json(self._folder.requests).get("restart", [])
        self._folder.requests.unlink(missing_ok=True)
        for name in names:
            task = asyncio.create_task(self._supervisor.restart(str(name)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _on_change(self, state: ProcessState) -> None:
        with contextlib.suppress(OSError):  # our output may go to a disk that is full
            if state.status == "ready":
                took = time.time() - (state.started_at or 0.0)
                self._announce(f"{state.name:<13} ready   pid {state.pid}, {took:.1f} s")
            elif state.status == "backoff":
                self._announce(f"{state.name:<13} died    exit {state.last_exit}; starting it again")
        self._write()

    def _set(self, status: str) -> None:
        self._status = status
        self._write()

    def _write(self) -> None:
        """Write the state file. A full disk stops nobody: it is written as soon as there is room."""
        if self._rewrite is not None:
            self._rewrite.cancel()
            self._rewrite = None
        try:
            files.write_json(self._folder.state, self._state())
        except OSError:
            self._rewrite = asyncio.get_running_loop().call_later(REWRITE_INTERVAL, self._write)

    def _state(self) -> dict[str, Any]:
        return {
            **self._facts,
            "status": self._status,
            "pid": os.getpid(),
            "process_started": process_started(os.getpid()),
            "started_at": self._began,
            "processes": [state.as_json() for state in self._supervisor.states],
        }

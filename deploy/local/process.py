"""One supervised process: started, watched, restarted with backoff when it dies, stopped within a bound."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deploy.local.daemon import kill_tree, probe_intervals, tied
from deploy.local.errors import ProcessFailedError
from deploy.local.specs import ProcessSpec

BACKOFF_FIRST = 0.25
"""Seconds before the first restart; doubled for every further one in a row."""
BACKOFF_LONGEST = 5.0
STEADY_AFTER = 30.0
"""Seconds of life after which a death counts as the first again."""
LOG_LIMIT = 50 * 1024 * 1024
"""Bytes; a longer log is moved to ``<name>.log.1`` before its process starts."""


@dataclass
class ProcessState:
    """What is known about a process; goes to the state file."""

    name: str
    status: str = "waiting"
    """waiting, starting, ready, backoff, stopping or stopped."""
    pid: int | None = None
    started_at: float | None = None
    """Unix time of the current start."""
    restarts: int = 0
    """How often it died and was started again, since the stack is up."""
    last_exit: int | None = None
    """Exit code of the last death, negative for a signal."""

    def as_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


class SupervisedProcess:
    """Runs one spec until told to stop. All methods belong to the event loop of the main thread."""

    def __init__(self, spec: ProcessSpec, log: Path, changed: Callable[[SupervisedProcess], None]) -> None:
        """``changed`` is called after every change of ``state``."""
        self.spec = spec
        self.log = log
        self.state = ProcessState(spec.name)
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._restart_asked = False
        self._unswept: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it and return when it is ready; from then on it is kept running.

        ProcessFailedError when it ends or does not become ready in time.
        """
        await self._launch()
        await self._until_ready(self.spec.start_timeout)
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.spec.name}")

    async def stop(self) -> None:
        """Ask it to end, kill its tree when it has not in time. Safe at any moment, also twice."""
        if self._keeper is not None:  # first, or it would start again what is stopped here
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._process is not None and self._process.returncode is None:
            self._set("stopping")
            await self._end()
        self._set("stopped")

    async def restart(self) -> None:
        """End it; it is started again at once, without backoff and without counting as a death."""
        if self._process is not None and self._process.returncode is None:
            self._restart_asked = True
            await self._end()

    async def _launch(self) -> None:
        await asyncio.to_thread(self.spec.prepare)  # may wait for what a crash left
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_name(self.log.name + ".1"))
        command = list(self.spec.command())
        if not self.spec.tied:
            command = tied(command, death_signal=self.spec.stop_signal)
        with self.log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=None if self.spec.environment is None else dict(self.spec.environment),
                start_new_session=True,
            )
        self._unswept = self._process
        self.state.started_at = time.time()
        self._set("starting")

    async def _until_ready(self, timeout: float) -> None:
        assert self._process is not None
        deadline = time.monotonic() + timeout
        intervals = probe_intervals()
        while not await self.spec.ready():
            if self._process.returncode is not None:
                raise ProcessFailedError(
                    self.spec.name, f"ended with {self._process.returncode} while starting", self.log
                )
            if time.monotonic() > deadline:
                raise ProcessFailedError(self.spec.name, f"was not ready within {timeout:.0f} s", self.log)
            await asyncio.sleep(next(intervals))
        self._set("ready")

    async def _keep(self) -> None:
        """Wait for its end and start it again, until the stack stops."""
        delay = BACKOFF_FIRST
        while True:
            assert self._process is not None
            self.state.last_exit = await self._process.wait()
            self._sweep()
            if self._restart_asked:
                self._restart_asked = False
            else:
                self.state.restarts += 1
                lived = time.time() - (self.state.started_at or 0.0)
                delay = BACKOFF_FIRST if lived > STEADY_AFTER else delay
                self._set("backoff")
                await asyncio.sleep(delay)
                delay = min(delay * 2, BACKOFF_LONGEST)
            try:
                await self._launch()
                # Without a limit: what it waits for may be another process that is down, and it lives.
                await self._until_ready(math.inf)
            except Exception as error:  # whatever is wrong with one start, the next attempt must come
                self._note(error)
                await self._end()

    async def _end(self) -> None:
        """Signal, wait, kill the tree; returns when the process is gone."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        try:
            process.send_signal(self.spec.stop_signal)
            async with asyncio.timeout(self.spec.stop_timeout):
                await process.wait()
        except ProcessLookupError:
            return
        except TimeoutError:
            kill_tree(process.pid)
            await process.wait()
        self._sweep()

    def _sweep(self) -> None:
        """Kill what the ended process left in its group: children must not work on beside its successor.

        Once for each process: while a start fails again and again, the group's number may become a stranger's.
        """
        process, self._unswept = self._unswept, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def _set(self, status: str) -> None:
        self.state.status = status
        alive = self._process is not None and self._process.returncode is None
        self.state.pid = self._process.pid if alive and self._process else None
        self._changed(self)

    def _note(self, error: Exception) -> None:
        with contextlib.suppress(OSError), self.log.open("a", encoding="utf-8") as log:
            log.write(f"[supervisor {os.getpid()}] {error}\n")

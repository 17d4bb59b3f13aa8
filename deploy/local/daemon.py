"""One child process.

Started with its lifetime tied to ours, ready when a probe says so, stopped within a bound.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import psutil

from deploy.local.errors import ProcessFailedError
from deploy.local.identity import LAUNCHER, Identity

Probe = Callable[[], Awaitable[bool]]
"""True when the process serves, False while it does not yet.

Must not raise for a process that is still starting.
"""

_PROBE_FIRST, _PROBE_LONGEST = 0.03, 0.3
"""Seconds between two probes of a starting process: short at first, since most start fast, then sparing its log."""

_T = TypeVar("_T")


def tied(command: Sequence[str], *, identity: Identity | None = None, death_signal: int = signal.SIGTERM) -> list[str]:
    """``command`` behind the launcher: as ``identity``, ended by ``death_signal`` when this process is gone.

    The kernel watches the *thread* that forks, so a child started by any thread but the main one is not tied:
    it would die with a worker thread of some pool.
    """
    options = list(identity.options) if identity else []
    if threading.current_thread() is threading.main_thread():
        options += ["--parent", str(os.getpid()), "--death-signal", str(int(death_signal))]
    return [*LAUNCHER, *options, "--", *command]


def run_blocking(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run ``coroutine`` to its end on a loop of its own.

    Callable with or without a running loop in this thread.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="deploy.local") as executor:
        return executor.submit(asyncio.run, coroutine).result()


def probe_intervals() -> Iterator[float]:
    """Seconds to wait between the probes of a starting process, without end."""
    interval = _PROBE_FIRST
    while True:
        yield interval
        interval = min(interval * 1.25, _PROBE_LONGEST)


def process_tree(pid: int) -> list[psutil.Process]:
    """``pid`` and all its living descendants, parents first; empty when it is gone."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill_tree(pid: int) -> None:
    """SIGKILL ``pid`` and all its descendants, also those in sessions of their own."""
    for process in process_tree(pid):
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def end_leftovers(program: str, folder: Path, signal_number: int, timeout: float) -> None:
    """End what a crashed starter left: every ``program`` whose working directory is ``folder``.

    Asked by ``signal_number`` first, killed after ``timeout`` seconds.
    """
    found = [process for process in psutil.process_iter(["name"]) if _works_in(process, program, folder)]
    heads = [process for process in found if process.ppid() not in {other.pid for other in found}]
    for process in heads:
        process.send_signal(signal_number)
    _, alive = psutil.wait_procs(found, timeout=timeout)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=timeout)


def _works_in(process: psutil.Process, program: str, folder: Path) -> bool:
    try:
        return program in (process.info["name"] or "") and Path(process.cwd()) == folder.resolve()
    except psutil.Error:
        return False


class Daemon:
    """A child process with a log. Not thread-safe; one process at a time."""

    def __init__(self, name: str, log: Path) -> None:
        """``log`` is appended to; its folder is created on start."""
        self.name = name
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs, else None."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(
        self,
        command: Sequence[str],
        probe: Probe,
        *,
        timeout: float,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start ``command`` and return when ``probe`` is true.

        ProcessFailedError, with the tail of the log, when it ends before that or is not ready within
        ``timeout`` seconds.
        """
        if self.pid is not None:
            raise ProcessFailedError(self.name, "is running already", self.log)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=None if environment is None else dict(environment),
                start_new_session=True,
            )
        try:
            run_blocking(self._until_ready(probe, timeout))
        except BaseException:
            self.kill()
            raise

    def stop(self, signal_number: int, timeout: float) -> None:
        """Ask the process to end, kill its tree when it has not within ``timeout`` seconds.

        No-op when it is down.
        """
        if self._process is None:
            return
        if self.pid is not None:
            self._process.send_signal(signal_number)
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        self._process = None

    def kill(self) -> None:
        """End the process and its descendants as a power cut would.

        SIGKILL, no goodbye. No-op when it is down.
        """
        if self._process is None:
            return
        if self.pid is not None:  # The number of one that has ended by itself may be a stranger's by now.
            kill_tree(self._process.pid)
        self._process.wait()
        self._process = None

    async def _until_ready(self, probe: Probe, timeout: float) -> None:
        assert self._process is not None
        deadline = time.monotonic() + timeout
        intervals = probe_intervals()
        while not await probe():
            if (code := self._process.poll()) is not None:
                raise ProcessFailedError(self.name, f"ended with {code} while starting", self.log)
            if time.monotonic() > deadline:
                raise ProcessFailedError(self.name, f"was not ready within {timeout:.0f} s", self.log)
            await asyncio.sleep(next(intervals))

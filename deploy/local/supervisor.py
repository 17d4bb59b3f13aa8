"""Runs stages of processes.

Started in order by readiness, kept running, stopped in reverse; nothing outlives it.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import IO

from deploy.local import guardian
from deploy.local.errors import StackError
from deploy.local.process import ProcessState, SupervisedProcess
from deploy.local.specs import Stage


class Supervisor:
    """Owns every process of the stages from ``up`` to ``down``.

    Belongs to the event loop of the main thread.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        *,
        logs: Path,
        changed: Callable[[ProcessState], None],
        lock: IO[str] | None = None,
    ) -> None:
        """``changed`` hears of every change.

        ``lock`` is an open lock file that the guardian holds on to as well.
        """
        self._stages = stages
        self._changed = changed
        self._lock = lock
        self._guardian: subprocess.Popen[str] | None = None
        self._guarded: dict[str, int] = {}
        self._processes = {
            spec.name: SupervisedProcess(spec, logs / f"{spec.name}.log", self._on_change)
            for stage in stages
            for spec in stage.processes
        }

    @property
    def states(self) -> list[ProcessState]:
        """All processes in the order of their start."""
        return [process.state for process in self._processes.values()]

    async def up(self) -> None:
        """Start stage by stage; when one fails, what was started is stopped again and the error raised."""
        self._start_guardian()
        try:
            for stage in self._stages:
                await _all_or_first_error(self._processes[spec.name].start() for spec in stage.processes)
                await _all_or_first_error(step() for step in stage.then)
        except BaseException:
            await self.down()
            raise

    async def down(self) -> None:
        """Stop every process, the last stage first.

        Returns when all are gone. Bounded, safe to call twice.
        """
        for stage in reversed(self._stages):
            await asyncio.gather(*(self._processes[spec.name].stop() for spec in stage.processes))
        if self._guardian is not None:
            self._tell_guardian("bye")
            if self._guardian.stdin is not None:
                self._guardian.stdin.close()
            await asyncio.to_thread(self._guardian.wait)
            self._guardian = None

    async def restart(self, name: str) -> None:
        """End the process ``name``, which starts again at once.

        StackError when there is none of that name.
        """
        if name not in self._processes:
            raise StackError(f"no process {name!r}; there are: {', '.join(self._processes)}")
        await self._processes[name].restart()

    def _on_change(self, process: SupervisedProcess) -> None:
        state = process.state
        guarded = self._guarded.get(state.name)
        if guarded is not None and guarded != state.pid:
            self._tell_guardian(f"- {self._guarded.pop(state.name)}")
        if state.pid is not None and guarded != state.pid:
            self._guarded[state.name] = state.pid  # a session leader: its pid is its process group
            self._tell_guardian(f"+ {state.pid}")
        self._changed(state)

    def _start_guardian(self) -> None:
        self._guardian = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(guardian.__file__).resolve())],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
            pass_fds=() if self._lock is None else (self._lock.fileno(),),
        )

    def _tell_guardian(self, line: str) -> None:
        """Write a line.

        A guardian that was killed is done without, the kernel's death signal still stands.
        """
        if self._guardian is None or self._guardian.stdin is None:
            return
        try:
            self._guardian.stdin.write(line + "\n")
            self._guardian.stdin.flush()
        except BrokenPipeError:
            self._guardian.stdin = None


async def _all_or_first_error(work: Iterable[Awaitable[None]]) -> None:
    """Await all side by side; the first failure cancels the others and is raised as itself."""
    tasks = [asyncio.ensure_future(item) for item in work]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise

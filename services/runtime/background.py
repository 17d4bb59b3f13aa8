"""Background tasks of a process: started together, restarted when they fail, stopped in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

_log = structlog.get_logger(__name__)

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 10.0
STEADY_AFTER_S = 60.0
"""A task that ran this long before it failed starts over with the first delay."""


@dataclass(frozen=True, slots=True)
class BackgroundTask:
    """A coroutine that runs as long as the process. One that returns is done and is not started again."""

    name: str
    run: Callable[[], Awaitable[None]]
    outlives_calls: bool = False
    """Stop it only after the last call has ended, because calls in flight wait for it (an event reader, a
    committer).
    """


class Supervisor:
    """Keeps background tasks running."""

    def __init__(self, tasks: Sequence[BackgroundTask]) -> None:
        self._tasks = tasks
        self._running: dict[BackgroundTask, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Start every task."""
        loop = asyncio.get_running_loop()
        for task in self._tasks:
            self._running[task] = loop.create_task(_supervise(task), name=task.name)

    async def stop(self, *, outliving: bool) -> None:
        """Cancel the tasks of one phase and wait until they have cleaned up."""
        chosen = [running for task, running in self._running.items() if task.outlives_calls is outliving]
        await end_tasks(chosen)


async def end_tasks(tasks: Collection[asyncio.Future[Any]], *, again_after_s: float = 2.0) -> None:
    """Cancel tasks and wait until they have cleaned up; their results and errors are dropped.

    Cancels again what is still running after a while: `asyncio.wait_for` of Python 3.11, which database and
    Redis drivers use, forgets a cancellation that comes in the moment when its own future is done.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=again_after_s)
    await asyncio.gather(*tasks, return_exceptions=True)


def is_cancelled() -> bool:
    """Whether the current task itself was cancelled, and not only something that it waits for."""
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0


async def _supervise(task: BackgroundTask) -> None:
    delay = FIRST_DELAY_S
    while True:
        started = time.monotonic()
        try:
            await task.run()
        except (Exception, asyncio.CancelledError):
            if is_cancelled():
                raise
            if time.monotonic() - started > STEADY_AFTER_S:
                delay = FIRST_DELAY_S
            _log.exception("background task failed", task=task.name, restart_in_s=delay)
        else:
            return
        await asyncio.sleep(delay)
        delay = min(delay * 2, LONGEST_DELAY_S)

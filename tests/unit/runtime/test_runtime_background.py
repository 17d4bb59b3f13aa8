"""Ending tasks that do not let themselves be ended at the first try."""

from __future__ import annotations

import asyncio

import pytest

from services.runtime import background
from services.runtime.background import end_tasks


async def test_a_task_that_loses_a_cancellation_is_cancelled_again() -> None:
    lost = 0

    async def forgetful() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                lost += 1
                if lost == 2:
                    raise

    async def failing() -> None:
        raise ValueError("dropped")

    tasks = [asyncio.ensure_future(forgetful()), asyncio.ensure_future(failing())]
    async with asyncio.timeout(5):
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await end_tasks(tasks, again_after_s=0.05)
    assert lost == 2
    assert all(task.done() for task in tasks)


async def test_a_task_goes_on_when_something_that_it_waits_for_was_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream whose channel is replaced, for example: to whoever reads it that looks like a cancellation."""
    monkeypatch.setattr(background, "FIRST_DELAY_S", 0.0)
    runs, again = 0, asyncio.Event()

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs > 1:
            again.set()
            await asyncio.Event().wait()
        cut: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        cut.cancel()
        await cut

    supervisor = background.Supervisor([background.BackgroundTask("follow", run)])
    supervisor.start()
    async with asyncio.timeout(5):
        await again.wait()
        await supervisor.stop(outliving=False)
    assert runs == 2

"""Ending tasks that do not let themselves be ended at the first try."""

from __future__ import annotations

import asyncio

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

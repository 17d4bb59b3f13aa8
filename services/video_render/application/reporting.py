"""Reports of a step that is under way, and works of it that are done side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from services.video_render.application.ports import Change, RenderStore
from services.video_render.application.steps import Claim
from services.video_render.application.transition import transition

T = TypeVar("T")


class Reporter:
    """Coalesces the reports of a step: only the newest is stored, and not more often than every `every_s` seconds."""

    def __init__(self, store: RenderStore, claim: Claim, every_s: float, record: Callable[[Change], None]) -> None:
        """`record` puts what is known by then into the render."""
        self._store = store
        self._claim = claim
        self._every_s = every_s
        self._record = record
        self._noted = asyncio.Event()

    def note(self) -> None:
        """There is something new."""
        self._noted.set()

    async def during(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work returns or raises; it is stopped when a report raises `LeaseLost`."""
        reporting = asyncio.ensure_future(self._report())
        working = asyncio.ensure_future(work)
        try:
            await asyncio.wait((working, reporting), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                reporting.result()  # ends only by raising: the lease is lost
            return await working
        finally:
            working.cancel()
            reporting.cancel()
            await asyncio.gather(working, reporting, return_exceptions=True)

    async def _report(self) -> None:
        while True:
            await self._noted.wait()
            self._noted.clear()
            await transition(self._store, self._claim.render.render_id, self._record)
            await asyncio.sleep(self._every_s)


async def together(*works: Coroutine[Any, Any, T]) -> list[T]:
    """The results of all, in order; when one fails, the others are stopped before its exception is raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise

"""Group what happens to a render before it is stored: many progress reports become one event a scene (DESIGN §4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from services.job.domain.render import ProgressFact, RenderFact


@dataclass(frozen=True, slots=True)
class Coalescing:
    """When reports of drawn frames are worth an event."""

    step: float = 1.0
    """Percent of the whole job."""
    window_s: float = 0.5
    """The longest that a report waits."""


class _Waiting:
    """The newest report of each scene, in order of arrival, until they are worth an event."""

    def __init__(self, step: float) -> None:
        self._step = step
        self._reports: dict[int, ProgressFact] = {}
        self._next = 0.0
        """The progress at which reports stop waiting."""

    def __bool__(self) -> bool:
        return bool(self._reports)

    def add(self, fact: RenderFact) -> list[RenderFact]:
        """The batch that the fact completes; empty when it waits."""
        if not isinstance(fact, ProgressFact):
            return [*self.take(), fact]
        # Removed first, so that the dictionary stays in order of arrival.
        self._reports.pop(fact.scene_index, None)
        self._reports[fact.scene_index] = fact
        return self.take() if fact.progress >= self._next else []

    def take(self) -> list[RenderFact]:
        """Everything that waits."""
        taken: list[RenderFact] = list(self._reports.values())
        self._reports.clear()
        for fact in taken[-1:]:
            if isinstance(fact, ProgressFact):
                self._next = fact.progress + self._step
        return taken


async def batches(source: AsyncIterator[RenderFact], rules: Coalescing) -> AsyncGenerator[list[RenderFact]]:
    """The facts of `source` in batches to be stored as one; positions within a batch rise.

    A fact other than progress is passed on at once, with the progress before it. Progress waits until the render has
    come `step` further or for `window_s`, and only a scene's last report is kept.
    """
    loop = asyncio.get_running_loop()
    waiting = _Waiting(rules.step)
    upcoming: asyncio.Future[RenderFact | None] | None = None
    due: float | None = None
    try:
        while True:
            if upcoming is None:
                upcoming = asyncio.ensure_future(_next_of(source))
            await asyncio.wait({upcoming}, timeout=None if due is None else max(0.0, due - loop.time()))
            if not upcoming.done():
                due = None
                yield waiting.take()
                continue
            fact, upcoming = upcoming.result(), None
            if fact is None:
                break
            if batch := waiting.add(fact):
                due = None
                yield batch
            elif due is None:
                due = loop.time() + rules.window_s
        if waiting:
            yield waiting.take()
    finally:
        if upcoming is not None and not upcoming.done():
            upcoming.cancel()
            await asyncio.gather(upcoming, return_exceptions=True)


async def _next_of(source: AsyncIterator[RenderFact]) -> RenderFact | None:
    return await anext(source, None)

"""Group what happens to a render before it is stored: many progress reports become one event a scene (DESIGN §4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from services.job.domain.render import LogFact, ProgressFact, RenderFact

_MOST_LINES = 200
"""That wait to be stored together."""


@dataclass(frozen=True, slots=True)
class Coalescing:
    """When reports of drawn frames are worth an event."""

    step: float = 1.0
    """Percent of the whole job."""
    window_s: float = 0.5
    """The longest that a report waits."""


class _Waiting:
    """The newest report of each scene, and lines of the log, until they are worth being stored."""

    def __init__(self, step: float) -> None:
        self._step = step
        self._reports: dict[int, ProgressFact] = {}
        self._lines: list[LogFact] = []
        self._next = 0.0
        """The progress at which reports stop waiting."""

    def __bool__(self) -> bool:
        return bool(self._reports or self._lines)

    def add(self, fact: RenderFact) -> list[RenderFact]:
        """The batch that the fact completes; empty when it waits."""
        if isinstance(fact, LogFact):
            self._lines.append(fact)
            return self.take() if len(self._lines) >= _MOST_LINES else []
        if not isinstance(fact, ProgressFact):
            return [*self.take(), fact]
        self._reports[fact.scene_index] = fact
        return self.take() if fact.progress >= self._next else []

    def take(self) -> list[RenderFact]:
        """Everything that waits."""
        taken: list[RenderFact] = sorted([*self._reports.values(), *self._lines], key=lambda fact: fact.seq)
        if self._reports:
            self._next = max(fact.progress for fact in self._reports.values()) + self._step
        self._reports.clear()
        self._lines.clear()
        return taken


async def batches(source: AsyncIterator[RenderFact], rules: Coalescing) -> AsyncGenerator[list[RenderFact]]:
    """The facts of `source` in batches to be stored as one; positions within a batch rise.

    A fact other than progress is passed on at once, with what waits before it. Progress waits until the render has
    come `step` further or for `window_s`, and only a scene's last report is kept. Lines of the log wait for whatever
    comes next, for `window_s` at most.
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

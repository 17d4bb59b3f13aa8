"""What all watches share: positions, and a stream that ends."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from services.job.application.ports import EventSource, LiveEvent, StoredEvent
from services.job.domain.errors import PositionBeyondEnd, PositionExpired

T = TypeVar("T")
History = Callable[[str, int, int], Awaitable[list[StoredEvent]]]
"""(stream, after seq, limit) → the events after the position, oldest first."""


async def check_position(history: History, stream_id: str, after_seq: int, revision: int) -> None:
    """Return when everything after the position is there. Raises PositionBeyondEnd, PositionExpired."""
    if after_seq > revision:
        raise PositionBeyondEnd(f"the newest event is {revision}, there is nothing after {after_seq}")
    if after_seq < revision:
        following = await history(stream_id, after_seq, 1)
        if not following or following[0].seq != after_seq + 1:
            raise PositionExpired(f"the events after {after_seq} are not kept any more")


async def stream(
    source: EventSource, stream_id: str, first: T | None, position: int, over: bool
) -> AsyncGenerator[T | LiveEvent]:
    """`first` if any, then every event after the position; ends after the terminal one, at once when it is `over`."""
    if first is not None:
        yield first
    if over:
        return
    async with aclosing(source.follow(stream_id, position)) as events:
        async for event in events:
            yield event
            if event.terminal:
                return

"""The local side of following a stream: one reader's bounded queue, and the stream that several readers
share.
"""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum
from typing import Final

import grpc

from services.runtime.errors import ServiceError
from services.runtime.eventlog import Event
from t2m.common.v1.error_reason_pb2 import ErrorReason


class Ended(Enum):
    """The type of `END`."""

    END = "end"


END: Final = Ended.END
"""What a subscription gives after its last event."""


def reader_too_slow(position: int) -> ServiceError:
    """The end of a reader that left too many events unread."""
    return ServiceError(
        grpc.StatusCode.ABORTED,
        ErrorReason.ERROR_REASON_READER_TOO_SLOW,
        "the stream was read too slowly; resume from the last position received",
        metadata={"position": str(position)},
    )


def position_expired(oldest: int) -> ServiceError:
    """The answer to a position that is older than what is kept."""
    return ServiceError(
        grpc.StatusCode.OUT_OF_RANGE,
        ErrorReason.ERROR_REASON_POSITION_EXPIRED,
        "events after this position are no longer kept; start again without a position",
        metadata={"oldest": str(oldest)},
    )


class Subscription:
    """The queue of one reader."""

    __slots__ = ("_error", "_limit", "_open", "_queue", "_waiter")

    def __init__(self, limit: int) -> None:
        self._queue: deque[Event] = deque()
        self._limit = limit
        self._open = True
        self._error: ServiceError | None = None
        self._waiter: asyncio.Future[None] | None = None

    def offer(self, event: Event) -> None:
        """Queue an event; a reader that is `limit` events behind is cut off."""
        if self._error is not None:
            return
        if len(self._queue) >= self._limit:
            self.fail(reader_too_slow(self._queue[0].seq - 1))
            return
        self._queue.append(event)
        self._notify()

    def end(self) -> None:
        """Let the reader have what is queued, then end."""
        self._open = False
        self._notify()

    def fail(self, error: ServiceError) -> None:
        """End the reader now with an error."""
        self._error = error
        self._queue.clear()
        self._notify()

    def _notify(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def next(self, timeout_s: float | None) -> Event | Ended | None:
        """The next event; None when there was none for `timeout_s` seconds; END after the last.

        Raises ServiceError when the reader has been cut off.
        """
        if not self._queue and self._error is None and self._open:
            await self._wait(timeout_s)
        if self._error is not None:
            raise self._error
        if self._queue:
            return self._queue.popleft()
        return None if self._open else END

    async def _wait(self, timeout_s: float | None) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(timeout_s, self._notify) if timeout_s is not None else None
        try:
            await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()


class Watch:
    """A stream that at least one reader of this process follows: passes on each number once, in order,
    without gaps.
    """

    __slots__ = ("checked_at", "head", "key", "stale", "stream_id", "subscriptions")

    def __init__(self, stream_id: str, key: str, head: int, now: float) -> None:
        self.stream_id = stream_id
        self.key = key
        self.head = head
        """The last number passed on."""
        self.stale = False
        """Postgres must be asked before Redis is read on."""
        self.checked_at = now
        self.subscriptions: set[Subscription] = set()

    def offer(self, event: Event) -> bool:
        """Pass the event on when it is the next one; False when events before it are missing."""
        if event.seq <= self.head:
            return True
        if event.seq != self.head + 1:
            return False
        self.head = event.seq
        for subscription in self.subscriptions:
            subscription.offer(event)
        return True

    def end(self) -> None:
        """End every reader after what is queued for it."""
        for subscription in self.subscriptions:
            subscription.end()

    def fail(self, error: ServiceError) -> None:
        """End every reader now with an error."""
        for subscription in self.subscriptions:
            subscription.fail(error)

"""One upstream gRPC stream per watched resource, shared by its subscribers, and opened again when it
breaks.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import structlog

from gateway.auth import Caller
from gateway.errors import ApiError, from_rpc
from gateway.feed import Feed, Subscription
from gateway.frames import StreamCodec
from gateway.metrics import STREAM_CUTS, STREAM_FEEDS, STREAM_RECONNECTS

log = structlog.get_logger("gateway.hub")

StreamCall = Any
"""A running grpc.aio unary-stream call on raw bytes."""

Open = Callable[[Caller | None, int | None], Awaitable[StreamCall]]
"""Open the upstream under a caller, after a position, and wait until it is accepted. Raises ApiError."""

_TICK_S = 0.5
_REFUSED = frozenset({401, 403, 404})
_TRANSIENT = frozenset({429, 500, 503, 504})
_MAX_FRUITLESS = 50


@dataclass(frozen=True, slots=True)
class HubLimits:
    """`ring_frames` is a count; times are in seconds."""

    ring_frames: int = 1024
    heartbeat_s: float = 15.0
    send_timeout_s: float = 20.0
    reconnect_s: float = 30.0
    max_age_s: float = 3600.0


class Follower:
    """Supplies one feed from its upstream."""

    def __init__(self, feed: Feed, codec: StreamCodec, open_upstream: Open, limits: HubLimits) -> None:
        self._feed = feed
        self._codec = codec
        self._open = open_upstream
        self._limits = limits
        self._fruitless = 0  # Connections in a row that brought nothing.

    async def run(self, call: StreamCall) -> None:
        """Publish what comes, until the upstream ends with OK or cannot be had any more."""
        try:
            while call is not None:
                error = await self._read(call)
                if error is None:
                    return
                call = None
                call = await self._open_again(error)
        finally:
            self._feed.end()
            if call is not None:
                call.cancel()

    async def _read(self, call: StreamCall) -> ApiError | None:
        """Publish until the stream ends; None when it ended with OK."""
        try:
            while (raw := await call.read()) is not grpc.aio.EOF:
                self._fruitless = 0
                self._feed.publish(self._codec.frame(raw))
                await self._feed.room()
        except grpc.aio.AioRpcError as broken:
            return from_rpc(broken)
        return None

    async def _open_again(self, error: ApiError) -> StreamCall | None:
        """Open at the last position, under one of the subscribers that are left. None when that is
        hopeless.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._limits.reconnect_s
        while _is_transient(error) and self._fruitless < _MAX_FRUITLESS and clock() < deadline:
            jitter = random.uniform(0.5, 1.0)  # noqa: S311 - spreads reconnects, guards nothing
            pause = jitter * min(2.0, 0.05 * 2 ** min(self._fruitless, 6))
            self._fruitless += 1
            await asyncio.sleep(pause)
            subscriber = next(iter(self._feed.subscribers), None)
            if subscriber is None:
                return None
            STREAM_RECONNECTS.inc()
            try:
                call = await self._open(subscriber.caller, self._feed.last)
            except ApiError as refusal:
                if refusal.status in _REFUSED:
                    self._feed.expel(subscriber.caller)
                else:
                    error = refusal
            else:
                log.info("stream.reopened", attempts=self._fruitless, after=self._feed.last)
                return call
        log.warning("stream.given_up", reason=error.reason, message=error.message, after=self._feed.last)
        return None


def _is_transient(error: ApiError) -> bool:
    return error.status in _TRANSIENT or error.reason == "READER_TOO_SLOW"


class Hub:
    """Every running feed, and the clock that keeps their subscribers alive or ends them."""

    def __init__(self, limits: HubLimits) -> None:
        self.limits = limits
        self.draining = False
        self._shared: dict[bytes, Feed] = {}
        self._feeds: dict[Feed, asyncio.Task[None]] = {}
        self._subscriptions: set[Subscription] = set()
        self._ticker: asyncio.Task[None] | None = None

    def find(self, key: bytes | None) -> Feed | None:
        """The running feed of a resource."""
        return None if key is None else self._shared.get(key)

    def start(
        self,
        key: bytes | None,
        call: StreamCall,
        position: int | None,
        codec: StreamCodec,
        open_upstream: Open,
    ) -> Feed:
        """A new feed that takes over a call opened at `position`; without a key nobody else will find it."""
        feed = Feed(position, ring_frames=self.limits.ring_frames, positions=codec.resumable)
        if key is not None:
            self._shared[key] = feed
        follower = Follower(feed, codec, open_upstream, self.limits)
        task = asyncio.create_task(follower.run(call), name="gateway-feed")
        self._feeds[feed] = task
        STREAM_FEEDS.inc()

        def over(done: asyncio.Task[None]) -> None:
            self._feeds.pop(feed, None)
            if key is not None and self._shared.get(key) is feed:
                del self._shared[key]
            STREAM_FEEDS.dec()
            if not done.cancelled() and (error := done.exception()) is not None:
                log.error("stream.crashed", exc_info=error)

        task.add_done_callback(over)
        return feed

    def join(self, subscription: Subscription) -> None:
        """Put a subscription under the clock: heartbeats, send time-out, age, drain."""
        self._subscriptions.add(subscription)
        if self._ticker is None:
            self._ticker = asyncio.create_task(self._tick(), name="gateway-stream-clock")
        if self.draining:
            subscription.end()

    def leave(self, subscription: Subscription) -> None:
        """Forget a subscription; a feed that nobody reads any more is closed."""
        self._subscriptions.discard(subscription)
        feed = subscription.feed
        if feed is not None:
            feed.detach(subscription)
            task = self._feeds.get(feed)
            if not feed.subscribers and task is not None:
                task.cancel()
                self._forget(feed)

    def _forget(self, feed: Feed) -> None:
        for key in [key for key, shared in self._shared.items() if shared is feed]:
            del self._shared[key]

    def drain(self) -> None:
        """End every stream properly; clients reconnect elsewhere with their position."""
        self.draining = True
        for subscription in self._subscriptions:
            subscription.end()

    async def close(self) -> None:
        """Stop everything that is still running."""
        self.drain()
        tasks = [*self._feeds.values(), *([self._ticker] if self._ticker else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tick(self) -> None:
        """One clock for all: a timer per subscriber would cost more than its frames."""
        loop = asyncio.get_running_loop()
        tick_s = min(_TICK_S, self.limits.heartbeat_s / 4, self.limits.send_timeout_s / 4)
        while True:
            await asyncio.sleep(tick_s)
            now = loop.time()
            for subscription in list(self._subscriptions):
                self._check(subscription, now)

    def _check(self, subscription: Subscription, now: float) -> None:
        idle_s = now - subscription.active_at
        if subscription.sending:
            if idle_s > self.limits.send_timeout_s:
                STREAM_CUTS.inc()
                subscription.cut_off()
        elif now - subscription.started_at > self.limits.max_age_s:
            subscription.end()
        elif idle_s > self.limits.heartbeat_s:
            subscription.heartbeat_due = True
            subscription.wake.set()

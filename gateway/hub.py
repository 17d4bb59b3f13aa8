"""One upstream gRPC stream per watched resource, shared by its subscribers, opened again when it breaks."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import grpc
import structlog

from gateway.auth import Caller
from gateway.errors import ApiError, from_rpc, too_many_streams, unavailable
from gateway.feed import Ending, Feed, Subscription
from gateway.frames import StreamCodec
from gateway.metrics import STREAM_FEEDS, STREAM_RECONNECTS

log = structlog.get_logger("gateway.hub")

_TICK_S = 0.5
_AT_ONCE = 500
_STABLE_AFTER_S = 5.0
_MAX_ATTEMPTS = 50
_REFUSED = frozenset({401, 403, 404})
_TRANSIENT = frozenset({429, 500, 503, 504})


@dataclass(frozen=True, slots=True)
class HubLimits:
    """`ring_frames` is a count; times are in seconds."""

    ring_frames: int = 1024
    heartbeat_s: float = 15.0
    send_timeout_s: float = 20.0
    reconnect_s: float = 30.0
    max_age_s: float = 3600.0
    per_user: int = 100
    """Streams that a user may have open here; 0 for any number."""


class Upstream:
    """A running grpc.aio server stream on raw bytes that can be looked into without losing what comes."""

    __slots__ = ("_call", "_peeked")

    def __init__(self, call: Any) -> None:
        self._call = call
        self._peeked: asyncio.Task[bytes | None] | None = None

    async def read(self) -> bytes | None:
        """The next message; None at an end with OK. Raises ApiError for any other end."""
        if self._peeked is not None:
            peeked, self._peeked = self._peeked, None
            return await peeked
        return await self._read()

    async def peek(self, timeout_s: float) -> bool:
        """Whether a message, the end or an error has come within the time; the next `read` gives it."""
        if self._peeked is None:
            # A task, because grpc.aio cancels the whole call when a read of it is cancelled.
            self._peeked = asyncio.create_task(self._read())
        done, _ = await asyncio.wait((self._peeked,), timeout=timeout_s)
        return bool(done)

    async def _read(self) -> bytes | None:
        try:
            raw = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from error
        return None if raw is grpc.aio.EOF else raw

    def cancel(self) -> None:
        """Give the call up."""
        self._call.cancel()
        if self._peeked is not None:
            self._peeked.cancel()


Open = Callable[[Caller | None, int | None], Awaitable[Upstream]]
"""Open the upstream under a caller, after a position. Raises ApiError."""


class Follower:
    """Supplies one feed from its upstream. `caller` is whose token opened the running call."""

    def __init__(self, feed: Feed, codec: StreamCodec, open_upstream: Open, caller: Caller | None) -> None:
        self._feed = feed
        self._codec = codec
        self._open = open_upstream
        self._caller = caller
        self._clock = asyncio.get_running_loop().time
        self._outage_since: float | None = None
        self._attempts = 0

    async def run(self, upstream: Upstream | None, reconnect_s: float) -> None:
        """Publish what comes until the upstream ends with OK, or has not been had for `reconnect_s`."""
        ending = Ending.LOST
        try:
            while upstream is not None:
                error = await self._read(upstream)
                ending = Ending.COMPLETE if error is None else Ending.LOST
                upstream = None if error is None else await self._open_again(error, reconnect_s)
        finally:
            self._feed.end(ending)
            if upstream is not None:
                upstream.cancel()

    async def _read(self, upstream: Upstream) -> ApiError | None:
        """Publish until the stream ends; None when it ended with OK."""
        opened_at = self._clock()
        try:
            while (raw := await upstream.read()) is not None:
                self._outage_since = None
                self._feed.publish(self._codec.frame(raw))
                await self._feed.room()
        except ApiError as error:
            if self._clock() - opened_at > _STABLE_AFTER_S:
                self._outage_since = None
            return error
        return None

    async def _open_again(self, error: ApiError, reconnect_s: float) -> Upstream | None:
        """Open at the last position under one of the subscribers that are left; None when that is hopeless."""
        while True:
            if self._outage_since is None:
                self._outage_since, self._attempts = self._clock(), 0
            refused = error.status in _REFUSED
            if refused:
                self._feed.expel(self._caller)
            late = self._clock() - self._outage_since > reconnect_s or self._attempts >= _MAX_ATTEMPTS
            if not self._feed.subscribers or late or not (refused or _is_transient(error)):
                log.warning("stream.ended", reason=error.reason, message=error.message, after=self._feed.last)
                return None
            jitter = random.uniform(0.5, 1.0)
            await asyncio.sleep(jitter * min(2.0, 0.05 * 2 ** min(self._attempts, 6)))
            self._attempts += 1
            STREAM_RECONNECTS.inc()
            subscriber = next(iter(self._feed.subscribers), None)
            if subscriber is None:
                return None
            self._caller = subscriber.caller
            try:
                return await self._open(self._caller, self._feed.last)
            except ApiError as refusal:
                error = refusal


def _is_transient(error: ApiError) -> bool:
    return error.status in _TRANSIENT or error.reason == "READER_TOO_SLOW"


class Hub:
    """Every running feed, and the clock that keeps their subscribers alive or ends them."""

    def __init__(self, limits: HubLimits, ended: Callable[[Caller], bool] = lambda _: False) -> None:
        """`ended` says of a caller whether the credential was revoked since."""
        self.limits = limits
        self.draining = False
        self._ended = ended
        self._shared: dict[bytes, Feed] = {}
        self._feeds: dict[Feed, asyncio.Task[None]] = {}
        self._subscriptions: set[Subscription] = set()
        self._open_of: Counter[str] = Counter()
        self._ticker: asyncio.Task[None] | None = None

    def admit(self, caller: Caller | None) -> None:
        """Raise ApiError 503 while draining, 429 when the caller has as many streams open as one may have."""
        if self.draining:
            raise unavailable("shutting down")
        limit = self.limits.per_user
        if caller is not None and limit and self._open_of[caller.user_id] >= limit:
            raise too_many_streams(limit)

    def find(self, key: bytes | None) -> Feed | None:
        """The running feed of a resource."""
        return None if key is None else self._shared.get(key)

    def start(self, feed: Feed, supply: Coroutine[Any, Any, None]) -> None:
        """Run what supplies a feed, for as long as somebody reads it; without a key nobody else will find the feed."""
        if feed.key is not None:
            self._shared[feed.key] = feed
        task = asyncio.create_task(supply, name="gateway-feed")
        self._feeds[feed] = task
        STREAM_FEEDS.inc()

        def over(done: asyncio.Task[None]) -> None:
            self._forget(feed)
            STREAM_FEEDS.dec()
            if not done.cancelled() and (error := done.exception()) is not None:
                log.error("stream.crashed", exc_info=error)

        task.add_done_callback(over)

    def join(self, subscription: Subscription) -> None:
        """Put a subscription under the clock: heartbeats, send time-out, age, drain. Raises as `admit`.

        From here on it counts, also while the service is still asked whether it may begin.
        """
        self.admit(subscription.caller)
        self._subscriptions.add(subscription)
        if subscription.caller is not None:
            self._open_of[subscription.caller.user_id] += 1
        if self._ticker is None:
            self._ticker = asyncio.create_task(self._tick(), name="gateway-stream-clock")
        if self._is_over(subscription):
            subscription.dismiss()

    def dismiss(self) -> None:
        """End the streams of callers whose credential has ended."""
        for subscription in list(self._subscriptions):
            if self._is_over(subscription):
                subscription.dismiss()

    def _is_over(self, subscription: Subscription) -> bool:
        return subscription.caller is not None and self._ended(subscription.caller)

    def leave(self, subscription: Subscription) -> None:
        """Forget a subscription; a feed that nobody reads any more is closed."""
        self._subscriptions.discard(subscription)
        if subscription.caller is not None:
            user_id = subscription.caller.user_id
            self._open_of[user_id] -= 1
            if not self._open_of[user_id]:
                del self._open_of[user_id]
        feed = subscription.feed
        if feed is None:
            return
        feed.detach(subscription)
        task = self._feeds.get(feed)
        if not feed.subscribers and task is not None:
            self._forget(feed)
            task.cancel()

    def _forget(self, feed: Feed) -> None:
        self._feeds.pop(feed, None)
        if feed.key is not None and self._shared.get(feed.key) is feed:
            del self._shared[feed.key]

    def drain(self) -> None:
        """End every stream properly; clients reconnect elsewhere with their position."""
        self.draining = True
        for subscription in list(self._subscriptions):
            subscription.finish(Ending.DRAINING)

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
            for number, subscription in enumerate(list(self._subscriptions), 1):
                if subscription in self._subscriptions:
                    self._check(subscription, now)
                if number % _AT_ONCE == 0:
                    await asyncio.sleep(0)  # Thousands are looked at, and events need not wait for the last of them.

    def _check(self, subscription: Subscription, now: float) -> None:
        limits = self.limits
        if subscription.wire.paused:
            if subscription.stalled_at is None:
                subscription.stalled_at = now
            elif now - subscription.stalled_at > limits.send_timeout_s:
                subscription.cut_off()
        elif subscription.feed is None or subscription.ending is not None:
            return  # Not begun, or about to end.
        elif now - subscription.started_at > limits.max_age_s:
            subscription.finish(Ending.AGED)
        elif now - subscription.active_at > limits.heartbeat_s:
            subscription.beat(now)

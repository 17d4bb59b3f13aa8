"""One client's stream, from the question whether it may watch to the last byte, whichever skin it wears.

Permission is checked for every client, also when the upstream is shared: each opens its own upstream call
under its own token, without a position, and waits for its first message. A watch starts with a snapshot then
(the contract of `event_stream.resume_field`), so the service has said yes by the time the client is attached to
the running feed. A shared feed never stands in for that answer.

A feed is shared by everybody who may see it when the path names the resource (`/jobs/{job_id}/events`). When it
does not, the answer depends on the caller, so the caller is part of the key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.auth import Caller
from gateway.catalog import HttpBinding, Rpc
from gateway.errors import ApiError
from gateway.feed import Ending, Feed, Subscription
from gateway.frames import Frame, Skin, StreamCodec
from gateway.hub import Follower, Hub, Upstream
from gateway.metrics import STREAM_SUBSCRIBERS
from gateway.transcoder import Toolbox
from gateway.wires import ListenedWire

QUIET_S = 0.1
"""How long to wait for a stream to end or fail at once, when it may as well say nothing for a long time."""


class Outlet(Protocol):
    """A client's connection and how a stream begins and ends on it."""

    skin: Skin
    wire: ListenedWire

    async def begin(self) -> None:
        """Send what comes before the first event."""
        ...

    async def nothing(self) -> None:
        """Say, instead of beginning, that there is nothing left to watch."""
        ...

    async def end(self, ending: Ending, position: int) -> None:
        """Say why it ends and where, as far as the protocol can; whether it has begun or not. Raises ApiError."""
        ...


@dataclass(slots=True)
class Opening:
    """An authorised watch: the caller's position, its own upstream and what was read from that so far.

    Without an upstream the caller is to be served by the running feed.
    """

    position: int | None
    upstream: Upstream | None
    frame: Frame | None = None

    def cancel(self) -> None:
        """Give it up."""
        if self.upstream is not None:
            self.upstream.cancel()


class Source:
    """The rpc behind a stream: how it is called, coded and shared."""

    def __init__(self, rpc: Rpc, binding: HttpBinding, tools: Toolbox) -> None:
        self.path = rpc.path
        self.codec = StreamCodec(rpc, binding, tools.encoders)
        self.names_resource = "{" in binding.template
        self.authenticator = tools.authenticator
        self._stream = tools.backends.stream(rpc.path)
        self._deadline_s = tools.deadline_s

    def open(self, raw: bytes, metadata: list[tuple[str, str]]) -> Upstream:
        """Open an upstream call. Errors come with its first message."""
        return Upstream(self._stream(raw, metadata=metadata))

    async def first(self, upstream: Upstream, timeout_s: float | None = None) -> Frame | None:
        """The first message; None when the stream ended with OK instead. Raises ApiError."""
        if not await upstream.peek(timeout_s or self._deadline_s):
            raise ApiError(504, "DEADLINE_EXCEEDED", "the stream did not start", "DEADLINE_EXCEEDED")
        raw = await upstream.read()
        return None if raw is None else self.codec.frame(raw)


class Watch:
    """What one client asked to follow. A feed may keep it for longer than the client stays, to reopen."""

    def __init__(self, source: Source, raw: bytes, caller: Caller | None, metadata: list[tuple[str, str]]) -> None:
        self.source = source
        self.caller = caller
        self._metadata = metadata
        self._identity, self.position = source.codec.split_position(raw)

    @property
    def key(self) -> bytes | None:
        """Who has the same key can share a feed; None for a stream that cannot be resumed."""
        if not self.source.codec.resumable:
            return None
        key = self.source.path.encode() + b"\0" + self._identity
        if not self.source.names_resource and self.caller is not None:
            key += b"\0" + self.caller.credential.key
        return key

    async def begin(self, hub: Hub) -> Opening | None:
        """Let the service decide whether the caller may watch. None when there is nothing left to watch.

        Raises ApiError: the service's refusal, or 504 when it says nothing.
        """
        source, position = self.source, self.position
        upstream = self._open(self.caller, None)
        try:
            if not source.codec.resumable:
                await upstream.peek(QUIET_S)
                return Opening(None, upstream)
            snapshot = await source.first(upstream)
            if snapshot is None:
                return None
            if position is None:
                return Opening(snapshot.seq, upstream, snapshot)
            upstream.cancel()
            feed = hub.find(self.key)
            if feed is not None and position <= snapshot.seq and feed.covers(position):
                return Opening(position, None)
            upstream = self._open(self.caller, position)
            if position == snapshot.seq and not await upstream.peek(QUIET_S):
                return Opening(position, upstream)
            frame = await source.first(upstream)
        except BaseException:
            upstream.cancel()
            raise
        return None if frame is None else Opening(position, upstream, frame)

    def _open(self, caller: Caller | None, position: int | None) -> Upstream:
        metadata = list(self._metadata)
        if caller is not None:
            metadata.append(("authorization", f"Bearer {caller.internal_token}"))
        return self.source.open(self.source.codec.at_position(self._identity, position), metadata)

    async def open_again(self, caller: Caller | None, position: int | None) -> Upstream:
        """Open with a fresh internal token: the old one may have expired, or the caller lost access."""
        fresh = None if caller is None else await self.source.authenticator.exchange(caller.credential)
        return self._open(fresh, position)


async def serve(
    caller: Caller | None, hub: Hub, outlet: Outlet, work: Callable[[Subscription], Awaitable[bool]]
) -> None:
    """Serve one client until its stream ends; `work` begins it and attaches it to a feed, or says that nothing is left.

    Raises ApiError: 503 and 429 of the hub, what `work` raises, and what the outlet has to say of the ending.
    """
    task = asyncio.current_task()
    assert task is not None
    subscription = Subscription(caller, outlet.wire, outlet.skin, task, asyncio.get_running_loop().time())
    hub.join(subscription)
    outlet.wire.listener = subscription
    STREAM_SUBSCRIBERS.inc()
    try:
        try:
            if not await work(subscription):
                outlet.wire.listener = None
                await outlet.nothing()
                return
            await subscription.over()
        except asyncio.CancelledError:
            if subscription.ending is None:
                raise
            task.uncancel()  # The subscription's own ending, before it was attached to a feed.
        assert subscription.ending is not None
        await outlet.end(subscription.ending, subscription.position)
    finally:
        outlet.wire.listener = None
        hub.leave(subscription)
        STREAM_SUBSCRIBERS.dec()


async def stream(watch: Watch, hub: Hub, outlet: Outlet) -> None:
    """Serve one client of an rpc. Raises ApiError as `serve`, and the service's refusal."""

    async def work(subscription: Subscription) -> bool:
        opening = await watch.begin(hub)
        if opening is None:
            return False
        try:
            await outlet.begin()
        except BaseException:
            opening.cancel()
            raise
        early = await _attach(watch, hub, subscription, opening)
        if early is not None:
            subscription.ending = early
        return True

    await serve(watch.caller, hub, outlet, work)


async def _attach(watch: Watch, hub: Hub, subscription: Subscription, opening: Opening) -> Ending | None:
    """Attach to the resource's feed, or say how the stream ended before.

    Until the feed covers the client's position, the client is served from its own upstream.
    """
    codec = watch.source.codec
    upstream, frame, position = opening.upstream, opening.frame, opening.position
    try:
        while True:
            if frame is not None:
                position = frame.seq
                await subscription.send(frame)
            feed = hub.find(watch.key)
            if feed is not None and position is not None and feed.covers(position):
                break
            if upstream is None:  # The feed that was to serve this client has just ended or moved on.
                upstream = await watch.open_again(watch.caller, position)
            if feed is None or feed.ended:
                feed = Feed(watch.key, position, hub.limits.ring_frames)
                follower = Follower(feed, codec, watch.open_again, watch.caller)
                hub.start(feed, follower.run(upstream, hub.limits.reconnect_s))
                upstream = None
                break
            raw = await upstream.read()
            if raw is None:
                return Ending.COMPLETE
            frame = codec.frame(raw)
    except ApiError:
        return Ending.LOST  # The client resumes, and is told then if that is not possible.
    finally:
        if upstream is not None:
            upstream.cancel()
    feed.attach(subscription, position)
    return None

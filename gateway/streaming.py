"""Server streams over HTTP: Server-Sent Events, or NDJSON for who asks for it.

Permission is checked for every client, also when the upstream is shared: each opens its own upstream call
under its own token, without a position, and waits for its first message. A watch starts with a snapshot then
(the contract of `event_stream.resume_field`), so the service has said yes by the time the client is attached to
the running feed. A shared feed never stands in for that answer.

A feed is shared by everybody who may see it when the path names the resource (`/jobs/{job_id}/events`). When it
does not, the answer depends on the caller, so the caller is part of the key.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway.auth import Caller, call_metadata
from gateway.binding import Binder
from gateway.catalog import HttpBinding, Rpc
from gateway.errors import ApiError
from gateway.feed import Feed, Subscription
from gateway.frames import Frame, StreamCodec, skin_for
from gateway.http import ClientGoneError, Request
from gateway.http_rules import Template
from gateway.hub import Follower, Hub, Upstream
from gateway.metrics import STREAM_SUBSCRIBERS
from gateway.transcoder import Toolbox

T = TypeVar("T")

QUIET_S = 0.1
"""How long to wait for a stream to end or fail at once, when it may as well say nothing for a long time."""


class StreamEndpoint:
    """A server-streaming rpc as an event stream."""

    def __init__(self, rpc: Rpc, binding: HttpBinding, template: Template, tools: Toolbox, hub: Hub) -> None:
        self._admit = tools.admission.of(rpc)
        self._tools = tools
        self._hub = hub
        self._binder = Binder(rpc, binding, template, tools.decoders)
        self._source = _Source(rpc, binding, template, tools)

    async def __call__(self, request: Request, variables: dict[str, str]) -> None:
        """Stream until the upstream ends, the client leaves, or the gateway drains.

        A client that resumes after the last event gets 204, which tells an EventSource to stop asking.
        """
        caller = await self._admit(request)
        self._hub.admit(caller)
        body = await request.body(self._tools.max_body_bytes)
        raw = self._binder.bind(request, variables, body)
        watch = _Watch(self._source, raw, caller, call_metadata(request, None))
        gone = asyncio.create_task(request.disconnected())
        try:
            opening = await _unless_gone(watch.begin(self._hub), gone)
            if opening is None:
                await request.respond(204)
            elif request.method == "HEAD":
                opening.cancel()
                await request.respond(200, content_type=skin_for(request.header(b"accept")).content_type)
            else:
                await _Session(request, watch, self._hub, gone).serve(opening)
        finally:
            gone.cancel()


@dataclass(slots=True)
class _Opening:
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


class _Source:
    """The rpc behind a stream: how it is called, coded and shared."""

    def __init__(self, rpc: Rpc, binding: HttpBinding, template: Template, tools: Toolbox) -> None:
        self.path = rpc.path
        self.codec = StreamCodec(rpc, binding, tools.encoders)
        self.names_resource = bool(template.variables)
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


class _Watch:
    """What one client asked to follow. A feed may keep it for longer than the client stays, to reopen."""

    def __init__(self, source: _Source, raw: bytes, caller: Caller | None, metadata: list[tuple[str, str]]) -> None:
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

    async def begin(self, hub: Hub) -> _Opening | None:
        """Let the service decide whether the caller may watch. None when there is nothing left to watch.

        Raises ApiError: the service's refusal, or 504 when it says nothing.
        """
        source, position = self.source, self.position
        upstream = self._open(self.caller, None)
        try:
            if not source.codec.resumable:
                await upstream.peek(QUIET_S)
                return _Opening(None, upstream)
            snapshot = await source.first(upstream)
            if snapshot is None:
                return None
            if position is None:
                return _Opening(snapshot.seq, upstream, snapshot)
            upstream.cancel()
            feed = hub.find(self.key)
            if feed is not None and position <= snapshot.seq and feed.covers(position):
                return _Opening(position, None)
            upstream = self._open(self.caller, position)
            if position == snapshot.seq and not await upstream.peek(QUIET_S):
                return _Opening(position, upstream)
            frame = await source.first(upstream)
        except BaseException:
            upstream.cancel()
            raise
        return None if frame is None else _Opening(position, upstream, frame)

    def _open(self, caller: Caller | None, position: int | None) -> Upstream:
        metadata = list(self._metadata)
        if caller is not None:
            metadata.append(("authorization", f"Bearer {caller.internal_token}"))
        return self.source.open(self.source.codec.at_position(self._identity, position), metadata)

    async def open_again(self, caller: Caller | None, position: int | None) -> Upstream:
        """Open with a fresh internal token: the old one may have expired, or the caller lost access."""
        fresh = None if caller is None else await self.source.authenticator.exchange(caller.credential)
        return self._open(fresh, position)


class _Session:
    """One client's stream, from the first byte of the answer to the last."""

    def __init__(self, request: Request, watch: _Watch, hub: Hub, gone: asyncio.Task[None]) -> None:
        self._request = request
        self._watch = watch
        self._hub = hub
        self._skin = skin_for(request.header(b"accept"))
        self._clock = asyncio.get_running_loop().time
        self._task = asyncio.current_task()
        assert self._task is not None
        self._subscription = Subscription(watch.caller, self._task, self._clock())
        gone.add_done_callback(lambda _: self._subscription.end())

    async def serve(self, opening: _Opening) -> None:
        """Answer with the stream that was opened. Takes over its upstream."""
        self._hub.join(self._subscription)
        STREAM_SUBSCRIBERS.inc()
        try:
            await self._start()
            feed = await self._attach(opening)
            if feed is not None:
                await self._deliver(feed)
            await self._send(b"", more=False)
        except asyncio.CancelledError:
            if not self._subscription.cut or self._task is None:
                raise
            # Our own cut: the answer stays unfinished, which tells the client to resume.
            self._task.uncancel()
        finally:
            STREAM_SUBSCRIBERS.dec()
            self._hub.leave(self._subscription)

    async def _start(self) -> None:
        headers = [
            (b"content-type", self._skin.content_type),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        self._request.state["streaming"] = True
        await self._request.send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send(self._skin.prelude)

    async def _attach(self, opening: _Opening) -> Feed | None:
        """Attach to the resource's feed; None when the stream is over before.

        Until the feed covers the client's position, the client is served from its own upstream.
        """
        watch, codec = self._watch, self._watch.source.codec
        upstream, frame, position = opening.upstream, opening.frame, opening.position
        try:
            while True:
                if self._subscription.ending:
                    return None
                if frame is not None:
                    position = frame.seq
                    await self._send(self._render([frame]))
                feed = self._hub.find(watch.key)
                if feed is not None and position is not None and feed.covers(position):
                    break
                if upstream is None:  # The feed that was to serve this client has just ended or moved on.
                    upstream = await watch.open_again(watch.caller, position)
                if feed is None or feed.ended:
                    feed = Feed(watch.key, position, self._hub.limits.ring_frames)
                    self._hub.start(feed, Follower(feed, codec, watch.open_again, watch.caller), upstream)
                    upstream = None
                    break
                raw = await upstream.read()
                if raw is None:
                    return None
                frame = codec.frame(raw)
        except ApiError:
            return None  # The client resumes, and is told then if that is not possible.
        finally:
            if upstream is not None:
                upstream.cancel()
        feed.attach(self._subscription, position)
        return feed

    async def _deliver(self, feed: Feed) -> None:
        """Send what the feed has until it ends. Everything that is waiting goes out in one write."""
        subscription = self._subscription
        while not subscription.ending:
            frames = subscription.take()
            if frames:
                await self._send(self._render(frames))
            elif feed.ended:
                return
            elif subscription.heartbeat_due:
                await self._send(self._skin.heartbeat)
            else:
                subscription.wake.clear()
                await subscription.wake.wait()

    def _render(self, frames: list[Frame]) -> bytes:
        render = self._skin.render
        return render(frames[0]) if len(frames) == 1 else b"".join(map(render, frames))

    async def _send(self, body: bytes, *, more: bool = True) -> None:
        subscription = self._subscription
        subscription.active_at = self._clock()
        subscription.sending = True
        await self._request.send({"type": "http.response.body", "body": body, "more_body": more})
        subscription.sending = subscription.heartbeat_due = False


async def _unless_gone(opening: Coroutine[Any, Any, T], gone: asyncio.Task[None]) -> T:
    """Await the opening of a stream; give it up when the client leaves meanwhile. Raises ClientGoneError."""
    task = asyncio.ensure_future(opening)
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if task.done():
        return task.result()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, ApiError):
        await task
    raise ClientGoneError

"""Server streams over HTTP: Server-Sent Events, or NDJSON for who asks for it.

Permission is checked for every client, also when the upstream is shared: each opens its own upstream call under
its own token and waits until the service has accepted it (initial metadata, which services send once they have
authorised a watch, or else the first message). Only then is it attached to the running feed, and its own call
is cancelled; the first client's call becomes the feed's.

A feed is shared by everybody who may see it when the path names the resource (`/jobs/{job_id}/events`). When
it does not, the answer depends on the caller, so the caller is part of the key.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import grpc

from gateway.auth import Caller, call_metadata
from gateway.binding import Binder
from gateway.catalog import HttpBinding, Rpc
from gateway.errors import ApiError, from_rpc, unavailable
from gateway.feed import Feed, Subscription
from gateway.frames import Frame, StreamCodec, skin_for
from gateway.http import ClientGoneError, Request
from gateway.http_rules import Template
from gateway.hub import Hub, StreamCall
from gateway.metrics import STREAM_SUBSCRIBERS
from gateway.transcoder import Toolbox


class StreamEndpoint:
    """A server-streaming rpc as an event stream."""

    def __init__(self, rpc: Rpc, binding: HttpBinding, template: Template, tools: Toolbox, hub: Hub) -> None:
        self._public = rpc.public
        self._tools = tools
        self._hub = hub
        self._binder = Binder(rpc, binding, template, tools.decoders)
        self._source = _Source(rpc, binding, template, tools, hub.limits.heartbeat_s)

    async def __call__(self, request: Request, variables: dict[str, str]) -> None:
        """Stream until the upstream ends, the client leaves, or the gateway drains."""
        if self._hub.draining:
            raise unavailable("shutting down")
        caller = None if self._public else await self._tools.authenticator.authenticate(request)
        body = await request.body(self._tools.max_body_bytes)
        raw = self._binder.bind(request, variables, body)
        watch = _Watch(self._source, raw, caller, call_metadata(request, None))
        gone = asyncio.create_task(request.disconnected())
        try:
            call = await _unless_gone(watch.open(caller, watch.position), gone)
            await _Session(request, watch, self._hub, gone).serve(call)
        finally:
            gone.cancel()


class _Source:
    """The rpc behind a stream: how it is called, coded and shared."""

    def __init__(
        self, rpc: Rpc, binding: HttpBinding, template: Template, tools: Toolbox, heartbeat_s: float
    ) -> None:
        self.path = rpc.path
        self.codec = StreamCodec(rpc, binding, tools.encoders)
        self.names_resource = bool(template.variables)
        self.authenticator = tools.authenticator
        self._stream = tools.backends.stream(rpc.path)
        # A service that does not send initial metadata of its own accord does with its first heartbeat.
        self._accept_deadline_s = tools.deadline_s + heartbeat_s

    async def open(self, raw: bytes, metadata: list[tuple[str, str]]) -> StreamCall:
        """Open an upstream call and wait until the service has accepted it. Raises ApiError."""
        call: StreamCall = self._stream(raw, metadata=metadata)
        try:
            async with asyncio.timeout(self._accept_deadline_s):
                await call.initial_metadata()
                # A refused call has initial metadata too, empty ones.
                if call.done() and await call.code() is not grpc.StatusCode.OK:
                    await call.read()
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from error
        except TimeoutError as error:
            call.cancel()
            raise ApiError(
                504, "DEADLINE_EXCEEDED", "the stream did not start", "DEADLINE_EXCEEDED"
            ) from error
        except BaseException:
            call.cancel()
            raise
        return call


class _Watch:
    """What one client asked to follow. A feed may keep it for longer than the client stays, to reopen."""

    def __init__(
        self, source: _Source, raw: bytes, caller: Caller | None, metadata: list[tuple[str, str]]
    ) -> None:
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

    async def open(self, caller: Caller | None, position: int | None) -> StreamCall:
        """Open upstream under a caller, at a position. Raises ApiError."""
        metadata = list(self._metadata)
        if caller is not None:
            metadata.append(("authorization", f"Bearer {caller.internal_token}"))
        return await self.source.open(self.source.codec.at_position(self._identity, position), metadata)

    async def open_again(self, caller: Caller | None, position: int | None) -> StreamCall:
        """The same with a fresh internal token: the old one may have expired, or the caller lost access."""
        fresh = None if caller is None else await self.source.authenticator.exchange(caller.credential)
        return await self.open(fresh, position)


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

    async def serve(self, call: StreamCall) -> None:
        """Answer with the stream that `call` begins. Takes over the call."""
        self._hub.join(self._subscription)
        STREAM_SUBSCRIBERS.inc()
        try:
            await self._start()
            if self._request.method == "HEAD":
                call.cancel()
            else:
                feed = await self._attach(call)
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

    async def _attach(self, call: StreamCall) -> Feed | None:
        """Attach to the resource's feed; None when the stream is over before.

        Until the feed covers the client's position, the client is served from its own call.
        """
        watch, codec = self._watch, self._watch.source.codec
        position = watch.position
        handed_over = False
        try:
            while (feed := self._hub.find(watch.key)) is not None and not feed.covers(position):
                raw = await call.read()
                if raw is grpc.aio.EOF or self._subscription.ending:
                    return None
                frame = codec.frame(raw)
                if position is None or frame.seq > position:
                    position = frame.seq
                    await self._send(self._render([frame]))
            if feed is None:
                feed = self._hub.start(watch.key, call, position, codec, watch.open_again)
                handed_over = True
            feed.attach(self._subscription, position)
        except grpc.aio.AioRpcError:
            return None  # The client resumes, and is told then if that is not possible.
        finally:
            if not handed_over:
                call.cancel()
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


async def _unless_gone(opening: Coroutine[Any, Any, StreamCall], gone: asyncio.Task[None]) -> StreamCall:
    """Await the opening of a call; give it up when the client leaves meanwhile. Raises ClientGoneError."""
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

"""Server streams over HTTP: Server-Sent Events, or NDJSON for who asks for it."""

from __future__ import annotations

from gateway.auth import call_metadata
from gateway.binding import Binder
from gateway.catalog import HttpBinding, Rpc
from gateway.errors import unauthenticated, unavailable
from gateway.feed import Ending
from gateway.frames import skin_for
from gateway.http import ClientGoneError, Request
from gateway.http_rules import Template
from gateway.hub import Hub
from gateway.transcoder import Toolbox
from gateway.watching import Source, Watch, stream
from gateway.wires import wire_of


class StreamEndpoint:
    """A server-streaming rpc as an event stream."""

    def __init__(self, rpc: Rpc, binding: HttpBinding, template: Template, tools: Toolbox, hub: Hub) -> None:
        self._admit = tools.admission.of(rpc)
        self._tools = tools
        self._hub = hub
        self._binder = Binder(rpc, binding, template, tools.decoders)
        self._source = Source(rpc, binding, tools)

    async def __call__(self, request: Request, variables: dict[str, str]) -> None:
        """Stream until the upstream ends, the client leaves, or the gateway drains.

        A client that resumes after the last event gets 204, which tells an EventSource to stop asking.
        """
        caller = await self._admit(request)
        self._hub.admit(caller)
        body = await request.body(self._tools.max_body_bytes)
        raw = self._binder.bind(request, variables, body)
        watch = Watch(self._source, raw, caller, call_metadata(request, None))
        outlet = HttpOutlet(request)
        if request.method == "HEAD":
            await self._answer_head(request, watch, outlet)
        else:
            await stream(watch, self._hub, outlet)

    async def _answer_head(self, request: Request, watch: Watch, outlet: HttpOutlet) -> None:
        opening = await watch.begin(self._hub)
        if opening is None:
            await outlet.nothing()
        else:
            opening.cancel()
            await request.respond(200, content_type=outlet.skin.content_type)


class HttpOutlet:
    """A chunked answer. It ends properly but for clients that are gone or do not read: theirs is broken off."""

    def __init__(self, request: Request) -> None:
        self.skin = skin_for(request.header(b"accept"))
        self.wire = wire_of(request)
        self._request = request
        self._begun = False

    async def begin(self) -> None:
        """The head, and what the skin begins with."""
        headers = [
            (b"content-type", self.skin.content_type),
            (b"cache-control", b"no-store"),
            (b"vary", b"accept"),
            (b"x-accel-buffering", b"no"),
        ]
        self._request.state["streaming"] = True
        self._begun = True
        await self._request.send({"type": "http.response.start", "status": 200, "headers": headers})
        if self.skin.prelude:
            self.wire.write(self.skin.prelude)

    async def nothing(self) -> None:
        """204."""
        await self._request.respond(204)

    async def end(self, ending: Ending, position: int) -> None:
        """The last chunk. Where nothing was sent yet: raises ApiError 401 or 503, or ClientGoneError."""
        if ending is Ending.SLOW:
            await self._request.disconnected()  # It was broken off already; the server hears of it in a moment.
        if ending in (Ending.GONE, Ending.SLOW):
            raise ClientGoneError
        if self._begun:
            await self._request.send({"type": "http.response.body", "body": b"", "more_body": False})
        elif ending is Ending.REVOKED:
            raise unauthenticated("CREDENTIAL_INVALID", "the credential has ended")
        else:
            raise unavailable("shutting down")

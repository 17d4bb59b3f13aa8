"""The connections under streams: a published frame goes from the feed into the transport with nothing in between.

Through ASGI every event would wake a task per client and pass each layer of the app; that costs more than the event. So
heads and endings go the usual way, and what a stream says in between is written here, in the form that the connection
carries. The server puts the wire into the scope's extensions.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame as SocketFrame
from websockets.frames import Opcode

from gateway.feed import Wire
from gateway.http import Request
from gateway.protocol import GuardedProtocol

EXTENSION = "t2m.wire"
SOCKET_PREFIX = b"/ws/"
"""Where WebSockets are; elsewhere an `Upgrade` is not followed (RFC 9110 §7.8 leaves that to the server)."""
_PING = SocketFrame(Opcode.PING, b"").serialize(mask=False)
_CLOSE_S = 2.0
_REFUSED = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s"
)
_REFUSED_BODY = (
    b'{"error":{"message":"no opening of a WebSocket: GET, and no header field of more than 8 KiB",'
    b'"error_code":"MALFORMED_REQUEST"}}'
)


class Listener(Protocol):
    """Who is told what happens to a wire."""

    def resumed(self) -> None:
        """It takes bytes again."""
        ...

    def gone(self) -> None:
        """It is no more."""
        ...

    def spoke(self) -> None:
        """The other end said something."""
        ...


class ListenedWire(Wire, Protocol):
    """A wire that one listener at a time may listen to."""

    listener: Listener | None


def wire_of(request: Request) -> ListenedWire:
    """The connection of a request."""
    return cast(ListenedWire, request.scope["extensions"][EXTENSION])


class _Paced(asyncio.Protocol):
    """What both kinds of connection have: whether the transport takes bytes, and who wants to know."""

    paused = False
    listener: Listener | None = None

    def pause_writing(self) -> None:
        """The buffer is full."""
        self.paused = True
        super().pause_writing()

    def resume_writing(self) -> None:
        """The buffer has room."""
        self.paused = False
        super().resume_writing()
        if self.listener is not None:
            self.listener.resumed()


class StreamingProtocol(_Paced, GuardedProtocol):
    """An HTTP connection whose chunked answer can be written to directly, once its head was sent."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._retiring = self._upgraded = False
        self._extensions = {EXTENSION: self}

    def write(self, data: bytes) -> None:
        """Of a body: chunks."""
        self.transport.write(data)

    def beat(self) -> bool:
        """HTTP knows no answer to a heartbeat; TCP gives a dead peer up."""
        return True

    def abort(self) -> None:
        """An unfinished answer: the client resumes."""
        self.transport.abort()

    def retire(self) -> None:
        """The next answer is the last of this connection."""
        self._retiring = True
        if not self._answered():
            self.cycle.keep_alive = False

    def on_message_begin(self) -> None:
        """Every request can reach its wire."""
        super().on_message_begin()
        scope = cast(dict[str, Any], self.scope)
        scope["extensions"] = self._extensions

    def on_headers_complete(self) -> None:
        """The app takes over."""
        super().on_headers_complete()
        if self._retiring and not self._answered():
            self.cycle.keep_alive = False

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        super().connection_lost(exc)
        self._extensions.clear()
        if self.listener is not None:
            self.listener.gone()

    def _should_upgrade(self) -> bool:
        return self.url.startswith(SOCKET_PREFIX) and super()._should_upgrade()

    def _answered(self) -> bool:
        return not self._upgraded and super()._answered()

    def handle_websocket_upgrade(self) -> None:
        """Another protocol takes the connection, and its own clocks with it."""
        self._met()
        self._upgraded = True
        super().handle_websocket_upgrade()


class SocketProtocol(_Paced, WebSocketsSansIOProtocol):
    """A WebSocket that can be written to directly, between its opening and its close.

    While somebody listens, what the client says is not queued, so that its control frames are read without a task.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # uvicorn logs every opening with its query; the access log has it without.
        self.logger = logging.getLogger("gateway.websocket")
        self.close_timeout = _CLOSE_S
        self._heard = True

    def write(self, data: bytes) -> None:
        """Whole frames."""
        if not self.close_sent:
            self.transport.write(data)

    def beat(self) -> bool:
        """A ping; whatever the client sends answers it."""
        if not self._heard:
            return False
        self._heard = False
        self.write(_PING)
        return True

    def abort(self) -> None:
        """The client sees 1006, and resumes."""
        self.transport.abort()

    def retire(self) -> None:
        """The app closes it, with a cursor; one that has not said yet who it is gets 1012 from `shutdown`."""

    def shutdown(self) -> None:
        """As uvicorn does it, but for streams: the app is about to end those."""
        if self.listener is None:
            super().shutdown()

    def data_received(self, data: bytes) -> None:
        """A sign of life."""
        self._heard = True
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(_REFUSED % (len(_REFUSED_BODY), _REFUSED_BODY))
            self.transport.close()

    def handle_connect(self, event: Any) -> None:
        """The request can reach its wire."""
        super().handle_connect(event)
        if getattr(self, "scope", None) is not None:
            extensions = cast(dict[str, Any], self.scope["extensions"])
            extensions[EXTENSION] = self

    async def send(self, message: Any) -> None:
        """ASGI. A refusal completes the handshake, too; uvicorn would log it as an error of the app."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True

    def send_receive_event_to_app(self) -> None:
        """A whole message has come."""
        if self.listener is None:
            super().send_receive_event_to_app()
            return
        self.frames = []
        self.listener.spoke()

    def handle_close(self, event: SocketFrame) -> None:
        """The client says goodbye."""
        super().handle_close(event)
        if self.listener is not None:
            self.listener.gone()

    def handle_parser_exception(self) -> None:
        """The client broke the protocol, or sent more than it may."""
        super().handle_parser_exception()
        if self.listener is not None:
            self.listener.gone()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        super().connection_lost(exc)
        if self.listener is not None:
            self.listener.gone()

"""uvicorn's HTTP protocol with bounds on what comes before the app: the size of a head, and the time it may take.

uvicorn bounds neither for this parser: a client could send header fields for ever, or one byte of them a minute.
"""

from __future__ import annotations

import asyncio
import uuid
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.cycle import EXTENSION, Cycle
from gateway.errors import ApiError, malformed

_PER_FIELD = 4  # ": " and the end of the line


class _HeadTooLargeError(Exception):
    """Ends the parser's work; httptools reports it as an error of the request."""


class _MalformedTargetError(Exception):
    """Likewise: the target has what no target may have, and what proxies and parsers read differently."""


class GuardedProtocol(HttpToolsProtocol):
    """A connection that is closed when it neither waits for an answer nor sends a whole head in time."""

    max_head_bytes: int
    head_deadline_s: float

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._field_bytes = self._unfinished_bytes = 0
        self._heads = 0
        self._active: Cycle | None = None
        self._idle_since: float | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._in_head = True
        self.url = b""
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first head is on its way."""
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is expected any more."""
        self._met()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        super().connection_lost(exc)
        if self._active is not None:
            self._active.disconnected = True
            self._active.gone()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a head that is not whole after `max_head_bytes` never will be."""
        in_head, heads = self._in_head, self._heads
        super().data_received(data)
        if in_head and self._heads == heads:  # All of it belongs to a head that is not whole yet.
            self._unfinished_bytes += len(data)
            if self._unfinished_bytes > self.max_head_bytes and not self.transport.is_closing():
                self._refuse()
                return
        # uvicorn's own clock runs between requests only, and what comes stops it: be it the beginning of a head, or the
        # rest of a body that was refused.
        if self._deadline is None and self._idle_since is None and self._answered():
            self._expect()

    def on_message_begin(self) -> None:
        """A new head."""
        super().on_message_begin()
        self._in_head, self._field_bytes = True, 0

    def on_url(self, url: bytes) -> None:
        """More of the target."""
        super().on_url(url)
        if len(self.url) > self.max_head_bytes:
            raise _HeadTooLargeError

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field of it, whole."""
        self._field_bytes += len(name) + len(value) + _PER_FIELD
        if self._field_bytes > self.max_head_bytes:
            raise _HeadTooLargeError
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The app takes over."""
        if b"#" in self.url or not self.url.isascii():
            raise _MalformedTargetError
        self._in_head, self._unfinished_bytes = False, 0
        self._heads += 1
        self._met()
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Uvicorn makes its own kind of cycle, with no way to choose; ours differs in what it does alone."""
        cycle.__class__ = Cycle
        self._active = cast(Cycle, cycle)
        extensions = cast(dict[str, Any], cycle.scope)
        extensions["extensions"] = {**extensions.get("extensions", {}), EXTENSION: cycle}
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """The connection is idle, or its next request begins. One timer watches all the pauses of a connection."""
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        self.flow.resume_reading()
        self._idle_since = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._look_idle)

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = None

    def _look_idle(self) -> None:
        self._idle_timer = None
        if self._idle_since is None:
            return
        left_s = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self._idle_timer = self.loop.call_later(left_s, self._look_idle)
        else:
            self.timeout_keep_alive_handler()

    def on_message_complete(self) -> None:
        """Whatever comes next is the next head."""
        super().on_message_complete()
        self._in_head = True

    def send_400_response(self, msg: str) -> None:
        """What the parser could not make sense of, or was told to stop at."""
        self._refuse()

    def _refuse(self) -> None:
        """Of a head that is too large, or none at all; in the form of every error, but before there is a request."""
        error, request_id = self._fault(), uuid.uuid4().hex
        body = error.body(path="", request_id=request_id)
        head = (
            f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\ncontent-type: application/json\r\n"
            f"cache-control: no-store\r\nx-content-type-options: nosniff\r\nx-request-id: {request_id}\r\n"
            f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _fault(self) -> ApiError:
        limit = self.max_head_bytes
        if len(self.url) > limit:
            return ApiError(414, "URI_TOO_LONG", f"the target is longer than {limit} bytes", "REQUEST_TOO_LARGE")
        if max(self._field_bytes, self._unfinished_bytes) > limit:
            message = f"the head of the request is larger than {limit} bytes"
            return ApiError(431, "REQUEST_HEAD_TOO_LARGE", message, "REQUEST_TOO_LARGE")
        return malformed("this is no request of HTTP/1.1")

    def _answered(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn's type leaves out that there is none at first.
        return cycle is None or cycle.response_complete

    def _expect(self) -> None:
        self._deadline = self.loop.call_later(self.head_deadline_s, self._late)

    def _met(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        if self._answered() and not self.transport.is_closing():
            self.transport.close()


def guarded(
    max_head_bytes: int, head_deadline_s: float, base: type[GuardedProtocol] = GuardedProtocol
) -> type[GuardedProtocol]:
    """The protocol with its bounds, as uvicorn wants it: a class."""
    bounds = {"max_head_bytes": max_head_bytes, "head_deadline_s": head_deadline_s}
    return type("BoundedProtocol", (base,), bounds)

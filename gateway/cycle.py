"""One request on a connection and its answer: uvicorn's cycle, with less work per answer.

The head waits for the first piece of the body when its length is known, so that an answer of JSON is one write: a
system call costs more than everything else that is done to send it. Heads are checked as a whole rather than field by
field. And it tells, without a timer or a task, that the client has gone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HEADER_RE, STATUS_LINE, RequestResponseCycle

EXTENSION = "t2m.cycle"
"""Where the scope has it."""
_CONTROLS = bytes((*range(9), *range(10, 32), 127))
"""What no field may hold (RFC 9110 §5.5); a tab is fine."""
_JOIN_BYTES = 64 << 10
_known_names: set[bytes] = set()


class Cycle(RequestResponseCycle):
    """Answers one request."""

    _held = b""
    _on_gone: Callable[[], object] | None = None

    def whole_body(self) -> bytes | None:
        """The body of the request, taken; None when not all of it is there yet."""
        if self.more_body or self.waiting_for_100_continue:
            return None
        body, self.body = bytes(self.body), bytearray()
        return body

    def watch(self, on_gone: Callable[[], object] | None) -> None:
        """Call it once when the client goes away before the answer is complete; None: no more."""
        self._on_gone = on_gone
        if self.disconnected:
            self.gone()

    def gone(self) -> None:
        """The connection is lost."""
        on_gone, self._on_gone = self._on_gone, None
        if on_gone is not None and not self.response_complete:
            on_gone()

    async def send(self, message: Any) -> None:
        """ASGI."""
        if message["type"] == "http.response.start" and not self.response_started:
            await self._writable()
            if not self.disconnected:
                self.response_started, self.waiting_for_100_continue = True, False
                self._held = self._head(message["status"], message.get("headers", ()))
                if self.chunked_encoding:
                    self._release()
        elif self._held and message["type"] == "http.response.body" and self.scope["method"] != "HEAD":
            await self._writable()
            self._first_piece(message.get("body", b""), more=message.get("more_body", False))
        else:
            self._release()
            await super().send(message)

    async def _writable(self) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()

    def _release(self) -> None:
        held, self._held = self._held, b""
        if held and not self.disconnected:
            self.transport.write(held)

    def _first_piece(self, body: bytes, *, more: bool) -> None:
        held, self._held = self._held, b""
        if self.disconnected:
            return
        self.expected_content_length -= len(body)
        if self.expected_content_length < 0 or (self.expected_content_length and not more):
            raise RuntimeError("the body is not as long as content-length says")
        if len(body) <= _JOIN_BYTES:
            self.transport.write(held + body)
        else:
            self.transport.write(held)
            self.transport.write(body)
        if not more:
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()

    def _head(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
        """Status line and fields. Raises RuntimeError for what would break out of a field."""
        fields = [*self.default_headers, *headers]
        lines = [STATUS_LINE[status]]
        closes = False
        for name, value in fields:
            if name not in _known_names:
                _learn(name)
            if name == b"content-length":
                self.expected_content_length, self.chunked_encoding = int(value), False
            elif name == b"transfer-encoding" and value.lower() == b"chunked":
                self.expected_content_length, self.chunked_encoding = 0, True
            elif name == b"connection" and b"close" in (token.strip() for token in value.lower().split(b",")):
                self.keep_alive, closes = False, True
            lines.append(name + b": " + value + b"\r\n")
        if not self.keep_alive and not closes:
            lines.append(b"connection: close\r\n")
        if self.chunked_encoding is None and status not in (204, 304) and self.scope["method"] != "HEAD":
            self.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked\r\n")
        head = b"".join(lines)
        # Every line ends with the two controls that it must; one more of any kind was in a name or a value.
        if len(head) - len(head.translate(None, _CONTROLS)) != 2 * len(lines):
            raise RuntimeError("a header field holds a control character")
        return head + b"\r\n"


def _learn(name: bytes) -> None:
    """Names come from the code, so there are few of them. Raises RuntimeError for one that is none."""
    if not name or HEADER_RE.search(name) or name != name.lower():
        raise RuntimeError(f"{name!r} is no name of a header field in lower case")
    _known_names.add(name)


def cycle_of(scope: Scope) -> Cycle:
    """The cycle of a request."""
    return cast(Cycle, scope["extensions"][EXTENSION])

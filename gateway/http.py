"""The little that the gateway needs of HTTP on bare ASGI: read a request, send an answer.

Starlette's Request and Response are convenient but cost about as much per request as everything else here
together; Starlette composes the app (app.py), the hot path stays on ASGI messages.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from starlette.types import Receive, Scope, Send

from gateway.byte_ranges import not_modified, precondition_failed
from gateway.content_coding import accepts_gzip, compressible, decoded, gzip
from gateway.cycle import cycle_of
from gateway.errors import ApiError, body_too_large, body_too_slow, precondition

Header = tuple[bytes, bytes]
JSON_TYPE = b"application/json"
_VARY: Header = (b"vary", b"accept-encoding")
COMPRESS_FROM_BYTES = 1024
DISCARD_BYTES = 16 << 20
DISCARD_S = 2.0


class ClientGoneError(Exception):
    """The client disconnected; there is nobody to answer."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How slowly a body may come: within `body_s` seconds as a whole; as a stream, with no longer pause than that and
    no slower than `bytes_per_s` (0 for any speed), after as long a start.
    """

    body_s: float = 30.0
    bytes_per_s: int = 4096

    def patience_s(self, received: int, waited_s: float) -> float:
        """How long to wait for the next bytes of a stream."""
        if not self.bytes_per_s:
            return self.body_s
        return max(0.0, min(self.body_s, self.body_s + received / self.bytes_per_s - waited_s))


_DEFAULT_PACE = Pace()


class Request:
    """One HTTP request. `route` is filled in by the router, for logs and metrics."""

    __slots__ = ("_body_ended", "_headers", "_pace", "receive", "scope", "send")

    def __init__(self, scope: Scope, receive: Receive, send: Send, pace: Pace = _DEFAULT_PACE) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self._headers: dict[bytes, bytes] | None = None
        self._pace = pace
        self._body_ended = False

    @property
    def method(self) -> str:
        """HTTP method, upper case."""
        method: str = self.scope["method"]
        return method

    @property
    def path(self) -> str:
        """Decoded path."""
        path: str = self.scope["path"]
        return path

    @property
    def raw_path(self) -> str:
        """Path as sent, still percent-encoded, without the query."""
        raw: bytes = self.scope.get("raw_path") or self.path.encode()
        return raw.decode("latin-1")

    @property
    def request_id(self) -> str:
        """Set by the edge middleware."""
        request_id: str = self.scope["state"]["request_id"]
        return request_id

    @property
    def state(self) -> dict[str, Any]:
        """Per-request values shared with the middlewares."""
        state: dict[str, Any] = self.scope["state"]
        return state

    def header(self, name: bytes) -> bytes | None:
        """Value of a header by its lower-case name; the first when it was sent more than once."""
        headers = self._headers
        if headers is None:
            headers = self._headers = dict(reversed(self.scope["headers"]))
        return headers.get(name)

    def repeats(self, names: frozenset[bytes]) -> bool:
        """Whether one of these headers was sent more than once."""
        headers = self.scope["headers"]
        if self._headers is not None and len(self._headers) == len(headers):
            return False  # No header at all was.
        found = [name for name, _ in headers if name in names]
        return len(found) > len(set(found))

    async def body(self, limit: int) -> bytes:
        """The whole body, without its content coding.

        Raises ApiError 413 beyond `limit` bytes, also when inflated, 408 when it takes too long, 415 for a coding
        that is not known, ClientGoneError.
        """
        body = await self._sent_body(limit)
        coding = self.header(b"content-encoding")
        return decoded(body, coding, limit) if coding and body else body

    async def _sent_body(self, limit: int) -> bytes:
        declared = self.header(b"content-length")
        if declared is None and self.header(b"transfer-encoding") is None:
            self._body_ended = True
            return b""
        if declared is not None and declared.isdigit() and int(declared) > limit:
            await self.discard(int(declared))
            raise body_too_large(limit)
        here = cycle_of(self.scope).whole_body()
        if here is not None:  # Most are: nothing to wait for, and no need of a clock.
            self._body_ended = True
            if len(here) > limit:
                raise body_too_large(limit)
            return here
        try:
            async with asyncio.timeout(self._pace.body_s):
                return await self._whole(limit)
        except TimeoutError:
            raise body_too_slow(f"the body did not arrive within {self._pace.body_s:g} s") from None

    async def _whole(self, limit: int) -> bytes:
        chunks: list[bytes] = []
        size = 0
        more = True
        while more:
            chunk, more = await self._chunk()
            size += len(chunk)
            if size > limit:
                await self.discard()
                raise body_too_large(limit)
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def _chunk(self) -> tuple[bytes, bool]:
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        more: bool = message.get("more_body", False)
        self._body_ended = not more
        return message.get("body", b""), more

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The body as it arrives; the server stops reading while a chunk is in hand.

        Raises ClientGoneError, and ApiError 408 when the client (not who takes the chunks) is slower than the pace.
        """
        clock = asyncio.get_running_loop().time
        more, received, waited_s = True, 0, 0.0
        while more:
            began = clock()
            try:
                async with asyncio.timeout(self._pace.patience_s(received, waited_s)):
                    chunk, more = await self._chunk()
            except TimeoutError:
                raise body_too_slow(f"the body came too slowly: {received} bytes in {waited_s:.0f} s") from None
            waited_s += clock() - began
            received += len(chunk)
            if chunk:
                yield chunk

    async def discard(self, expected: int = DISCARD_BYTES) -> None:
        """Read on for a moment: to a client that is still sending, a closed socket would be all it sees."""
        if expected > DISCARD_BYTES or self._body_ended:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DISCARD_S):
                left, more = expected, True
                while more and left > 0:
                    chunk, more = await self._chunk()
                    left -= len(chunk)

    async def disconnected(self) -> None:
        """Return when the client has gone. Call it only after the body was read."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def respond(
        self,
        status: int,
        body: bytes = b"",
        headers: list[Header] | None = None,
        content_type: bytes = JSON_TYPE,
    ) -> None:
        """Send a whole answer; text is compressed when it is worth it and the client can read it."""
        sent: list[Header] = list(headers or ())
        if status in (204, 304):
            body = b""
        else:
            sent.append((b"content-type", content_type))
            if len(body) >= COMPRESS_FROM_BYTES and compressible(content_type):
                sent.append(_VARY)
                if accepts_gzip(self.header(b"accept-encoding")):
                    body = gzip(body)
                    sent.append((b"content-encoding", b"gzip"))
            sent.append((b"content-length", str(len(body)).encode()))
        await self.send({"type": "http.response.start", "status": status, "headers": sent})
        await self.send({"type": "http.response.body", "body": b"" if self.method == "HEAD" else body})

    async def respond_tagged(
        self, body: bytes, cache_control: bytes, headers: list[Header] | None = None, content_type: bytes = JSON_TYPE
    ) -> None:
        """200 with a strong ETag over what is sent, or 304 to who has it already (RFC 9110 section 13.1.2).

        Raises ApiError 412 to who asks for another one with `If-Match`.
        """
        etag = sha256(body).hexdigest()[:32]
        varies = len(body) >= COMPRESS_FROM_BYTES and compressible(content_type)
        if varies and accepts_gzip(self.header(b"accept-encoding")):
            etag += "-gzip"  # Other bytes, so by the rule of strong validators another tag.
        tagged = [*(headers or ()), (b"etag", f'"{etag}"'.encode()), (b"cache-control", cache_control)]
        wanted = self.header(b"if-match")
        if wanted is not None and precondition_failed(wanted.decode("latin-1"), None, f'"{etag}"', None):
            raise precondition("it has changed")
        known = self.header(b"if-none-match")
        if known is None or not not_modified(known.decode("latin-1"), None, f'"{etag}"', None):
            await self.respond(200, body, tagged, content_type)
            return
        await self.respond(304, b"", [*tagged, _VARY] if varies else tagged)

    async def fail(self, error: ApiError) -> None:
        """Send the error in the O6 form."""
        self.state["error_code"] = error.error_code
        body = error.body(path=self.path, request_id=self.request_id)
        await self.respond(error.status, body, [*error.headers, (b"cache-control", b"no-store")])

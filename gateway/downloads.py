"""Rpcs whose answer is a stream of `google.api.HttpBody`: a file that is made while it is sent.

Memory is constant: a message is in hand until the client has taken it, and the service makes no more meanwhile.
The length is not known before the end, so the end is the only proof that the file is whole: a failure on the way
breaks the connection off, which no client takes for an end.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.message import Message

from gateway.auth import call_metadata
from gateway.binding import Binder
from gateway.byte_ranges import content_disposition
from gateway.catalog import HttpBinding, Rpc
from gateway.deadlines import deadline_s
from gateway.errors import ApiError, from_rpc
from gateway.http import ClientGoneError, Header, Request
from gateway.http_rules import Template
from gateway.metrics import FILE_BYTES
from gateway.transcoder import Toolbox

_FILENAME = "filename"


class BrokenOffError(Exception):
    """A download failed after its first bytes; only breaking the connection tells the client."""


class DownloadEndpoint:
    """A server-streaming rpc as a download.

    The first message has the content type and, in a field `filename` of the response, a name to save it under.
    """

    def __init__(self, rpc: Rpc, binding: HttpBinding, template: Template, tools: Toolbox) -> None:
        self._admit = tools.admission.of(rpc)
        self._max_body_bytes = tools.max_body_bytes
        self._first_s = tools.deadline_s  # Of the first message: a file takes as long as it takes.
        self._binder = Binder(rpc, binding, template, tools.decoders)
        self._stream = tools.backends.stream(rpc.path)
        self._output: type[Message] = message_factory.GetMessageClass(rpc.output)
        self._selected = binding.response_body

    async def __call__(self, request: Request, variables: dict[str, str]) -> None:
        """200 and the bytes. Raises ApiError while nothing was sent, then BrokenOffError; ClientGoneError."""
        caller = await self._admit(request)
        body = await request.body(self._max_body_bytes)
        raw = self._binder.bind(request, variables, body)
        call = self._stream(raw, metadata=call_metadata(request, caller))
        gone = asyncio.create_task(request.disconnected())
        # A send to a client that has left returns at once; without this the rest would be made for nobody.
        gone.add_done_callback(lambda task: None if task.cancelled() else call.cancel())
        try:
            await self._send(request, call)
        except asyncio.CancelledError:
            if gone.done():
                raise ClientGoneError from None
            raise
        finally:
            gone.cancel()
            call.cancel()

    async def _send(self, request: Request, call: Any) -> None:
        """The first message is awaited before the status goes out, so that a refusal is a proper answer."""
        try:
            async with asyncio.timeout(deadline_s(request, self._first_s)):
                first = await self._next(call)
        except TimeoutError:
            raise ApiError(504, "DEADLINE_EXCEEDED", "the download did not start", "DEADLINE_EXCEEDED") from None
        request.state["streaming"] = True
        await request.send({"type": "http.response.start", "status": 200, "headers": self._headers(first)})
        message = first
        while message is not None and request.method != "HEAD":
            data = self._body(message).data
            await request.send({"type": "http.response.body", "body": data, "more_body": True})
            FILE_BYTES.inc(len(data))
            try:
                message = await self._next(call)
            except ApiError as error:
                raise BrokenOffError(f"{error.status} {error.error_code}") from error
        await request.send({"type": "http.response.body", "body": b""})

    async def _next(self, call: Any) -> Any:
        """The next message, None at the end. Raises ApiError."""
        try:
            raw = await call.read()
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from error
        return None if raw is grpc.aio.EOF else self._output.FromString(raw)

    def _body(self, message: Any) -> Any:
        return getattr(message, self._selected) if self._selected else message

    def _headers(self, first: Any) -> list[Header]:
        content_type = (self._body(first).content_type if first is not None else "") or "application/octet-stream"
        filename = getattr(first, _FILENAME, "")
        return [
            (b"content-type", content_type.encode("latin-1")),
            (b"content-disposition", content_disposition(filename, inline=False).encode("ascii")),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]

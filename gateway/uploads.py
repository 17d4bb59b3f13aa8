"""Rpcs whose request is a stream of bytes: the body of the HTTP request as it arrives.

Memory is constant: a chunk is in hand until the service has taken it, and the client is not read meanwhile. How
much may arrive is the service's to say; it ends the call as soon as it is too much.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import aclosing
from typing import Any

import grpc
import orjson
from google.protobuf import message_factory
from google.protobuf.message import Message

from gateway.auth import call_metadata
from gateway.binding import Binder
from gateway.catalog import HttpBinding, Rpc
from gateway.deadlines import deadline_s
from gateway.errors import ApiError, from_rpc, unavailable, unsupported_coding
from gateway.http import Header, Request
from gateway.http_rules import Template
from gateway.transcoder import Toolbox, response_encoder, response_headers

_WANTED = "upload-wanted"
_MAX_CHUNK = 1 << 18
"""Bytes in one message; the server hands over less at a time, as a rule."""


class UploadEndpoint:
    """A client-streaming rpc: a header out of path, query and headers, then the body."""

    def __init__(self, rpc: Rpc, binding: HttpBinding, template: Template, tools: Toolbox) -> None:
        upload = rpc.extras.upload
        self._admit = tools.admission.of(rpc)
        self._tools = tools
        self._binder = Binder(rpc, binding, template, tools.decoders)
        self._call = tools.backends.upload(rpc.path)
        self._message: type[Message] = message_factory.GetMessageClass(rpc.descriptor.input_type)
        self._header: type[Message] = message_factory.GetMessageClass(rpc.input)
        self._output: type[Message] = message_factory.GetMessageClass(rpc.output)
        self._header_field, self._chunk_field = upload.header_field, upload.chunk_field
        self._status = rpc.extras.success_status or 200
        self._encode = response_encoder(rpc, binding, tools.encoders)

    async def __call__(self, request: Request, variables: dict[str, str]) -> None:
        """Answer once the service has. Raises ApiError, ClientGoneError."""
        try:
            message, headers = await self._upload(request, variables)
        except ApiError as error:
            if not any(name == b"connection" for name, _ in error.headers):
                error.headers.append((b"connection", b"close"))  # What is left of the body is nobody's.
            if error.status != 408:  # Who sends too slowly is not waited for again.
                await request.discard()
            raise
        await request.discard()
        await request.respond(self._status, orjson.dumps(self._encode(message)), headers)

    async def _upload(self, request: Request, variables: dict[str, str]) -> tuple[Message, list[Header]]:
        caller = await self._admit(request)
        coding = request.header(b"content-encoding")
        if coding is not None and coding.strip().lower() != b"identity":
            raise unsupported_coding(coding.decode("latin-1"), b"identity")  # What is kept is what was sent.
        header = self._header.FromString(self._binder.bind(request, variables, b""))
        request.state["streaming"] = True
        timeout = deadline_s(request, self._tools.upload_deadline_s)
        call = self._call(timeout=timeout, metadata=call_metadata(request, caller))
        try:
            await self._send(call, header, request)
            answer = await call
            return self._output.FromString(answer), response_headers(await call.initial_metadata())
        except grpc.aio.AioRpcError as error:
            request.state["grpc_detail"] = error.details()
            raise self._refusal(error) from error
        finally:
            call.cancel()

    async def _send(self, call: Any, header: Message, request: Request) -> None:
        """Send the header, and the body once it is wanted; ends early when the service has answered before."""
        with contextlib.suppress(asyncio.InvalidStateError):
            await call.write(self._message(**{self._header_field: header}).SerializeToString())
            # A write that meets the end of a call can hide with what words it has ended.
            if not await self._wanted(call):
                return
            async with aclosing(request.chunks()) as body:
                async for data in body:
                    for start in range(0, len(data), _MAX_CHUNK):
                        chunk = self._message(**{self._chunk_field: data[start : start + _MAX_CHUNK]})
                        await call.write(chunk.SerializeToString())
            await call.done_writing()

    async def _wanted(self, call: Any) -> bool:
        """Whether the service wants the body; else the call has ended. Raises ApiError 503."""
        try:
            async with asyncio.timeout(self._tools.deadline_s):
                return any(key == _WANTED for key, _ in await call.initial_metadata())
        except TimeoutError as error:
            raise unavailable("the service did not answer in time") from error

    def _refusal(self, error: grpc.aio.AioRpcError) -> ApiError:
        """As of any call; the fields of the header are the request's own."""
        refusal = from_rpc(error)
        for violation in refusal.details.get("violations", ()):
            violation["field"] = violation["field"].removeprefix(f"{self._header_field}.")
        return refusal

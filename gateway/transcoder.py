"""Unary rpcs over HTTP: authenticate, bind, call, encode."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
import orjson
from google.protobuf import message_factory
from google.protobuf.message import Message

from gateway.admission import Admission
from gateway.auth import Authenticator, Caller, call_metadata
from gateway.backends import Backends
from gateway.binding import Binder
from gateway.catalog import FILE_RESPONSE_TYPE, CatalogError, HttpBinding, Rpc
from gateway.codec import DecoderSet, EncoderSet
from gateway.cycle import cycle_of
from gateway.deadlines import HEADER as TIMEOUT
from gateway.deadlines import deadline_s
from gateway.errors import deadline_exceeded, from_rpc, precondition
from gateway.http import ClientGoneError, Header, Request
from gateway.http_rules import Template

RESPONSE_METADATA = frozenset({"retry-after"})
"""Initial metadata that become response headers; everything else stays inside."""

_READS = ("GET", "HEAD")
_CONDITIONS = (b"if-match", b"if-unmodified-since")
_OWN = b"private, no-cache"
"""The caller may keep it, and asks each time whether it has changed."""


class Endpoint(Protocol):
    """What a route leads to."""

    async def __call__(self, request: Request, variables: dict[str, str], /) -> None:
        """Answer the request. Raises ApiError for every answer other than success."""
        ...


@dataclass(frozen=True, slots=True)
class Toolbox:
    """What every endpoint is built with."""

    authenticator: Authenticator
    admission: Admission
    backends: Backends
    encoders: EncoderSet
    decoders: DecoderSet
    max_body_bytes: int
    deadline_s: float
    upload_deadline_s: float


class UnaryCall:
    """One binding of a unary rpc, up to the decoded response message."""

    def __init__(self, rpc: Rpc, binding: HttpBinding, template: Template, tools: Toolbox) -> None:
        self._admit = tools.admission.of(rpc)
        self.binder = Binder(rpc, binding, template, tools.decoders)
        self._tools = tools
        self._call = tools.backends.unary(rpc.path)
        output: type[Message] = message_factory.GetMessageClass(rpc.output)
        self._parse = output.FromString

    async def __call__(
        self, request: Request, variables: dict[str, str]
    ) -> tuple[Message, list[Header], Caller | None]:
        """Response message, response headers and the caller. Raises ApiError and ClientGoneError."""
        if request.header(TIMEOUT) is None:
            return await self._answer(request, variables, self._tools.deadline_s)
        seconds = deadline_s(request, self._tools.deadline_s)
        try:
            async with asyncio.timeout(seconds):  # Of all that is done for it, not of the last call alone.
                return await self._answer(request, variables, seconds)
        except TimeoutError:
            raise deadline_exceeded() from None

    async def _answer(
        self, request: Request, variables: dict[str, str], timeout: float
    ) -> tuple[Message, list[Header], Caller | None]:
        caller = await self._admit(request)
        if request.method not in _READS:
            _refuse_conditions(request)
        body = await request.body(self._tools.max_body_bytes)
        message = self.bind(request, variables, body)
        call = self._call(message, timeout=timeout, metadata=call_metadata(request, caller))
        cycle = cycle_of(request.scope)
        cycle.watch(call.cancel)
        try:
            answer = await call
            headers = response_headers(call.received)
        except grpc.aio.AioRpcError as error:
            request.state["grpc_detail"] = error.details()
            raise from_rpc(error) from error
        except asyncio.CancelledError:
            if cycle.disconnected:
                raise ClientGoneError from None
            raise
        finally:
            cycle.watch(None)
        return self._parse(answer), headers, caller

    def bind(self, request: Request, variables: dict[str, str], body: bytes) -> bytes:
        """The serialised request message. Raises ApiError."""
        return self.binder.bind(request, variables, body)


def response_headers(metadata: Collection[tuple[str, str | bytes]]) -> list[Header]:
    """Of the initial metadata of a call, what clients may see."""
    if not metadata:
        return []
    return [
        (key.encode(), value.encode()) for key, value in metadata if key in RESPONSE_METADATA and isinstance(value, str)
    ]


class UnaryEndpoint:
    """A unary rpc that answers JSON."""

    def __init__(self, rpc: Rpc, binding: HttpBinding, template: Template, tools: Toolbox) -> None:
        self._unary = UnaryCall(rpc, binding, template, tools)
        self._status = rpc.extras.success_status or 200
        self._cache_control = b"no-store" if rpc.extras.confidential else _OWN
        self._encode = response_encoder(rpc, binding, tools.encoders)

    async def __call__(self, request: Request, variables: dict[str, str]) -> None:
        """Answer with the response message, or its `response_body` field; to a GET with an ETag, or 304."""
        message, headers, _ = await self._unary(request, variables)
        body = b"" if self._status == 204 else orjson.dumps(self._encode(message))
        if request.method in _READS and self._status == 200:
            await request.respond_tagged(body, self._cache_control, headers)
        else:
            await request.respond(self._status, body, [*headers, (b"cache-control", b"no-store")])


def _refuse_conditions(request: Request) -> None:
    for name in _CONDITIONS:
        if request.header(name) is not None:
            raise precondition(f"{name.decode().title()} is not supported here")


class BodyEndpoint:
    """A unary rpc that answers a `google.api.HttpBody`: its bytes, under its content type, with an ETag."""

    def __init__(self, rpc: Rpc, binding: HttpBinding, template: Template, tools: Toolbox) -> None:
        self._unary = UnaryCall(rpc, binding, template, tools)
        shared_s = rpc.extras.public_max_age_s
        self._cache_control = f"public, max-age={shared_s}".encode() if shared_s else _OWN
        self._selected = binding.response_body

    async def __call__(self, request: Request, variables: dict[str, str]) -> None:
        """200 or 304. Raises ApiError."""
        message, headers, _ = await self._unary(request, variables)
        body: Any = getattr(message, self._selected) if self._selected else message
        content_type = body.content_type.encode("latin-1") or b"application/octet-stream"
        if request.method in _READS:
            await request.respond_tagged(body.data, self._cache_control, headers, content_type)
        else:
            await request.respond(200, body.data, [*headers, (b"cache-control", b"no-store")], content_type)


def response_encoder(rpc: Rpc, binding: HttpBinding, encoders: EncoderSet) -> Callable[[Message], object]:
    """Encoder of the response message, or of the field that `response_body` selects."""
    if not binding.response_body:
        return encoders.message(rpc.output)
    if binding.response_body not in rpc.output.fields_by_name:
        raise CatalogError(f"{rpc.path}: response_body {binding.response_body!r} is no field of {rpc.output.full_name}")
    return encoders.field(rpc.output, binding.response_body)


def is_file(rpc: Rpc, binding: HttpBinding) -> bool:
    """Whether the answer is the object itself. Raises CatalogError when the types do not allow it."""
    if not rpc.extras.file:
        return False
    selected = rpc.output
    if binding.response_body:
        field = rpc.output.fields_by_name.get(binding.response_body)
        if field is None or field.message_type is None:
            raise CatalogError(f"{rpc.path}: response_body {binding.response_body!r} is no message field")
        selected = field.message_type
    if selected.full_name != FILE_RESPONSE_TYPE:
        raise CatalogError(f"{rpc.path}: http_extras.file needs a response of type {FILE_RESPONSE_TYPE}")
    return True

"""Rpcs whose answer is a stored object: a redirect, or the bytes themselves with ranges and conditions.

Memory is constant: one chunk is in hand, the next is read when the client has taken it. A read that breaks
off is continued at the byte where it stopped.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import grpc

from gateway.auth import Caller, call_metadata
from gateway.byte_ranges import (
    content_disposition,
    http_date,
    not_modified,
    parse_range,
    precondition_failed,
    range_applies,
)
from gateway.catalog import HttpBinding, Rpc
from gateway.errors import from_rpc, precondition
from gateway.http import ClientGoneError, Header, Request
from gateway.http_rules import Template
from gateway.metrics import FILE_BYTES
from gateway.transcoder import Toolbox, UnaryCall
from t2m.storage.v1 import object_pb2, object_service_pb2

READ_OBJECT = "/t2m.storage.v1.ObjectService/ReadObject"
_READ_ATTEMPTS = 3


class FileEndpoint:
    """A unary rpc that answers an ObjectLocation, served as the object it points to."""

    def __init__(self, rpc: Rpc, binding: HttpBinding, template: Template, tools: Toolbox) -> None:
        self._unary = UnaryCall(rpc, binding, template, tools)
        self._selected = binding.response_body
        self._read = tools.backends.stream(READ_OBJECT)

    async def __call__(self, request: Request, variables: dict[str, str]) -> None:
        """200, 206, 304 or 307. Raises ApiError for everything else, 416 included."""
        message, headers, caller = await self._unary(request, variables)
        selected: Any = getattr(message, self._selected) if self._selected else message
        location: object_pb2.ObjectLocation = selected
        if location.redirect:
            await _elsewhere(request, location, headers)
            return
        modified = _modified(location)
        etag = f'"{location.etag}"'
        if precondition_failed(_text(request, b"if-match"), _text(request, b"if-unmodified-since"), etag, modified):
            raise precondition("the object has changed")
        headers += _headers(location, etag, modified)
        if not_modified(_text(request, b"if-none-match"), _text(request, b"if-modified-since"), etag, modified):
            await request.respond(304, b"", headers)
            return
        size = location.size_bytes
        wanted = None
        if request.method == "GET" and range_applies(_text(request, b"if-range"), etag, modified):
            wanted = parse_range(_text(request, b"range"), size)
        first, last = wanted or (0, size - 1)
        if wanted is not None:
            headers.append((b"content-range", b"bytes %d-%d/%d" % (first, last, size)))
        headers += _entity(location, last - first + 1)
        start: dict[str, object] = {
            "type": "http.response.start",
            "status": 206 if wanted else 200,
            "headers": headers,
        }
        wanted_bytes = object_service_pb2.ReadObjectRequest(
            read_ticket=location.read_ticket, offset=first, limit=last - first + 1
        )
        body = _Body(self._read, request, caller, wanted_bytes)
        await body.send(start, headers_only=request.method == "HEAD")


async def _elsewhere(request: Request, location: object_pb2.ObjectLocation, headers: list[Header]) -> None:
    """Of an object that the store serves itself: a redirect. Its URL is signed for GET, so HEAD is answered here,
    without validators: the store's own are others, and what was begun by one must not be continued by the other.
    """
    headers.append((b"cache-control", b"no-store"))
    if request.method != "HEAD":
        await request.respond(307, b"", [*headers, (b"location", location.url.encode("ascii"))])
        return
    headers += [(b"accept-ranges", b"bytes"), _disposition(location), *_entity(location, location.size_bytes)]
    request.state["streaming"] = True
    await request.send({"type": "http.response.start", "status": 200, "headers": headers})
    await request.send({"type": "http.response.body", "body": b""})


def _entity(location: object_pb2.ObjectLocation, length: int) -> list[Header]:
    return [
        (b"content-type", (location.content_type or "application/octet-stream").encode("latin-1")),
        (b"content-length", b"%d" % length),
    ]


def _disposition(location: object_pb2.ObjectLocation) -> Header:
    return (b"content-disposition", content_disposition(location.filename, inline=location.inline).encode("ascii"))


def _headers(location: object_pb2.ObjectLocation, etag: str, modified: datetime | None) -> list[Header]:
    headers = [
        (b"etag", etag.encode("ascii")),
        (b"accept-ranges", b"bytes"),
        (b"cache-control", (location.cache_control or "private, no-cache").encode("ascii")),
        _disposition(location),
    ]
    if modified is not None:
        headers.append((b"last-modified", http_date(modified).encode("ascii")))
    return headers


def _modified(location: object_pb2.ObjectLocation) -> datetime | None:
    return location.modified_at.ToDatetime(UTC) if location.HasField("modified_at") else None


def _text(request: Request, name: bytes) -> str | None:
    value = request.header(name)
    return None if value is None else value.decode("latin-1")


class _Body:
    """The bytes of one answer on their way from storage to the client."""

    def __init__(
        self, read: Any, request: Request, caller: Caller | None, wanted: object_service_pb2.ReadObjectRequest
    ) -> None:
        self._read = read
        self._request = request
        self._metadata = call_metadata(request, caller)
        self._wanted = wanted  # Moves on with what the client has taken, so it is always what is left to read.
        self._call: Any = None

    async def send(self, start: dict[str, object], *, headers_only: bool) -> None:
        """Send the answer. The first chunk is read before the status goes out, so a failing read is a
        proper error.
        """
        self._request.state["streaming"] = True
        if headers_only or not self._wanted.limit:
            await self._request.send(start)
            await self._request.send({"type": "http.response.body", "body": b""})
            return
        gone = asyncio.create_task(self._request.disconnected())
        # A send to a client that has left returns at once; without this the rest would be read for nobody.
        gone.add_done_callback(lambda task: None if task.cancelled() or not self._call else self._call.cancel())
        try:
            chunk = await self._next()
            await self._request.send(start)
            while self._wanted.limit > len(chunk):
                self._wanted.limit -= len(chunk)
                self._wanted.offset += len(chunk)
                await self._request.send({"type": "http.response.body", "body": chunk, "more_body": True})
                FILE_BYTES.inc(len(chunk))
                chunk = await self._next()
            await self._request.send({"type": "http.response.body", "body": chunk[: self._wanted.limit]})
            FILE_BYTES.inc(self._wanted.limit)
        except asyncio.CancelledError:
            if gone.done():
                raise ClientGoneError from None
            raise
        finally:
            gone.cancel()
            if self._call is not None:
                self._call.cancel()

    async def _next(self) -> bytes:
        """The chunk at the current offset. Raises ApiError."""
        for attempt in range(_READ_ATTEMPTS):
            if self._call is None:
                self._call = self._read(self._wanted.SerializeToString(), metadata=self._metadata)
            try:
                raw = await self._call.read()
                if raw is not grpc.aio.EOF:
                    return object_service_pb2.ReadObjectResponse.FromString(raw).chunk
                raise OSError(f"storage ended {self._wanted.limit} bytes early")
            except grpc.aio.AioRpcError as error:
                refusal = from_rpc(error)
                if refusal.status != 503 or attempt == _READ_ATTEMPTS - 1:
                    raise refusal from error
                self._call = None
                await asyncio.sleep(0.1 * (attempt + 1))
        raise AssertionError("unreachable")

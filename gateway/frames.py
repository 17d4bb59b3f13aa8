"""A message of a server stream as it goes to clients: decoded once, encoded once, whoever reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any

import orjson
from google.protobuf import message_factory
from google.protobuf.message import Message
from websockets.frames import Frame as SocketFrame
from websockets.frames import Opcode

from gateway.catalog import CatalogError, HttpBinding, Rpc
from gateway.codec import EncoderSet
from gateway.transcoder import response_encoder


@dataclass
class Frame:
    """One event. `seq` is its position, 0 when it has none; `event` is the name of its kind; `data` is JSON.

    Each form is made when the first client needs it, down to the bytes on the connection, and kept for all others.
    """

    seq: int
    event: str
    data: bytes

    @cached_property
    def sse(self) -> bytes:
        """The event of an event stream (WHATWG HTML §9.2)."""
        identity = b"id: %d\n" % self.seq if self.seq else b""
        name = b"event: %s\n" % self.event.encode() if self.event else b""
        return b"%s%sdata: %s\n\n" % (identity, name, self.data)

    @cached_property
    def ndjson(self) -> bytes:
        """The event as a line."""
        return self.data + b"\n"

    @cached_property
    def message(self) -> bytes:
        """The event as the text of a WebSocket's message."""
        return b'{"seq":%d,"event":"%s","data":%s}' % (self.seq, self.event.encode(), self.data)

    @cached_property
    def sse_chunk(self) -> bytes:
        """`sse` as it goes over HTTP/1.1."""
        return chunk(self.sse)

    @cached_property
    def ndjson_chunk(self) -> bytes:
        """`ndjson` as it goes over HTTP/1.1."""
        return chunk(self.ndjson)

    @cached_property
    def message_frame(self) -> bytes:
        """`message` as it goes over a WebSocket."""
        return socket_text(self.message)


def chunk(data: bytes) -> bytes:
    """A chunk of a body (RFC 9112 §7.1)."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def socket_text(text: bytes) -> bytes:
    """A text message of a server (RFC 6455 §5.2): one frame, not masked."""
    return SocketFrame(Opcode.TEXT, text).serialize(mask=False)


@dataclass(frozen=True, slots=True)
class Skin:
    """How a stream looks on the connection; `content_type` is empty for a WebSocket."""

    content_type: bytes
    prelude: bytes
    heartbeat: bytes
    render: Callable[[Frame], bytes]


SSE = Skin(b"text/event-stream", chunk(b"retry: 1000\n\n"), chunk(b": heartbeat\n\n"), attrgetter("sse_chunk"))
NDJSON = Skin(b"application/x-ndjson", b"", chunk(b"\n"), attrgetter("ndjson_chunk"))
WEBSOCKET = Skin(b"", b"", socket_text(b'{"event":"heartbeat"}'), attrgetter("message_frame"))


def skin_for(accept: bytes | None) -> Skin:
    """NDJSON for who asks for it, else SSE."""
    return NDJSON if accept is not None and b"application/x-ndjson" in accept.lower() else SSE


class StreamCodec:
    """Compiled from an rpc's `event_stream`: streamed bytes → Frame, and requests with another position."""

    def __init__(self, rpc: Rpc, binding: HttpBinding, encoders: EncoderSet) -> None:
        stream = rpc.extras.event_stream
        output: type[Message] = message_factory.GetMessageClass(rpc.output)
        self._request: type[Message] = message_factory.GetMessageClass(rpc.input)
        self._parse = output.FromString
        self._encode = response_encoder(rpc, binding, encoders)
        selected = rpc.output
        if binding.response_body:
            selected = rpc.output.fields_by_name[binding.response_body].message_type or selected
        if stream.id_field and stream.id_field not in selected.fields_by_name:
            raise CatalogError(f"{rpc.path}: id_field {stream.id_field!r} is no field of {selected.full_name}")
        if stream.event_oneof and stream.event_oneof not in selected.oneofs_by_name:
            raise CatalogError(f"{rpc.path}: event_oneof {stream.event_oneof!r} is no oneof of {selected.full_name}")
        if stream.resume_field and stream.resume_field not in rpc.input.fields_by_name:
            raise CatalogError(f"{rpc.path}: resume_field {stream.resume_field!r} is no field of the request")
        self._selected = binding.response_body
        self._id_field = stream.id_field
        self._event_oneof = stream.event_oneof
        self._resume_field = stream.resume_field

    @property
    def resumable(self) -> bool:
        """Whether a stream can be taken up again at a position; only such streams are shared."""
        return bool(self._id_field and self._resume_field)

    def frame(self, raw: bytes) -> Frame:
        """Decode a streamed message and encode it for clients."""
        message: Any = self._parse(raw)
        selected = getattr(message, self._selected) if self._selected else message
        seq = getattr(selected, self._id_field) if self._id_field else 0
        event = selected.WhichOneof(self._event_oneof) if self._event_oneof else None
        return Frame(seq, event or "", orjson.dumps(self._encode(message)))

    def split_position(self, raw: bytes) -> tuple[bytes, int | None]:
        """A request without its position (what identifies the stream), and the position; None for none."""
        message: Any = self._request.FromString(raw)
        if not self._resume_field or not message.HasField(self._resume_field):
            return raw, None
        position: int = getattr(message, self._resume_field)
        message.ClearField(self._resume_field)
        return message.SerializeToString(deterministic=True), position

    def at_position(self, identity: bytes, position: int | None) -> bytes:
        """The request that continues after `position`."""
        if position is None or not self._resume_field:
            return identity
        message = self._request.FromString(identity)
        setattr(message, self._resume_field, position)
        return message.SerializeToString()

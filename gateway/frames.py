"""A message of a server stream as it goes to clients: decoded once, encoded once, whoever reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import orjson
from google.protobuf import message_factory
from google.protobuf.message import Message

from gateway.catalog import CatalogError, HttpBinding, Rpc
from gateway.codec import EncoderSet
from gateway.transcoder import response_encoder


@dataclass
class Frame:
    """One event. `seq` is its position, 0 when it has none; `event` is the name of its kind."""

    seq: int
    event: str
    data: bytes
    sse: bytes = field(init=False)

    def __post_init__(self) -> None:
        identity = b"id: %d\n" % self.seq if self.seq else b""
        name = b"event: %s\n" % self.event.encode() if self.event else b""
        self.sse = b"%s%sdata: %s\n\n" % (identity, name, self.data)

    @cached_property
    def ndjson(self) -> bytes:
        """The event as a line."""
        return self.data + b"\n"


@dataclass(frozen=True, slots=True)
class Skin:
    """How a stream looks over HTTP."""

    content_type: bytes
    prelude: bytes
    heartbeat: bytes
    render: Callable[[Frame], bytes]


SSE = Skin(b"text/event-stream", b"retry: 1000\n\n", b": heartbeat\n\n", lambda frame: frame.sse)
NDJSON = Skin(b"application/x-ndjson", b"", b"\n", lambda frame: frame.ndjson)


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

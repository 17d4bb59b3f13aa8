"""Header blocks of gRPC calls: requests written, responses read.

Requests do not use the dynamic table of HPACK (RFC 7541): a block then depends on nothing that went over the connection
before, so its constant part is made once per method, and the same bytes serve when a call has to be issued again.
The price is up to a few hundred bytes more per call.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from hpack import Decoder, HPACKError

from gateway.h2.frames import ErrorCode, ProtocolError

MAX_HEADER_BYTES = 64 << 10
"""Of a response, as it is counted by MAX_HEADER_LIST_SIZE."""
NO_TABLE = b"\x20"
"""Begins the first block of a connection: its dynamic table has size 0 (RFC 7541 §6.3)."""

Value = str | bytes
Metadata = Iterable[tuple[str, Value]]

_USER_AGENT = b"t2m-gateway"
_METHOD_POST, _SCHEME_HTTP, _SCHEME_HTTPS, _PATH, _AUTHORITY = b"\x83", b"\x86", b"\x87", b"\x04", b"\x01"
_LITERAL, _NEVER_INDEXED = b"\x00", b"\x10"
_SECRET = frozenset({"authorization"})
_MAX_TIMEOUT_MS = 99_999_999
_MAX_KNOWN_BLOCKS = 64
_MAX_KNOWN_BYTES = 16


def request_head(path: str, authority: str, *, secure: bool) -> bytes:
    """The part of a request's block that is the same for all calls of a method."""
    scheme = _SCHEME_HTTPS if secure else _SCHEME_HTTP
    return b"".join(
        (
            _METHOD_POST,
            scheme,
            _PATH + _text(path.encode("ascii")),
            _AUTHORITY + _text(authority.encode("ascii")),
            _LITERAL + _text(b"te") + _text(b"trailers"),
            _LITERAL + _text(b"content-type") + _text(b"application/grpc"),
            _LITERAL + _text(b"user-agent") + _text(_USER_AGENT),
            _LITERAL + _text(b"grpc-accept-encoding") + _text(b"identity"),
        )
    )


@lru_cache(maxsize=256)
def timeout_field(seconds: float) -> bytes:
    """`grpc-timeout`, in milliseconds, rounded up: the server gives up no earlier than we do."""
    milliseconds = min(max(1, math.ceil(seconds * 1000)), _MAX_TIMEOUT_MS)
    return _LITERAL + _text(b"grpc-timeout") + _text(b"%dm" % milliseconds)


def metadata_fields(metadata: Metadata) -> bytes:
    """Raises ValueError for what gRPC does not carry: a name or a value that is not printable ASCII."""
    block = b""
    for name, value in metadata:
        if isinstance(value, bytes):
            if not name.endswith("-bin"):
                raise ValueError(f"metadata {name}: bytes need a name that ends in -bin")
            block += _name(name) + _text(base64.b64encode(value).rstrip(b"="))
        elif value.isascii() and value.isprintable():
            block += _name(name) + _text(value.encode("ascii"))
        else:
            raise ValueError(f"metadata {name}: the value is not printable ASCII")
    return block


@lru_cache(maxsize=256)
def _name(name: str) -> bytes:
    if not name or not name.isascii() or not name.isprintable() or name != name.lower() or name[0] == ":":
        raise ValueError(f"metadata {name!r}: bad name")
    # What is secret is not to be put into anybody's table on the way either (RFC 7541 §7.1.3).
    return (_NEVER_INDEXED if name in _SECRET else _LITERAL) + _text(name.encode())


def _text(text: bytes) -> bytes:
    """A string, not Huffman-coded: its length as an integer with a prefix of 7 bits, and its bytes."""
    size = len(text)
    if size < 127:
        return bytes((size,)) + text
    length, size = bytearray((127,)), size - 127
    while size >= 128:
        length.append(size & 127 | 128)
        size >>= 7
    length.append(size)
    return bytes(length) + text


@dataclass(frozen=True, slots=True)
class Head:
    """A block of a response: its beginning, its trailers, or both in one."""

    http_status: int | None
    content_type: str
    grpc_status: int | None
    grpc_message: str
    metadata: tuple[tuple[str, Value], ...]


class HeadReader:
    """Reads the blocks of one connection, all of them in the order of their coming."""

    def __init__(self) -> None:
        self._decoder = Decoder(max_header_list_size=MAX_HEADER_BYTES)
        self._known: dict[bytes, Head] = {}

    def read(self, block: bytes) -> Head:
        """Raises ProtocolError: what follows cannot be read either."""
        head = self._known.get(block)
        if head is not None:
            return head
        entries = self._decoder.header_table.dynamic_entries
        newest, count = entries[0] if entries else None, len(entries)
        try:
            head = _head(self._decoder.decode(block, raw=True))
        except HPACKError as error:
            raise ProtocolError(ErrorCode.COMPRESSION_ERROR, f"unreadable headers: {error}") from error
        entries = self._decoder.header_table.dynamic_entries
        if count != len(entries) or newest is not (entries[0] if entries else None):
            self._known.clear()
        elif len(block) <= _MAX_KNOWN_BYTES and len(self._known) < _MAX_KNOWN_BLOCKS:
            # It left the table as it was, so it means the same until another one changes it. Servers answer call after
            # call with the same few bytes, and the library takes longer to decode them than all else here together.
            self._known[block] = head
        return head


def _head(fields: Iterable[tuple[bytes, bytes]]) -> Head:
    http_status = grpc_status = None
    content_type = grpc_message = ""
    metadata: list[tuple[str, Value]] = []
    for name, value in fields:
        match name:
            case b":status":
                http_status = int(value) if value.isdigit() else 0
            case b"content-type":
                content_type = value.decode("latin-1")
            case b"grpc-status":
                grpc_status = int(value) if value.isdigit() else -1
            case b"grpc-message":
                grpc_message = unquote_to_bytes(value).decode(errors="replace")
            case _:
                metadata.extend(_metadata(name, value))
    return Head(http_status, content_type, grpc_status, grpc_message, tuple(metadata))


def _metadata(raw_name: bytes, raw: bytes) -> Iterable[tuple[str, Value]]:
    name = raw_name.decode("latin-1")
    if name in ("grpc-encoding", "grpc-accept-encoding") or name.startswith(":"):
        return ()
    if not name.endswith("-bin"):
        return ((name, raw.decode("latin-1")),)
    try:
        # Several values of a binary field may be joined by commas, each with or without its padding.
        return [(name, base64.b64decode(each + b"=" * (-len(each) % 4), validate=True)) for each in raw.split(b",")]
    except binascii.Error:
        return ()

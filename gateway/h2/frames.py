"""Frames of HTTP/2 (RFC 9113 §4 and §6)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES = 9
MAX_STREAM_ID = (1 << 31) - 1
MAX_WINDOW = (1 << 31) - 1
DEFAULT_WINDOW = 65_535
DEFAULT_MAX_FRAME = 16_384

# Kinds of frames; plain numbers, as they are compared for every frame.
DATA = 0
HEADERS = 1
PRIORITY = 2
RST_STREAM = 3
SETTINGS = 4
PUSH_PROMISE = 5
PING = 6
GOAWAY = 7
WINDOW_UPDATE = 8
CONTINUATION = 9

ACK = END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20

# Names of settings.
HEADER_TABLE_SIZE = 1
ENABLE_PUSH = 2
MAX_CONCURRENT_STREAMS = 3
INITIAL_WINDOW_SIZE = 4
MAX_FRAME_SIZE = 5
MAX_HEADER_LIST_SIZE = 6

_HEAD = struct.Struct(">HBBBL")
"""Length (its upper 16 bits and its lower 8), kind, flags, stream."""
_SETTING = struct.Struct(">HL")

pack_head = _HEAD.pack
unpack_head = _HEAD.unpack_from


class ErrorCode(IntEnum):
    """Why a stream or a connection ended (RFC 9113 §7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class ProtocolError(Exception):
    """The peer broke the protocol: the connection is of no more use."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    size = len(payload)
    return pack_head(size >> 8, size & 0xFF, kind, flags, stream) + payload


def settings(values: dict[int, int]) -> bytes:
    """SETTINGS."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(name, value) for name, value in values.items()))


def read_settings(payload: bytes) -> Iterator[tuple[int, int]]:
    """Names and values of SETTINGS. Raises ProtocolError."""
    if len(payload) % _SETTING.size:
        raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of an odd size")
    return _SETTING.iter_unpack(payload)


def window_update(stream: int, increment: int) -> bytes:
    """WINDOW_UPDATE."""
    return frame(WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def reset(stream: int, code: ErrorCode) -> bytes:
    """RST_STREAM."""
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def go_away(code: ErrorCode, reason: str = "") -> bytes:
    """GOAWAY of a client: no stream of the server's was ever opened."""
    return frame(GOAWAY, 0, 0, bytes(4) + code.to_bytes(4, "big") + reason.encode())


def header_frames(stream: int, block: bytes, max_frame: int) -> Iterable[bytes]:
    """HEADERS and, of a block that does not fit, CONTINUATION."""
    pieces = [block[at : at + max_frame] for at in range(0, len(block), max_frame)]
    for index, piece in enumerate(pieces):
        flags = END_HEADERS if index == len(pieces) - 1 else 0
        yield frame(CONTINUATION if index else HEADERS, flags, stream, piece)


def number(payload: bytes, at: int = 0) -> int:
    """The 31-bit number at `at`."""
    return int.from_bytes(payload[at : at + 4], "big") & MAX_STREAM_ID


def unpadded(flags: int, payload: bytes) -> bytes:
    """What DATA or HEADERS carry, without padding and priority. Raises ProtocolError."""
    start, stop = 0, len(payload)
    if flags & PADDED:
        if not payload:
            raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "a padded frame without a length of its padding")
        start, stop = 1, stop - payload[0]
    if flags & WITH_PRIORITY:
        start += 5
    if start > stop:
        raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "more padding than payload")
    return payload[start:stop]

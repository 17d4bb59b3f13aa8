"""Cuts what a server sends into frames, and puts header blocks together (RFC 9113 §4)."""

from __future__ import annotations

import asyncio
from abc import abstractmethod

from gateway.h2 import frames as f
from gateway.h2.frames import ErrorCode, ProtocolError
from gateway.h2.headers import MAX_HEADER_BYTES


class Wire(asyncio.Protocol):
    """The reading half of a connection. It keeps less than one frame and one header block, of a bounded size."""

    def __init__(self) -> None:
        self._unparsed = b""
        self._begun = False
        self._block: bytearray | None = None
        self._block_stream = self._block_flags = self._block_cost = 0

    @abstractmethod
    def on_data(self, flags: int, stream: int, payload: bytes) -> None:
        """DATA, as it came."""

    @abstractmethod
    def on_block(self, flags: int, stream: int, block: bytes) -> None:
        """A whole header block; the flags are those of HEADERS."""

    @abstractmethod
    def on_control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """A frame of another kind, known or not."""

    @abstractmethod
    def on_broken(self, error: ProtocolError) -> None:
        """What came cannot be understood, or one of the other methods has raised it: nothing after it will be read."""

    def data_received(self, data: bytes) -> None:
        """Take all whole frames; the rest, less than one, is kept."""
        if self._unparsed:
            data = self._unparsed + data
        at, end = 0, len(data)
        try:
            while end - at >= f.HEAD_BYTES:
                high, low, kind, flags, stream = f.unpack_head(data, at)
                start = at + f.HEAD_BYTES
                at = start + (high << 8 | low)
                if at - start > f.DEFAULT_MAX_FRAME:
                    raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "a frame larger than allowed, or no HTTP/2 at all")
                if at > end:
                    at = start - f.HEAD_BYTES
                    break
                self._frame(kind, flags, stream & f.MAX_STREAM_ID, data[start:at])
        except ProtocolError as error:
            self._unparsed = b""
            self.on_broken(error)
            return
        self._unparsed = data[at:]

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if self._block is not None:
            self._continue_block(kind, flags, stream, payload)
        elif not self._begun:
            if kind != f.SETTINGS or flags & f.ACK:
                raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "the server did not begin with SETTINGS")
            self._begun = True
            self.on_control(kind, flags, stream, payload)
        elif kind == f.DATA:
            self.on_data(flags, stream, payload)
        elif kind == f.HEADERS:
            if flags & (f.PADDED | f.WITH_PRIORITY):
                payload = f.unpadded(flags, payload)
            if flags & f.END_HEADERS:
                self.on_block(flags, stream, payload)
            else:
                self._block = bytearray(payload)
                self._block_stream, self._block_flags, self._block_cost = stream, flags, len(payload)
        else:
            self.on_control(kind, flags, stream, payload)

    def _continue_block(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if self._block is None or kind != f.CONTINUATION or stream != self._block_stream:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a header block was interrupted")
        self._block += payload
        self._block_cost += f.HEAD_BYTES + len(payload)  # Pieces without a byte come to an end, too.
        if self._block_cost > MAX_HEADER_BYTES:
            raise ProtocolError(ErrorCode.ENHANCE_YOUR_CALM, "a header block larger than allowed")
        if flags & f.END_HEADERS:
            block, self._block = bytes(self._block), None
            self.on_block(self._block_flags, stream, block)

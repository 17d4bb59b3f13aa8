"""Sends requests, within the windows that the server opens (RFC 9113 §5.2).

What is written within one turn of the event loop goes out in one system call: under load that is one for many calls,
and a write to a socket costs as much as everything else that is done for a call here.
"""

from __future__ import annotations

import asyncio

from gateway.h2 import frames as f
from gateway.h2.call import Call
from gateway.h2.frames import ErrorCode, ProtocolError


class Outbox:
    """The sending half of a connection. Nearly every request fits, and goes out in one piece."""

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.WriteTransport) -> None:
        self._loop = loop
        self._transport = transport
        self._written: list[bytes] = []
        self._sending: dict[int, Call] = {}
        """Calls by stream whose message has not gone out as a whole."""
        self._window = self._stream_window = f.DEFAULT_WINDOW
        self._max_frame = f.DEFAULT_MAX_FRAME

    def write(self, data: bytes) -> None:
        """Send with all that is written in this turn of the loop."""
        if not self._written:
            self._loop.call_soon(self.flush)
        self._written.append(data)

    def flush(self) -> None:
        """Send at once."""
        written, self._written = self._written, []
        if written and not self._transport.is_closing():
            self._transport.write(b"".join(written))

    def send(self, call: Call, block: bytes) -> None:
        """Send the header block and as much of the message as may go."""
        message, stream = call.message, call.stream
        size, block_size = len(message), len(block)
        if size <= self._window and size <= self._stream_window and max(size, block_size) <= self._max_frame:
            self._window -= size
            head = f.pack_head(block_size >> 8, block_size & 0xFF, f.HEADERS, f.END_HEADERS, stream)
            data = f.pack_head(size >> 8, size & 0xFF, f.DATA, f.END_STREAM, stream)
            self.write(b"".join((head, block, data, message)))
            return
        self.write(b"".join(f.header_frames(stream, block, self._max_frame)))
        call.window = self._stream_window
        self._sending[stream] = call
        self._go_on(call)

    def drop(self, stream: int) -> bool:
        """Send no more of it; whether there was more to send."""
        return self._sending.pop(stream, None) is not None

    def change_max_frame(self, value: int) -> None:
        """The server's MAX_FRAME_SIZE. Raises ProtocolError."""
        if not f.DEFAULT_MAX_FRAME <= value < 1 << 24:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "MAX_FRAME_SIZE out of range")
        self._max_frame = value

    def change_stream_window(self, value: int) -> None:
        """The server's INITIAL_WINDOW_SIZE, which counts for open streams, too. Raises ProtocolError."""
        if value > f.MAX_WINDOW:
            raise ProtocolError(ErrorCode.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE out of range")
        change, self._stream_window = value - self._stream_window, value
        for call in list(self._sending.values()):
            call.window += change
            self._go_on(call)

    def enlarge(self, increment: int) -> None:
        """WINDOW_UPDATE of the connection. Raises ProtocolError."""
        self._window += increment
        if not increment or self._window > f.MAX_WINDOW:
            raise ProtocolError(ErrorCode.FLOW_CONTROL_ERROR, "WINDOW_UPDATE out of range")
        for call in list(self._sending.values()):
            self._go_on(call)

    def enlarge_stream(self, stream: int, increment: int) -> bool:
        """WINDOW_UPDATE of a stream; False when it is out of range."""
        call = self._sending.get(stream)
        if call is None:
            return increment > 0
        call.window += increment
        if not increment or call.window > f.MAX_WINDOW:
            return False
        self._go_on(call)
        return True

    def _go_on(self, call: Call) -> None:
        message, stream = call.message, call.stream
        while (left := len(message) - call.sent) > 0:
            size = min(left, call.window, self._window, self._max_frame)
            if size <= 0:
                return
            chunk = message[call.sent : call.sent + size]
            self.write(f.frame(f.DATA, f.END_STREAM if size == left else 0, stream, chunk))
            call.sent += size
            call.window -= size
            self._window -= size
        del self._sending[stream]

"""The client's end of one HTTP/2 connection (RFC 9113), as far as unary gRPC calls need it.

A response is held whole in memory, so the window of a stream is as large as a message may be and never updated; what
a server sends beyond one message ends the call. What the peer can make us remember or send is bounded: a frame, a
header block and its pieces, replies that it does not read.
"""

from __future__ import annotations

import asyncio
from typing import cast

import grpc

from gateway.h2 import frames as f
from gateway.h2.call import MAX_MESSAGE_BYTES, Call
from gateway.h2.frames import ErrorCode, ProtocolError
from gateway.h2.headers import MAX_HEADER_BYTES, NO_TABLE, Head, HeadReader
from gateway.h2.keepalive import Keepalive
from gateway.h2.outbox import Outbox
from gateway.h2.owner import Owner
from gateway.h2.statuses import Code, failure, of_foreign, of_reset
from gateway.h2.wire import Wire

_WINDOW = 16 << 20
_MAX_UNREAD_REPLIES = 1000
_SETTINGS = {
    f.ENABLE_PUSH: 0,
    f.INITIAL_WINDOW_SIZE: MAX_MESSAGE_BYTES + f.DEFAULT_WINDOW,
    f.MAX_HEADER_LIST_SIZE: MAX_HEADER_BYTES,
}
_HELLO = f.PREFACE + f.settings(_SETTINGS) + f.window_update(0, _WINDOW - f.DEFAULT_WINDOW)


class Connection(Wire):
    """Carries calls until either side ends it. `ready` is done when the server has introduced itself."""

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: Owner) -> None:
        super().__init__()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.retired = False
        self._loop = loop
        self._owner = owner
        self._transport: asyncio.Transport
        self._outbox: Outbox
        self._calls: dict[int, Call] = {}
        self._max_calls = f.MAX_STREAM_ID
        self._next_stream = 1
        self._reader = HeadReader()
        self._unacknowledged = 0
        self._paused = False
        self._unread_replies = 0
        self._keepalive = Keepalive(loop, self._ping, self._silent)

    # What the channel calls.

    @property
    def free(self) -> bool:
        """Whether a call can be opened now."""
        return len(self._calls) < self._max_calls and not self.retired and not self._paused

    @property
    def busy(self) -> bool:
        """Whether calls are under way."""
        return bool(self._calls)

    def open(self, call: Call) -> None:
        """Send a call; only while `free`."""
        stream = call.stream = self._next_stream
        self._next_stream = stream + 2
        self._calls[stream] = call
        call.holder = self
        block = call.block()
        self._outbox.send(call, block if stream > 1 else NO_TABLE + block)
        self._keepalive.watch()
        if self._next_stream > f.MAX_STREAM_ID:
            self._retire()

    def leave(self, call: Call) -> None:
        """Reset the stream of a call that nobody waits for any more."""
        self._reset(call, ErrorCode.CANCEL)

    def abort(self, code: Code, details: str, error: ErrorCode = ErrorCode.NO_ERROR) -> None:
        """End at once; calls under way fail."""
        if not self._transport.is_closing():
            self._close(error, details)
        self._lose(code, details)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Introduce ourselves."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is no subclass.
        self._outbox = Outbox(self._loop, self._transport)
        self._outbox.write(_HELLO)
        self._owner.begun(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Calls that were not answered are lost: nobody knows how far the server got."""
        self._lose(Code.UNAVAILABLE, f"the connection was lost: {exc or 'closed by the server'}")
        self._owner.lost(self)

    def pause_writing(self) -> None:
        """The socket takes no more."""
        self._paused = True

    def resume_writing(self) -> None:
        """It does again."""
        self._paused, self._unread_replies = False, 0
        self._owner.freed()

    def data_received(self, data: bytes) -> None:
        """Read, unless we have ended it."""
        if not self._transport.is_closing():
            self._keepalive.heard = True
            super().data_received(data)

    # Frames.

    def on_broken(self, error: ProtocolError) -> None:
        """Say so, and end."""
        self.abort(Code.UNAVAILABLE, f"the server broke the protocol: {error}", error.code)

    def on_data(self, flags: int, stream: int, payload: bytes) -> None:
        """A piece of an answer."""
        self._unacknowledged += len(payload)
        if self._unacknowledged > _WINDOW // 2:
            self._reply(f.window_update(0, self._unacknowledged))
            self._unacknowledged = 0
        call = self._call_of(stream)
        if call is None:
            return
        if call.initial is None:
            self._give_up(call, failure(Code.INTERNAL, "data before headers"), ErrorCode.PROTOCOL_ERROR)
            return
        error = call.take(f.unpadded(flags & f.PADDED, payload) if flags & f.PADDED else payload)
        if error is None and flags & f.END_STREAM:
            error = failure(Code.UNKNOWN, "the answer ended without a grpc-status", None, call.initial)
        if error is not None:
            self._give_up(call, error)

    def on_block(self, flags: int, stream: int, block: bytes) -> None:
        """The beginning of an answer, its end, or both."""
        head = self._reader.read(block)  # Also when nobody waits for it: what follows builds on its table.
        call = self._call_of(stream)
        if call is None:
            return
        if flags & f.END_STREAM:
            self._complete(call, head)
        elif call.initial is not None:
            self._give_up(call, failure(Code.INTERNAL, "headers in the middle"), ErrorCode.PROTOCOL_ERROR)
        elif head.http_status == 200 and head.content_type.startswith("application/grpc"):
            call.initial = head
        elif head.http_status is None or not 100 <= head.http_status < 200:  # Those are not the answer yet.
            self._give_up(call, of_foreign(head))

    def on_control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """All but answers. PRIORITY and kinds that nobody knows are passed over (RFC 9113 §4.1)."""
        match kind:
            case f.RST_STREAM:
                self._on_reset(stream, payload)
            case f.SETTINGS:
                self._on_settings(flags, stream, payload)
            case f.PING:
                self._on_ping(flags, stream, payload)
            case f.GOAWAY:
                self._on_go_away(stream, payload)
            case f.WINDOW_UPDATE:
                self._on_window(stream, payload)
            case f.PUSH_PROMISE | f.CONTINUATION:
                raise ProtocolError(ErrorCode.PROTOCOL_ERROR, f"a frame of kind {kind} out of place")

    def _on_reset(self, stream: int, payload: bytes) -> None:
        _expect(4, payload)
        call = self._call_of(stream)
        if call is None:
            return
        self._forget(stream)
        code = int.from_bytes(payload, "big")
        if code == ErrorCode.REFUSED_STREAM:
            self._owner.reissue(call, of_reset(code))
        else:
            call.fail(of_reset(code))
        self._one_less()

    def _on_settings(self, flags: int, stream: int, payload: bytes) -> None:
        if stream or (flags & f.ACK and payload):
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "SETTINGS out of place")
        if flags & f.ACK:
            return
        for name, value in f.read_settings(payload):
            if name == f.MAX_CONCURRENT_STREAMS:
                self._max_calls = value
            elif name == f.INITIAL_WINDOW_SIZE:
                self._outbox.change_stream_window(value)
            elif name == f.MAX_FRAME_SIZE:
                self._outbox.change_max_frame(value)
        self._reply(f.frame(f.SETTINGS, f.ACK, 0))
        if not self.ready.done():
            self.ready.set_result(None)
        self._owner.freed()

    def _on_window(self, stream: int, payload: bytes) -> None:
        _expect(4, payload)
        increment = f.number(payload)
        if not stream:
            self._outbox.enlarge(increment)
            return
        call = self._call_of(stream)
        if call is not None and not self._outbox.enlarge_stream(stream, increment):
            self._give_up(call, failure(Code.INTERNAL, "WINDOW_UPDATE out of range"), ErrorCode.FLOW_CONTROL_ERROR)

    def _on_ping(self, flags: int, stream: int, payload: bytes) -> None:
        _expect(8, payload)
        if stream:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "PING of a stream")
        if not flags & f.ACK:
            self._reply(f.frame(f.PING, f.ACK, 0, payload))

    def _on_go_away(self, stream: int, payload: bytes) -> None:
        if stream or len(payload) < 8:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "GOAWAY out of place")
        last = f.number(payload)
        self._retire()
        for number in [number for number in self._calls if number > last]:
            self._owner.reissue(self._forget(number), failure(Code.UNAVAILABLE, "the server goes away"))
        self._close_if_done()

    # What they have in common.

    def _call_of(self, stream: int) -> Call | None:
        """The call of a stream; None when it is over. Raises ProtocolError."""
        call = self._calls.get(stream)
        if call is None and (stream >= self._next_stream or not stream & 1):
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, f"a frame of stream {stream}, which does not exist")
        return call

    def _complete(self, call: Call, trailers: Head) -> None:
        del self._calls[call.stream]
        if self._outbox.drop(call.stream):
            self._outbox.write(f.reset(call.stream, ErrorCode.NO_ERROR))
        if call.initial is None:
            call.initial = trailers
        call.complete(trailers)
        self._one_less()

    def _reply(self, data: bytes) -> None:
        if self._paused:
            self._unread_replies += 1
            if self._unread_replies > _MAX_UNREAD_REPLIES:
                raise ProtocolError(ErrorCode.ENHANCE_YOUR_CALM, "the server asks and does not read the answers")
        self._outbox.write(data)

    def _give_up(self, call: Call, error: grpc.aio.AioRpcError, code: ErrorCode = ErrorCode.CANCEL) -> None:
        self._reset(call, code)
        call.fail(error)

    def _reset(self, call: Call, code: ErrorCode) -> None:
        if call.stream in self._calls:
            self._forget(call.stream)
            self._outbox.write(f.reset(call.stream, code))
            self._one_less()

    def _forget(self, stream: int) -> Call:
        self._outbox.drop(stream)
        return self._calls.pop(stream)

    def _one_less(self) -> None:
        if self.retired:
            self._close_if_done()
        else:
            self._owner.freed()

    def _retire(self) -> None:
        if not self.retired:
            self.retired = True
            self._owner.ended(self)

    def _close_if_done(self) -> None:
        if not self._calls and not self._transport.is_closing():
            self._close(ErrorCode.NO_ERROR)

    def _close(self, code: ErrorCode, details: str = "") -> None:
        self._outbox.write(f.go_away(code, details))
        self._outbox.flush()
        self._transport.close()

    def _lose(self, code: Code, details: str) -> None:
        self._keepalive.stop()
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(details))
            self.ready.exception()  # Seen, in case nobody waits for it any more.
        calls, self._calls = self._calls, {}
        self._retire()
        for call in calls.values():
            call.holder = None
            call.fail(failure(code, details))

    def _ping(self) -> bool:
        if self._calls:
            self._outbox.write(f.frame(f.PING, 0, 0, bytes(8)))
        return bool(self._calls)

    def _silent(self) -> None:
        self.abort(Code.UNAVAILABLE, "the server does not answer pings")


def _expect(size: int, payload: bytes) -> None:
    if len(payload) != size:
        raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "a frame of the wrong size")

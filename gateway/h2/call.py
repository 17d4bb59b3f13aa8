"""One unary call: a future of the bytes of the answer."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import grpc

from gateway.h2.deadlines import Deadlines, Timed
from gateway.h2.headers import Head, Value, timeout_field
from gateway.h2.statuses import Code, failure, of_trailers

MAX_MESSAGE_BYTES = 8 << 20
_PREFIX_BYTES = 5


class Holder(Protocol):
    """Who has the call in hand: a queue, then a connection."""

    def leave(self, call: Call, /) -> None:
        """The call is over, though nobody has answered it."""
        ...


class Call(asyncio.Future[bytes]):
    """Awaited for the serialised response message, it raises `grpc.aio.AioRpcError`; cancelling it resets the stream.

    A future itself, not a wrapper around one: a task that is cancelled while it awaits the call cancels it, and so no
    callback is needed to hear of that.
    """

    __slots__ = (
        "_body", "_expected", "_queue", "deadline", "fields", "head", "holder", "initial", "message", "reissues",
        "sent", "stream", "timeout_s", "window",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, head: bytes, fields: bytes, message: bytes) -> None:
        super().__init__(loop=loop)
        self.head = head
        self.fields = fields
        self.message = len(message).to_bytes(_PREFIX_BYTES, "big") + message  # Not compressed (0), its length.
        self.timeout_s: float | None = None
        self.deadline = 0.0
        self.holder: Holder | None = None
        self.stream = self.sent = self.window = 0
        self.reissues = 0
        self.initial: Head | None = None
        self._body: bytes | bytearray = b""
        self._expected = -1
        self._queue: dict[Timed, None] | None = None

    def limit(self, timeout_s: float, deadlines: Deadlines) -> None:
        """End after that time."""
        self.timeout_s = timeout_s
        self.deadline = self.get_loop().time() + timeout_s
        self._queue = deadlines.add(self, timeout_s)

    def block(self) -> bytes:
        """The header block of the request, as of now."""
        if self.timeout_s is None:
            return self.head + self.fields
        return self.head + timeout_field(self.timeout_s) + self.fields

    def has_waited(self) -> None:
        """Time has passed since it was made: the server is told what is left of it."""
        if self.timeout_s is not None:
            self.timeout_s = max(0.0, self.deadline - self.get_loop().time())

    def begin_again(self) -> None:
        """Forget what was sent and received: the call is sent anew."""
        self.reissues += 1
        self.sent = 0
        self.initial, self._body, self._expected = None, b"", -1
        self.has_waited()

    def take(self, payload: bytes) -> grpc.aio.AioRpcError | None:
        """More of the answer; what is wrong with it, if anything."""
        if not self._body:
            self._body = payload
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += payload
        if self._expected < 0:
            if len(self._body) < _PREFIX_BYTES:
                return None
            if self._body[0]:
                return failure(Code.INTERNAL, "the message is compressed, which was not asked for")
            size = int.from_bytes(self._body[1:_PREFIX_BYTES], "big")
            if size > MAX_MESSAGE_BYTES:
                return failure(
                    Code.RESOURCE_EXHAUSTED, f"received message larger than max ({size} vs. {MAX_MESSAGE_BYTES})"
                )
            self._expected = _PREFIX_BYTES + size
        if len(self._body) > self._expected:
            return failure(Code.INTERNAL, "more than one message in the answer to a unary call")
        return None

    def complete(self, trailers: Head) -> None:
        """The answer has ended."""
        error = of_trailers(trailers, self.initial)
        if error is None and len(self._body) != self._expected:
            what = "half a message" if self._body else "no message"
            error = failure(Code.INTERNAL, f"{what} in the answer to a unary call", trailers, self.initial)
        if error is not None:
            self.fail(error)
        elif not self.done():
            self._stop_clock()
            self.set_result(bytes(self._body[_PREFIX_BYTES:]))

    def fail(self, error: grpc.aio.AioRpcError) -> None:
        """End with an error. Whoever had the call in hand forgets it before."""
        self._stop_clock()
        if not self.done():
            self.set_exception(error)
            self.exception()  # Seen, in case nobody awaits the call any more.

    def cancel(self, msg: Any = None) -> bool:
        """Nobody wants the answer any more; False when it was there already."""
        if not super().cancel(msg):
            return False
        self._leave()
        return True

    @property
    def received(self) -> tuple[tuple[str, Value], ...]:
        """The initial metadata: what the server said before its answer."""
        return () if self.initial is None else self.initial.metadata

    async def initial_metadata(self) -> tuple[tuple[str, Value], ...]:
        """The same, as `grpc.aio` has it; of a call that has ended."""
        return self.received

    def expire(self) -> None:
        """The deadline has passed."""
        if not self.done():
            self._leave()
            self.fail(failure(Code.DEADLINE_EXCEEDED, "Deadline Exceeded"))

    def _leave(self) -> None:
        self._stop_clock()
        holder, self.holder = self.holder, None
        if holder is not None:
            holder.leave(self)

    def _stop_clock(self) -> None:
        if self._queue is not None:
            self._queue.pop(self, None)
            self._queue = None

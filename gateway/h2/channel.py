"""Keeps a connection to one service, and the calls that wait for it.

States and their meaning are those of gRPC's connectivity-semantics-and-api.md: nothing is connected before the first
call; calls wait while the first attempt runs; after a failed one they fail at once (UNAVAILABLE), while attempts go
on with growing pauses until one succeeds. A connection that was lost is made again by the next call.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import structlog

from gateway.h2.call import Call
from gateway.h2.connection import Connection
from gateway.h2.deadlines import Deadlines
from gateway.h2.headers import Metadata, metadata_fields, request_head
from gateway.h2.statuses import Code, failure
from gateway.h2.targets import Target

log = structlog.get_logger("gateway.h2")

PAUSES_S = (0.1, 1.0)
"""Between attempts to connect: the first, and the longest."""
_GROWTH, _JITTER = 1.6, 0.2
REISSUE_PAUSES_S = (0.01, 0.02, 0.04, 0.08)
"""Of a call that was refused unseen, from the second time on."""
ATTEMPT_S = 5.0
"""For one address: to connect, with TLS, and to hear the server's SETTINGS."""
_UNACKNOWLEDGED_MS = 10_000


class Method:
    """A unary method on raw bytes, as `grpc.aio.Channel.unary_unary` makes one."""

    __slots__ = ("_deadlines", "_head", "_loop", "_submit")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, head: bytes, deadlines: Deadlines, submit: Callable[[Call], None]
    ) -> None:
        self._loop = loop
        self._deadlines = deadlines
        self._head = head
        self._submit = submit

    def __call__(self, request: bytes, *, timeout: float | None = None, metadata: Metadata | None = None) -> Call:
        """Begin a call; `timeout` in seconds. Raises UsageError on a closed channel, ValueError of bad metadata."""
        call = Call(self._loop, self._head, metadata_fields(metadata) if metadata else b"", request)
        if timeout is not None:
            call.limit(timeout, self._deadlines)
        self._submit(call)
        return call


class Channel:
    """Unary calls to one target. Belongs to the event loop that it was made in."""

    def __init__(self, target: Target, tls: ssl.SSLContext | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadlines = Deadlines(self._loop)
        self._target = target
        self._tls = tls
        self._waiting: dict[Call, None] = {}  # In the order of their coming; who leaves is found at once.
        self._connection: Connection | None = None
        self._open: set[Connection] = set()
        self._dialling: asyncio.Task[None] | None = None
        self._failure: str | None = None
        self._resting: set[Call] = set()
        self._closed = False
        self._idle = asyncio.Event()

    def unary_unary(self, path: str) -> Method:
        """The method `/package.Service/Method`."""
        head = request_head(path, self._target.authority, secure=self._tls is not None)
        return Method(self._loop, head, self._deadlines, self._submit)

    async def close(self, grace: float | None = None) -> None:
        """Take no more calls, wait `grace` seconds for those under way, cut off the rest."""
        self._closed = True
        if grace and self._busy():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await self._idle.wait()
        if self._dialling is not None:
            self._dialling.cancel()
        self._refuse_waiting(Code.CANCELLED, "the channel was closed")
        for connection in list(self._open):
            connection.abort(Code.CANCELLED, "the channel was closed")
        self._deadlines.close()

    # Calls.

    def _submit(self, call: Call) -> None:
        if self._closed:
            call.cancel()
            raise grpc.aio.UsageError("the channel is closed")
        self._send(call)

    def _send(self, call: Call) -> None:
        connection = self._connection
        if connection is not None and connection.free and not self._waiting:
            connection.open(call)
        elif connection is None and self._failure is not None:
            call.fail(failure(Code.UNAVAILABLE, self._failure))
        else:
            self._waiting[call] = None
            call.holder = self
            self._connect()

    def leave(self, call: Call) -> None:
        """A call that waits has been cancelled, or its time is up."""
        self._waiting.pop(call, None)
        self._resting.discard(call)
        self._look_idle()

    def _refuse_waiting(self, code: Code, details: str) -> None:
        waiting = [*self._waiting, *self._resting]
        self._waiting.clear()
        self._resting.clear()
        for call in waiting:
            call.holder = None
            call.fail(failure(code, details))
        self._look_idle()

    # What a connection tells.

    def begun(self, connection: Connection) -> None:
        """The connection is there."""
        self._open.add(connection)

    def freed(self) -> None:
        """Let in who waits."""
        while self._waiting and (connection := self._connection) is not None and connection.free:
            call = next(iter(self._waiting))
            del self._waiting[call]
            call.has_waited()
            connection.open(call)
        if self._closed:
            self._look_idle()

    def reissue(self, call: Call, refusal: grpc.aio.AioRpcError) -> None:
        """The server has not looked at the call: it is sent again, at once (gRFC A6), then after growing pauses.

        More than once, because a server counts a stream that it has answered until it has noticed so: it refuses who
        comes for that place, and may do so again.
        """
        call.holder = None
        if call.done():
            return
        if call.reissues > len(REISSUE_PAUSES_S):
            call.fail(refusal)
            return
        call.begin_again()
        if call.reissues == 1:
            self._send(call)
        else:
            self._resting.add(call)
            call.holder = self
            self._loop.call_later(REISSUE_PAUSES_S[call.reissues - 2], self._send_rested, call)

    def _send_rested(self, call: Call) -> None:
        if call in self._resting:
            self._resting.discard(call)
            call.holder = None
            call.has_waited()
            self._send(call)
            self._look_idle()

    def ended(self, connection: Connection) -> None:
        """The connection takes no more calls; those that wait need another one."""
        if connection is self._connection:
            self._connection = None
            if self._waiting:
                self._connect()

    def lost(self, connection: Connection) -> None:
        """The connection is gone."""
        self._open.discard(connection)
        self._look_idle()

    def _busy(self) -> bool:
        return bool(self._waiting or self._resting) or any(connection.busy for connection in self._open)

    def _look_idle(self) -> None:
        if self._closed and not self._busy():
            self._idle.set()

    # The way to a connection.

    def _connect(self) -> None:
        if self._connection is None and self._dialling is None:
            self._dialling = self._loop.create_task(self._dial(), name=f"dial {self._target.authority}")

    async def _dial(self) -> None:
        """Until there is a connection."""
        pause_s, authority = PAUSES_S[0], self._target.authority
        while True:
            try:
                self._connection = await self._first_that_answers()
            except Exception as error:  # Whatever it is, nobody is to wait for it in vain, and it may pass.
                reason = str(error) or type(error).__name__
                if self._failure is None:
                    log.warning("backend.unreachable", target=authority, reason=reason)
                self._failure = f"failed to connect to {authority}: {reason}"
                self._refuse_waiting(Code.UNAVAILABLE, self._failure)
                await asyncio.sleep(pause_s * random.uniform(1 - _JITTER, 1 + _JITTER))
                pause_s = min(pause_s * _GROWTH, PAUSES_S[1])
            else:
                if self._failure is not None:
                    log.info("backend.reachable", target=authority)
                self._dialling = self._failure = None
                self.freed()
                return

    async def _first_that_answers(self) -> Connection:
        """A connection to the first address that takes one. Raises OSError, UnicodeError of a host name."""
        if self._target.unix_path:
            return await self._attempt("localhost", ())
        error: OSError = OSError("the name has no address")
        for host, port in self._target.hosts:
            for *_, address in await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                try:
                    return await self._attempt(host, address)
                except OSError as failed:
                    error = failed
        raise error

    async def _attempt(self, host: str, address: Sequence[Any]) -> Connection:
        async with asyncio.timeout(ATTEMPT_S):
            name = host if self._tls is not None else None
            if address:
                transport, connection = await self._loop.create_connection(
                    self._made, *address[:2], ssl=self._tls, server_hostname=name
                )
            else:
                transport, connection = await self._loop.create_unix_connection(
                    self._made, self._target.unix_path, ssl=self._tls, server_hostname=name
                )
            try:
                _prepare(transport, tcp=bool(address))
                await connection.ready
                if connection.retired:
                    raise ConnectionError("the server goes away")
            except BaseException:
                transport.abort()
                raise
        return connection

    def _made(self) -> Connection:
        return Connection(self._loop, self)


def _prepare(transport: asyncio.Transport, *, tcp: bool) -> None:
    """Raises ConnectionError when the server does not speak HTTP/2."""
    tls = transport.get_extra_info("ssl_object")
    if tls is not None and tls.selected_alpn_protocol() != "h2":
        raise ConnectionError("the server does not speak HTTP/2")
    if tcp:
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # What the other machine's kernel has not taken in that time tells that the machine is gone.
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)

"""A real HTTP server that plays a user's receiver of webhooks, well-behaved or not."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from standardwebhooks import Webhook

DEADLINE_S = 20.0
_LINGER_OFF = struct.pack("ii", 1, 0)
Conduct = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Received:
    """A request that came."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> dict[str, Any]:
        """The body, without a look at its signature."""
        message: dict[str, Any] = json.loads(self.body)
        return message

    @property
    def webhook_id(self) -> str:
        """The id of the message."""
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> dict[str, Any]:
        """The body, once the package of the specification has verified it."""
        message: dict[str, Any] = Webhook(secret).verify(self.body, self.headers)
        return message


def answering(status: int, *headers: str, body: bytes = b"") -> Conduct:
    """Answers at once."""

    async def conduct(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} Whatever", f"content-length: {len(body)}", *headers, "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()

    return conduct


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Never answers; waits until the sender hangs up."""
    await reader.read()


async def resetting(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Resets the connection in place of an answer."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_OFF)
    writer.transport.abort()


def dripping(start: bytes, drop: bytes, every_s: float = 0.05) -> Conduct:
    """Begins to answer, and goes on by a few bytes for as long as the sender listens."""

    async def conduct(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        with suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(drop)
                await writer.drain()
                with suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1), every_s)

    return conduct


class Receiver:
    """The server; `conduct` is how it treats the next request. May be stopped and started at the same address."""

    def __init__(self, conduct: Conduct | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.conduct = conduct or answering(204)
        self.received: list[Received] = []
        self.port = 0
        self._tls = tls
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._calls: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hook"

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Vanish, with every open connection."""
        if self._server is not None:
            self._server.close()
            for call in self._calls:
                call.cancel()
            await asyncio.gather(*self._calls, return_exceptions=True)
            await self._server.wait_closed()
            self._server = None

    async def wait_for(self, count: int) -> list[Received]:
        """What has come, once that is so much."""
        async with asyncio.timeout(DEADLINE_S), self._changed:
            await self._changed.wait_for(lambda: len(self.received) >= count)
        return list(self.received)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = asyncio.current_task()
        assert call is not None
        self._calls.add(call)
        try:
            await self._read(reader)
            await self.conduct(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._calls.discard(call)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        async with self._changed:
            self.received.append(Received(head[0], headers, body))
            self._changed.notify_all()


@asynccontextmanager
async def receiver(conduct: Conduct | None = None, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Receiver]:
    """A receiver that listens."""
    server = Receiver(conduct, tls)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()

"""A TCP proxy between two processes, which can be told to behave like a bad network."""

from __future__ import annotations

import asyncio
import contextlib
from enum import StrEnum

_CHUNK = 64 * 1024


class Weather(StrEnum):
    """What the network does."""

    FAIR = "fair"
    DELAY = "delay"
    """Every chunk arrives late, in both directions."""
    CUT = "cut"
    """Connections are reset, new ones too."""
    HALF_CLOSE = "half_close"
    """The client of every open connection reads its end while what it sends still arrives; new ones are whole."""
    BLACKHOLE = "blackhole"
    """Nothing arrives and nobody is told; what was held back arrives once the weather is fair again, as by TCP."""


class Link:
    """One address that leads to another. Belongs to the event loop that started it."""

    def __init__(self, name: str, upstream: str) -> None:
        """`upstream` is host:port; `name` is for people."""
        self.name = name
        self._host, _, port = upstream.rpartition(":")
        self._port = int(port)
        self._server: asyncio.Server | None = None
        self._weather = Weather.FAIR
        self._delay_s = 0.0
        self._open = asyncio.Event()
        self._open.set()
        self._clients: set[asyncio.StreamWriter] = set()
        self._pairs: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """host:port to connect to; known once started."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    @property
    def connections(self) -> int:
        """Open right now."""
        return len(self._clients)

    async def start(self) -> None:
        """Listen on a free loopback port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def close(self) -> None:
        """Stop listening and reset what is open."""
        assert self._server is not None
        self._server.close()
        self.set(Weather.CUT)
        for pair in self._pairs:
            pair.cancel()
        await asyncio.gather(*self._pairs, return_exceptions=True)

    def set(self, weather: Weather, *, delay_s: float = 0.3) -> None:
        """Change the weather now; `delay_s` is for `DELAY`, per chunk and direction."""
        self._weather = weather
        self._delay_s = delay_s if weather is Weather.DELAY else 0.0
        if weather is Weather.BLACKHOLE:
            self._open.clear()
        else:
            self._open.set()
        if weather is Weather.CUT:
            for client in list(self._clients):
                client.transport.abort()
        if weather is Weather.HALF_CLOSE:
            for client in list(self._clients):
                with contextlib.suppress(OSError, RuntimeError):
                    client.write_eof()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._weather is Weather.CUT:
            writer.transport.abort()
            return
        pair = asyncio.current_task()
        assert pair is not None
        self._pairs.add(pair)
        self._clients.add(writer)
        try:
            await self._join(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # one end is gone: so is the connection
        finally:
            self._pairs.discard(pair)
            self._clients.discard(writer)
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry both directions until both have ended."""
        await self._open.wait()
        their_reader, their_writer = await asyncio.open_connection(self._host, self._port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(reader, their_writer))
                group.create_task(self._carry(their_reader, writer))
        except* OSError as errors:
            raise ConnectionError(self.name) from errors
        finally:
            their_writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            await self._open.wait()
            if not _ended(writer):  # half-closed by us: the rest is lost, the other direction goes on
                writer.write(data)
                await writer.drain()
        await self._open.wait()
        if not _ended(writer) and writer.can_write_eof():
            writer.write_eof()


def _ended(writer: asyncio.StreamWriter) -> bool:
    """Whether `write_eof` was called or the connection is gone; asyncio keeps the former to itself."""
    return writer.transport.is_closing() or bool(getattr(writer.transport, "_eof", False))

"""A TCP relay that breaks connections off in the middle of what comes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable


class CuttingProxy:
    """Each connection is cut after as many bytes from the server as the next of `cuts` says; later ones are whole."""

    def __init__(self, port: int, cuts: Iterable[int]) -> None:
        self._port = port
        self._cuts = list(cuts)
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.port = 0

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self.port}"

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        left = self._cuts.pop(0) if self._cuts else None
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._port)
        sending = asyncio.create_task(_relayed(reader, up_writer))
        try:
            while left is None or left > 0:
                data = await up_reader.read(65536 if left is None else left)
                if not data:
                    break
                left = None if left is None else left - len(data)
                writer.write(data)
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            sending.cancel()
            for end in (writer, up_writer):
                end.transport.abort()


async def _relayed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


@contextlib.asynccontextmanager
async def cutting_proxy(port: int, *cuts: int) -> AsyncIterator[CuttingProxy]:
    """In front of a local port."""
    proxy = CuttingProxy(port, cuts)
    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()

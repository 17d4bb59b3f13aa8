"""A server that speaks clamd's INSTREAM, scripted by the test; it knows one signature."""

from __future__ import annotations

import asyncio
import struct
from typing import Self

from tests.fakes.sample_files import EICAR


class ScriptedClamd:
    """Listens on loopback. `answer` replaces what it would say; `mute` says nothing; `limit` is its StreamMaxLength."""

    def __init__(self) -> None:
        self.answer: bytes | None = None
        self.mute = False
        self.limit = 1 << 30
        self.scans = 0
        self._port = 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    @property
    def address(self) -> str:
        """Where it listens, also after a restart."""
        return f"127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no more, and break off what is open."""
        if self._server is not None:
            self._server.close()
            for writer in self._connections:
                writer.close()
            await self._server.wait_closed()
            self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            answer = await self._scan(reader)
            if self.mute:
                await reader.read()  # until the client has had enough
            else:
                writer.write(answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._connections.discard(writer)
            writer.close()

    async def _scan(self, reader: asyncio.StreamReader) -> bytes:
        command = await reader.readexactly(10)
        assert command == b"zINSTREAM\0", command
        data = bytearray()
        while length := struct.unpack(">I", await reader.readexactly(4))[0]:
            data += await reader.readexactly(length)
            if len(data) > self.limit:
                return b"INSTREAM size limit exceeded. ERROR\0"
        self.scans += 1
        if self.answer is not None:
            return self.answer
        return b"stream: Eicar-Test-Signature FOUND\0" if EICAR in data else b"stream: OK\0"

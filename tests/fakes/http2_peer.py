"""A server that speaks as much HTTP/2 as a test scripts, well or badly: real sockets, frames made by hand."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from hpack import Decoder, Encoder

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 8, 9
END_STREAM = ACK = 1
END_HEADERS, PADDED = 4, 8
OK_HEAD = ((":status", "200"), ("content-type", "application/grpc"))


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return len(payload).to_bytes(3, "big") + struct.pack(">BBL", kind, flags, stream) + payload


def setting(name: int, value: int) -> bytes:
    """One parameter of SETTINGS."""
    return struct.pack(">HL", name, value)


@dataclass
class Ask:
    """A request that has arrived as a whole."""

    stream: int
    fields: dict[str, str]
    message: bytes


@dataclass
class Peer:
    """One connection of a client."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    frames: list[tuple[int, int, int, bytes]] = field(default_factory=list)
    _encoder: Encoder = field(default_factory=Encoder)
    _decoder: Decoder = field(default_factory=Decoder)

    def send(self, *parts: bytes) -> None:
        """Send as it is."""
        self.writer.write(b"".join(parts))

    def block(self, *fields: tuple[str, str]) -> bytes:
        """A header block."""
        return self._encoder.encode(fields)

    def head(self, stream: int, *fields: tuple[str, str]) -> bytes:
        """The beginning of an answer."""
        return frame(HEADERS, END_HEADERS, stream, self.block(*(fields or OK_HEAD)))

    def message(self, stream: int, content: bytes = b"answer") -> bytes:
        """A message of it."""
        return frame(DATA, 0, stream, b"\0" + len(content).to_bytes(4, "big") + content)

    def trailers(self, stream: int, *fields: tuple[str, str]) -> bytes:
        """Its end."""
        return frame(HEADERS, END_HEADERS | END_STREAM, stream, self.block(*(fields or (("grpc-status", "0"),))))

    def answer(self, stream: int, content: bytes = b"answer") -> None:
        """Answer well."""
        self.send(self.head(stream), self.message(stream, content), self.trailers(stream))

    async def frame(self) -> tuple[int, int, int, bytes]:
        """The client's next frame. Raises IncompleteReadError."""
        head = await self.reader.readexactly(9)
        kind, flags, stream = struct.unpack(">BBL", head[3:])
        payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
        self.frames.append((kind, flags, stream, payload))
        return kind, flags, stream, payload

    async def until(self, kind: int, flags: int = 0) -> tuple[int, int, int, bytes]:
        """The client's next frame of that kind, with those flags at least."""
        while True:
            got = await self.frame()
            if got[0] == kind and got[1] & flags == flags:
                return got

    async def ask(self) -> Ask:
        """The client's next request."""
        block = message = b""
        fields: dict[str, str] = {}
        while True:
            kind, flags, stream, payload = await self.frame()
            if kind in (HEADERS, CONTINUATION):
                block += payload
                if flags & END_HEADERS:
                    fields = {str(name): str(value) for name, value in self._decoder.decode(block)}
            elif kind == DATA:
                message += payload
                if flags & END_STREAM:
                    return Ask(stream, fields, message[5:])


Script = Callable[[Peer], Awaitable[None]]


@asynccontextmanager
async def scripted(
    script: Script, *, hello: Sequence[bytes] | None = None, settings: bytes = b""
) -> AsyncIterator[str]:
    """The address of a server that runs the script with each client, after `hello`, by default SETTINGS. A connection
    stays open when its script has ended; when one fails, so does the test.
    """
    errors: list[BaseException] = []
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        try:
            assert await reader.readexactly(len(PREFACE)) == PREFACE
            writer.write(b"".join([frame(SETTINGS, 0, 0, settings)] if hello is None else hello))
            peer = Peer(reader, writer, number)
            await script(peer)
            while not reader.at_eof():
                await peer.frame()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # The client, or the test, has had enough.
        except BaseException as error:
            errors.append(error)
        finally:
            writer.close()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(serve(reader, writer, len(tasks))))

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if errors:
        raise errors[0]

"""`MalwareScanner` by clamd: its INSTREAM command over TCP or a Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from services.storage.domain.errors import ScannerUnavailable

_COMMAND = b"zINSTREAM\0"
_LENGTH = struct.Struct(">I")
_PREFIX, _CLEAN, _FOUND = b"stream: ", b"OK", b" FOUND"
_MAX_ANSWER = 4096
_MAX_NAME = 200


class ClamdScanner:
    """One connection for each scan. What is no clear answer is none: nothing is taken for clean by mistake.

    clamd's `StreamMaxLength` must not be less than the largest file of any plan, or such files cannot be scanned.
    """

    def __init__(self, address: str, timeout_s: float = 60.0) -> None:
        """`address` is `host:port` or `unix:/path`; a whole scan may take `timeout_s`. Raises ValueError."""
        self._path = address.removeprefix("unix:") if address.startswith("unix:") else ""
        self._host, _, port = ("", "", "0") if self._path else address.rpartition(":")
        if not self._path and not (self._host and port.isdigit()):
            raise ValueError(f"neither host:port nor unix:/path: {address!r}")
        self._port = int(port)
        self._timeout_s = timeout_s

    async def scan(self, chunks: AsyncIterator[bytes]) -> str | None:
        """See `MalwareScanner.scan`."""
        deadline = asyncio.timeout(self._timeout_s)
        try:
            async with deadline, self._connection() as (reader, writer):
                return _verdict(await _exchange(reader, writer, chunks))
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise ScannerUnavailable("the malware scanner does not answer in time") from error

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        try:
            if self._path:
                reader, writer = await asyncio.open_unix_connection(self._path, limit=_MAX_ANSWER)
            else:
                reader, writer = await asyncio.open_connection(self._host, self._port, limit=_MAX_ANSWER)
        except OSError as error:
            raise ScannerUnavailable("the malware scanner cannot be reached") from error
        try:
            yield reader, writer
        finally:
            writer.close()


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chunks: AsyncIterator[bytes]) -> bytes:
    """clamd's answer; empty when it has broken off."""
    # It may answer and close before it has everything, when it is too much: then the answer is there to be read.
    with contextlib.suppress(ConnectionError):
        writer.write(_COMMAND)
        async for chunk in chunks:
            if chunk:  # a length of 0 is the end
                writer.write(_LENGTH.pack(len(chunk)) + chunk)
                await writer.drain()
        writer.write(_LENGTH.pack(0))
        await writer.drain()
    try:
        return (await reader.readuntil(b"\0"))[:-1]
    except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return b""


def _verdict(answer: bytes) -> str | None:
    verdict = answer.removeprefix(_PREFIX)
    if verdict == _CLEAN:
        return None
    if verdict.endswith(_FOUND):
        name = verdict.removesuffix(_FOUND).decode("utf-8", "replace")
        return "".join(mark for mark in name if mark.isprintable())[:_MAX_NAME] or "unnamed"
    said = ascii(answer[:_MAX_NAME].decode("latin-1")) if answer else "nothing"
    raise ScannerUnavailable(f"the malware scanner could not scan the file: it answered {said}")

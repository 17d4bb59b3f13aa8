"""An asynchronous stream of chunks as the file that boto3 uploads from."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError, Future

from services.storage.adapters.hashing import BackgroundSha256

_AT_ONCE = 1024 * 1024
"""Bytes to gather before the reading thread is woken: each time costs as much as sending a good part of them."""


class Feed:
    """Read in one thread, filled from the event loop: nobody reads further ahead of what is sent than one chunk."""

    def __init__(self, chunks: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> None:
        self.size = 0
        self.failure: BaseException | None = None
        """What `chunks` has raised; boto3 may hide it behind an error of its own."""
        self._chunks = chunks
        self._loop = loop
        self._hash = BackgroundSha256()
        self._ready: deque[bytes | memoryview] = deque()
        self._ready_bytes = 0
        self._ended = False
        self._stopped = False
        self._waiting: Future[list[bytes]] | None = None

    @property
    def sha256(self) -> str:
        """Of everything that was read."""
        return self._hash.hexdigest()

    def read(self, size: int = -1) -> bytes:
        """Fewer bytes than asked for only at the end. Called in a thread; raises what the chunks raise."""
        self._fill(size)
        taken = self._take(self._ready_bytes if size < 0 else min(size, self._ready_bytes))
        self.size += len(taken)
        return taken

    def ends_within(self, size: int) -> bool:
        """Whether no more than so many bytes are left, which are in memory then. Called in a thread, as `read`."""
        self._fill(size + 1)
        return self._ended and self._ready_bytes <= size

    def close(self) -> None:
        """Give the hashing thread back."""
        self._hash.close()

    def stop(self) -> None:
        """Called on the loop: the next read, and one that waits, raise CancelledError."""
        self._stopped = True
        if self._waiting is not None:
            self._waiting.cancel()

    def _fill(self, size: int) -> None:
        while not self._ended and (size < 0 or self._ready_bytes < size):
            wanted = _AT_ONCE if size < 0 else min(size - self._ready_bytes, _AT_ONCE)
            for chunk in self._next(wanted):
                self._hash.update(chunk)
                self._ready.append(chunk)
                self._ready_bytes += len(chunk)

    def _take(self, size: int) -> bytes:
        taken: list[bytes | memoryview] = []
        self._ready_bytes -= size
        while size:
            chunk = self._ready.popleft()
            if len(chunk) > size:
                view = memoryview(chunk)
                self._ready.appendleft(view[size:])
                chunk = view[:size]
            taken.append(chunk)
            size -= len(chunk)
        return b"".join(taken)

    def _next(self, wanted: int) -> list[bytes]:
        if self._stopped:
            raise CancelledError
        self._waiting = asyncio.run_coroutine_threadsafe(self._pull(wanted), self._loop)
        if self._stopped:
            self._waiting.cancel()
        try:
            return self._waiting.result()
        except BaseException as error:
            self.failure = self.failure or error
            raise

    async def _pull(self, wanted: int) -> list[bytes]:
        """Chunks of at least so many bytes in all, fewer at the end."""
        chunks: list[bytes] = []
        while wanted > 0:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                self._ended = True
                break
            chunks.append(chunk)
            wanted -= len(chunk)
        return chunks

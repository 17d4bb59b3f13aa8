"""An asynchronous stream of chunks as the file that boto3 uploads from."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError, Future


class Feed:
    """Read in one thread, filled from the event loop, one chunk at a time: nobody reads ahead of what is sent."""

    def __init__(self, chunks: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> None:
        self.size = 0
        self.failure: BaseException | None = None
        """What `chunks` has raised; boto3 may hide it behind an error of its own."""
        self._chunks = chunks
        self._loop = loop
        self._hash = hashlib.sha256()
        self._rest = bytearray()
        self._ended = False
        self._stopped = False
        self._waiting: Future[bytes | None] | None = None

    @property
    def sha256(self) -> str:
        """Of everything that was read."""
        return self._hash.hexdigest()

    def read(self, size: int = -1) -> bytes:
        """Fewer bytes than asked for only at the end. Called in a thread; raises what the chunks raise."""
        while not self._ended and (size < 0 or len(self._rest) < size):
            chunk = self._next()
            if chunk is None:
                self._ended = True
            else:
                self._rest += chunk
        taken = bytes(self._rest if size < 0 else self._rest[:size])
        del self._rest[: len(taken)]
        self._hash.update(taken)
        self.size += len(taken)
        return taken

    def stop(self) -> None:
        """Called on the loop: the next read, and one that waits, raise CancelledError."""
        self._stopped = True
        if self._waiting is not None:
            self._waiting.cancel()

    def _next(self) -> bytes | None:
        if self._stopped:
            raise CancelledError
        self._waiting = asyncio.run_coroutine_threadsafe(self._pull(), self._loop)
        if self._stopped:
            self._waiting.cancel()
        try:
            return self._waiting.result()
        except BaseException as error:
            self.failure = self.failure or error
            raise

    async def _pull(self) -> bytes | None:
        return await anext(self._chunks, None)

"""`BlobStore` on a local file system: the embedded default."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from services.storage.adapters.filesystem import disk
from services.storage.application.ports import Presentation
from services.storage.domain.errors import StorageError
from services.storage.domain.keys import BucketNames
from services.storage.domain.objects import BlobAddress, BlobReceipt

T = TypeVar("T")

READ_CHUNK = 128 * 1024
_WRITE_BATCH = 1024 * 1024


class FilesystemBlobStore:
    """Files `{root}/{bucket name}/{key}`, written beside their name and renamed when they are whole.

    All disk work runs in a few threads of its own, so a slow disk delays neither the event loop nor other
    users of the loop's default executor, and at most `threads` operations load the disk at once.
    """

    def __init__(self, root: Path, buckets: BucketNames, threads: int = 8) -> None:
        self._root = root.absolute()
        self._buckets = buckets
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="disk")

    def close(self) -> None:
        """Wait for the threads to end."""
        self._executor.shutdown()

    async def put(
        self,
        address: BlobAddress,
        chunks: AsyncIterator[bytes],
        *,
        content_type: str,  # the port's; a file has no place for it, the object's row has
    ) -> BlobReceipt:
        """See `BlobStore.put`. The content type stays in the object's row."""
        part = disk.PartFile(self._path(address), self._root)
        try:
            await self._run(part.open)
            await self._write(part, chunks)
            return await self._run(part.publish)
        except BaseException:
            with contextlib.suppress(StorageError):  # the first error counts; the sweep removes what is left
                await self._run(part.abandon)
            raise

    async def read(self, address: BlobAddress, offset: int, length: int) -> AsyncGenerator[bytes]:
        """See `BlobStore.read`. An object deleted meanwhile is read to its end: the file stays open."""
        file = disk.RangeFile(self._path(address))
        try:
            await self._run(file.open)
            end = offset + length
            while offset < end:
                wanted = min(READ_CHUNK, end - offset)
                # What is in memory is copied in less time than a thread takes to wake.
                data = file.read_cached(offset, wanted) or await self._run(file.read, offset, wanted)
                offset += len(data)
                yield data
                await asyncio.sleep(0)  # others have their turn, however fast this one is read
        finally:
            await self._run(file.close)

    async def head(self, address: BlobAddress) -> int | None:
        """See `BlobStore.head`."""
        return await self._run(disk.size_of, self._path(address))

    async def delete(self, address: BlobAddress) -> None:
        """See `BlobStore.delete`."""
        await self._run(disk.remove, self._path(address), self._root)

    async def presign(
        self,
        address: BlobAddress,  # the port's, as are the rest
        *,
        expires_at: datetime,
        content_type: str,
        presentation: Presentation,
    ) -> str | None:
        """None: files are served through `ReadObject`."""
        return None

    async def _write(self, part: disk.PartFile, chunks: AsyncIterator[bytes]) -> None:
        """The next chunks are taken while the last ones are written."""
        writing: asyncio.Future[None] | None = None
        async for batch in _batches(chunks):
            if writing is not None:
                await writing
            writing = asyncio.ensure_future(self._run(part.append, batch))
            writing.add_done_callback(_forget)
        if writing is not None:
            await writing

    def _path(self, address: BlobAddress) -> Path:
        return disk.locate(self._root, self._buckets.of(address.bucket), address.key)

    async def _run(self, work: Callable[..., T], *args: object) -> T:
        """Run disk work in a thread and wait for it even when cancelled.

        A thread cannot be interrupted: going on while it still writes would close its descriptor under it.
        """
        future = asyncio.get_running_loop().run_in_executor(self._executor, lambda: work(*args))
        cancelled: asyncio.CancelledError | None = None
        while not future.done():
            try:
                await asyncio.wait({future})
            except asyncio.CancelledError as exc:
                cancelled = exc
        if cancelled is not None:
            future.exception()  # retrieved, so that it is not reported as forgotten
            raise cancelled
        return future.result()


async def _batches(chunks: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """Chunks together, so that a thread is not woken for a few bytes."""
    batch: list[bytes] = []
    size = 0
    async for chunk in chunks:
        if chunk:
            batch.append(chunk)
            size += len(chunk)
        if size >= _WRITE_BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _forget(writing: asyncio.Future[None]) -> None:
    """Retrieve a failure that nobody waits for any more, because another one was first."""
    if not writing.cancelled():
        writing.exception()

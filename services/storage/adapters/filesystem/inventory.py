"""`BlobInventory` on a local file system."""

from __future__ import annotations

import asyncio
import itertools
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from services.storage.adapters.filesystem import disk
from services.storage.application.inventory import BlobPage, FoundBlob
from services.storage.domain.keys import BucketNames
from services.storage.domain.objects import BlobAddress, Bucket

T = TypeVar("T")


class FilesystemInventory:
    """Walks the folder of a bucket; symbolic links are listed, never followed. An unfinished upload is a `.part` file.

    One walk at a time is enough for a sweep: it uses the loop's own threads.
    """

    def __init__(self, root: Path, buckets: BucketNames) -> None:
        self._root = root.absolute()
        self._buckets = buckets

    async def page(self, bucket: Bucket, after: str, limit: int) -> BlobPage:
        """See `BlobInventory.page`."""
        return await self._run(lambda: self._page(bucket, after, limit))

    async def unfinished(self, bucket: Bucket, limit: int) -> Sequence[FoundBlob]:
        """See `BlobInventory.unfinished`."""
        return await self._run(lambda: list(itertools.islice(self._parts(bucket), limit)))

    async def discard_unfinished(self, address: BlobAddress) -> None:
        """See `BlobInventory.discard_unfinished`."""
        path = disk.locate(self._root, self._buckets.of(address.bucket), address.key)
        await self._run(lambda: disk.remove(path.with_name(path.name + disk.PART_SUFFIX), self._root))

    def _page(self, bucket: Bucket, after: str, limit: int) -> BlobPage:
        whole = (found for found in self._walk(bucket, after) if not found.key.endswith(disk.PART_SUFFIX))
        page = list(itertools.islice(whole, limit))
        return BlobPage(page, page[-1].key if len(page) == limit else None)

    def _parts(self, bucket: Bucket) -> Iterator[FoundBlob]:
        for found in self._walk(bucket, ""):
            if found.key.endswith(disk.PART_SUFFIX):
                yield FoundBlob(found.key.removesuffix(disk.PART_SUFFIX), found.size_bytes, found.modified_at)

    def _walk(self, bucket: Bucket, after: str) -> Iterator[FoundBlob]:
        with disk.translated():
            yield from _files(self._root / self._buckets.of(bucket), "", _order(after))

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(None, work)


def _order(key: str) -> bytes:
    """Keys are sorted by their bytes; a name that is no UTF-8 on the disk keeps its own."""
    return os.fsencode(key)


def _files(folder: Path, prefix: str, after: bytes) -> Iterator[FoundBlob]:
    """Everything below that is no folder, sorted by whole key, without what sorts up to `after`."""
    try:
        with os.scandir(folder) as entries:
            # A folder sorts as its keys do: with the slash.
            named = [(prefix + entry.name + ("/" if _is_folder(entry) else ""), entry) for entry in entries]
    except (FileNotFoundError, NotADirectoryError):  # never made, or removed meanwhile
        return
    for key, entry in sorted(named, key=lambda pair: _order(pair[0])):
        order = _order(key)
        if key.endswith("/"):
            if order > after or after.startswith(order):
                yield from _files(Path(entry.path), key, after)
        elif order > after:
            found = _found(key, entry)
            if found is not None:
                yield found


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _found(key: str, entry: os.DirEntry[str]) -> FoundBlob | None:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    return FoundBlob(key, size, datetime.fromtimestamp(status.st_mtime, UTC))

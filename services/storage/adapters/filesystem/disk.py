"""Blocking file work: run in the store's threads only, never on the event loop."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from services.storage.adapters.hashing import BackgroundSha256
from services.storage.domain.errors import BytesLost, StorageFull, StorageUnavailable
from services.storage.domain.objects import BlobReceipt

PART_SUFFIX = ".part"
"""Of a file that is still being written; a key never ends so."""

_SAFE_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.=-]{0,200}")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_MKDIR_ATTEMPTS = 5
_MOST_BUFFERS = 512
"""Of one `writev`; systems take 1024."""
_NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)
"""Linux's alone."""


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Operating system errors in the domain's words."""
    try:
        yield
    except OSError as exc:
        if exc.errno in _FULL:
            raise StorageFull("no room is left on the disk") from exc
        raise StorageUnavailable(f"the disk failed: {exc.strerror or exc}") from exc


def locate(root: Path, bucket_name: str, key: str) -> Path:
    """The file of a key. Raises ValueError unless every part is a plain name, so no path leaves the root."""
    parts = [bucket_name, *key.split("/")]
    if not all(_SAFE_PART.fullmatch(part) for part in parts) or key.endswith(PART_SUFFIX):
        raise ValueError(f"not a safe key: {key!r}")
    return root.joinpath(*parts)


class PartFile:
    """A file that appears under its name whole, flushed to the disk, or not at all."""

    def __init__(self, path: Path, root: Path) -> None:
        """Touches nothing yet, so whoever is interrupted during `open` can still `abandon`."""
        self._path = path
        self._root = root
        self._part = path.with_name(path.name + PART_SUFFIX)
        self._hash = BackgroundSha256()
        self._size = 0
        self._fd = -1
        self._busy = threading.Lock()

    def open(self) -> None:
        """Open a `.part` file beside the target. Raises StorageFull, StorageUnavailable, as all do."""
        with translated():
            self._fd = _open_new(self._part, self._root)

    def append(self, batch: Sequence[bytes]) -> None:
        """Write some bytes, and have them hashed."""
        with self._busy, translated():
            for data in batch:
                self._hash.update(data)
                self._size += len(data)
            views = [memoryview(data) for data in batch]
            while views:
                written = os.writev(self._fd, views[:_MOST_BUFFERS])
                while views and written >= len(views[0]):
                    written -= len(views.pop(0))
                if written:
                    views[0] = views[0][written:]

    def publish(self) -> BlobReceipt:
        """Flush the bytes, give the file its name, flush the name."""
        with translated():
            os.fsync(self._fd)
            self._close()
            self._part.replace(self._path)
            _sync_folder(self._path.parent)
        receipt = BlobReceipt(self._size, self._hash.hexdigest())
        self._hash.close()
        return receipt

    def abandon(self) -> None:
        """Remove what was written, published or not; after an `append` that is under way."""
        self._hash.close()
        with self._busy, translated():
            self._close()
        remove(self._path, self._root)

    def _close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


class RangeFile:
    """A file being read."""

    def __init__(self, path: Path) -> None:
        """Touches nothing yet, so whoever is interrupted during `open` can still `close`."""
        self._path = path
        self._fd = -1

    def open(self) -> None:
        """Open the file, never a symbolic link. Raises BytesLost when there is no such file."""
        with translated():
            try:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError as exc:
                raise BytesLost("the bytes of the object are missing") from exc

    def read_cached(self, offset: int, length: int) -> bytes:
        """What of a range the kernel has in memory already, perhaps nothing; never waits for the disk."""
        if _NOWAIT is None:
            return b""
        buffer = bytearray(length)
        try:
            return bytes(memoryview(buffer)[: os.preadv(self._fd, [buffer], offset, _NOWAIT)])
        except OSError:  # nothing of it, or a file system that cannot tell
            return b""

    def read(self, offset: int, length: int) -> bytes:
        """At least one byte of a range inside the file. Raises BytesLost when the file ends before."""
        with translated():
            data = os.pread(self._fd, length, offset)
        if not data:
            raise BytesLost("the bytes of the object end too early")
        return data

    def close(self) -> None:
        """Give the file back."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


def size_of(path: Path) -> int | None:
    """Length in bytes, None when there is no such file."""
    with translated():
        try:
            return path.stat(follow_symlinks=False).st_size
        except (FileNotFoundError, NotADirectoryError):
            return None


def remove(path: Path, root: Path) -> None:
    """Remove a file and its unfinished sibling, and the folders that this leaves empty."""
    with translated():
        if not path.parent.is_dir():
            return
        path.unlink(missing_ok=True)
        path.with_name(path.name + PART_SUFFIX).unlink(missing_ok=True)
        _sync_folder(path.parent)
        _prune(path.parent, root)


def _open_new(path: Path, root: Path) -> int:
    """Open a new file, making its folders; more than once, because a concurrent `_prune` may take them."""
    for attempt in range(1, _MKDIR_ATTEMPTS + 1):
        try:
            _make_folders(path.parent, root)
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        except FileNotFoundError:
            if attempt == _MKDIR_ATTEMPTS:
                raise
    raise AssertionError("unreachable")


def _make_folders(folder: Path, root: Path) -> None:
    if folder.is_dir():
        return
    if folder != root:
        _make_folders(folder.parent, root)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o750, parents=folder == root)
    _sync_folder(folder.parent)


def _prune(folder: Path, root: Path) -> None:
    """Remove empty folders upwards, not the buckets: an owner whose objects are gone leaves no trace."""
    while root in folder.parents and folder.parent != root:
        try:
            folder.rmdir()
        except OSError:  # not empty, or gone already
            return
        folder = folder.parent


def _sync_folder(folder: Path) -> None:
    """Make created, renamed and removed names in the folder durable."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:  # pruned by a concurrent removal: nothing left to keep
        return
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

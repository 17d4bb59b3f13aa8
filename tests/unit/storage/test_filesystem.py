"""What only the file system can do wrong: leave the root, fill up, follow links, forget parts."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path

import pytest

from services.storage.adapters.filesystem import FilesystemBlobStore
from services.storage.domain.errors import StorageFull, StorageUnavailable
from services.storage.domain.keys import BucketNames
from services.storage.domain.objects import BlobAddress, Bucket

NAMES = BucketNames("test", "local", "unit")
ADDRESS = BlobAddress(Bucket.VIDEOS, "users/u1/jobs/j1/video/000001-o1.mp4")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
def store(root: Path) -> Iterator[FilesystemBlobStore]:
    made = FilesystemBlobStore(root, NAMES, threads=2)
    yield made
    made.close()


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def names(root: Path) -> list[str]:
    """Of every file and folder under the root."""
    return sorted(path.name for path in root.rglob("*"))


@pytest.mark.parametrize(
    "key",
    ["", "/", "../x", "a/../b", "a/./b", "a//b", "/etc/passwd", "a/", ".hidden", "a\0b", "a\\b", "ä", "a b", "x.part"],
)
async def test_a_key_cannot_leave_the_root(store: FilesystemBlobStore, root: Path, key: str) -> None:
    address = BlobAddress(Bucket.VIDEOS, key)
    with pytest.raises(ValueError, match="safe key"):
        await store.put(address, chunks(b"x"), content_type="video/mp4")
    with pytest.raises(ValueError, match="safe key"):
        await store.delete(address)
    assert names(root) == []


async def test_a_link_is_not_followed(store: FilesystemBlobStore, root: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    path = root / NAMES.of(ADDRESS.bucket) / ADDRESS.key
    path.parent.mkdir(parents=True)
    path.symlink_to(secret)
    with pytest.raises(StorageUnavailable):
        async with aclosing(store.read(ADDRESS, 0, 6)) as found:
            await anext(found)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["writev", "fsync"])
async def test_a_full_disk(
    store: FilesystemBlobStore, root: Path, monkeypatch: pytest.MonkeyPatch, number: int, call: str
) -> None:
    def full(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(StorageFull):
            await store.put(ADDRESS, chunks(b"x" * 10), content_type="video/mp4")
    await store.delete(ADDRESS)
    assert not [name for name in names(root) if ".mp4" in name]


async def test_a_failing_disk(store: FilesystemBlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    await store.put(ADDRESS, chunks(b"x" * 10), content_type="video/mp4")

    def broken(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "preadv", broken)
    monkeypatch.setattr(os, "pread", broken)
    with pytest.raises(StorageUnavailable):
        async with aclosing(store.read(ADDRESS, 0, 10)) as found:
            await anext(found)


async def test_short_writes_are_continued(store: FilesystemBlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: whole(fd, data[:3]))
    receipt = await store.put(ADDRESS, chunks(b"0123456789"), content_type="video/mp4")
    assert receipt.size_bytes == 10
    async with aclosing(store.read(ADDRESS, 0, 10)) as found:
        assert b"".join([chunk async for chunk in found]) == b"0123456789"


async def test_delete_takes_the_leftover_of_a_crash_and_empty_folders(store: FilesystemBlobStore, root: Path) -> None:
    path = root / NAMES.of(ADDRESS.bucket) / (ADDRESS.key + ".part")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half")
    await store.delete(ADDRESS)
    assert names(root) == [NAMES.of(ADDRESS.bucket)]


async def test_the_bytes_are_flushed_before_they_get_their_name(
    store: FilesystemBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    flush, rename = os.fsync, Path.replace

    def noted_flush(fd: int) -> None:
        steps.append("fsync")
        flush(fd)

    def noted_rename(path: Path, target: Path) -> Path:
        steps.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", noted_flush)
    monkeypatch.setattr(Path, "replace", noted_rename)
    await store.put(ADDRESS, chunks(b"x"), content_type="video/mp4")
    named = steps.index("rename")
    assert "fsync" in steps[:named]
    assert "fsync" in steps[named:], "the folder that holds the name is flushed too"


async def _stalling() -> AsyncIterator[bytes]:
    yield bytes(2**20)
    await asyncio.Event().wait()


@pytest.mark.parametrize("source", [lambda: chunks(b"x"), _stalling], ids=["ended", "waiting for more"])
async def test_the_event_loop_runs_while_the_disk_is_slow(
    store: FilesystemBlobStore, monkeypatch: pytest.MonkeyPatch, source: Callable[[], AsyncIterator[bytes]]
) -> None:
    """A cancelled operation is waited for, so its descriptor is not closed under a thread that still writes."""
    writing, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    whole = os.writev
    closed: list[bool] = []

    def slow(fd: int, data: Sequence[memoryview]) -> int:
        loop.call_soon_threadsafe(writing.set)
        go_on.wait(10)
        os.fstat(fd)  # raises when somebody has closed it
        closed.append(False)
        return whole(fd, data)

    monkeypatch.setattr(os, "writev", slow)
    task = asyncio.ensure_future(store.put(ADDRESS, source(), content_type="video/mp4"))
    await asyncio.wait_for(writing.wait(), 10)
    task.cancel()
    await asyncio.wait({task}, timeout=0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed == [False]
    assert await store.head(ADDRESS) is None

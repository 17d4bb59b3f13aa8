"""What every `BlobStore` must do (S1). A new backend joins by adding itself to `BACKENDS`."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from services.storage.adapters.filesystem import FilesystemBlobStore
from services.storage.adapters.s3 import S3BlobStore
from services.storage.application.ports import BlobStore
from services.storage.domain.errors import BytesLost
from services.storage.domain.keys import BucketNames
from services.storage.domain.objects import BlobAddress, Bucket
from tests.fakes.patterns import pattern
from tests.fakes.storage import MemoryBlobStore
from tests.s3_servers import S3Server, ministack, rclone

BUCKETS = BucketNames("test", "local", "contract")
ADDRESS = BlobAddress(Bucket.VIDEOS, "users/u1/jobs/j1/video/000001-a.mp4")
SIBLING = BlobAddress(Bucket.VIDEOS, "users/u1/jobs/j1/video/000001-b.mp4")


def _filesystem(folder: Path) -> Iterator[BlobStore]:
    store = FilesystemBlobStore(folder / "objects", BUCKETS, threads=4)
    yield store
    store.close()


def _memory(_: Path) -> Iterator[BlobStore]:
    yield MemoryBlobStore()


def _s3(server: Callable[[], S3Server]) -> Callable[[Path], Iterator[BlobStore]]:
    def backend(_: Path) -> Iterator[BlobStore]:
        names = BucketNames("test", "local", f"c{next(_numbers)}")
        server().make_buckets(names)
        store = S3BlobStore(server().client, names)
        yield store
        store.close()

    return backend


_numbers = itertools.count(1)
BACKENDS: dict[str, Callable[[Path], Iterator[BlobStore]]] = {
    "filesystem": _filesystem,
    "memory": _memory,
    "rclone": _s3(rclone),
    "ministack": _s3(ministack),
}


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlobStore]:
    yield from BACKENDS[request.param](tmp_path)


async def chunks_of(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def read_all(store: BlobStore, address: BlobAddress, offset: int, length: int) -> list[bytes]:
    async with aclosing(store.read(address, offset, length)) as chunks:
        return [chunk async for chunk in chunks]


@pytest.mark.parametrize("length", [0, 1, 99_999, 3_000_001])
async def test_what_was_put_is_read_back(store: BlobStore, length: int) -> None:
    data = pattern(length)
    receipt = await store.put(ADDRESS, chunks_of(data), content_type="video/mp4")
    assert (receipt.size_bytes, receipt.sha256) == (length, hashlib.sha256(data).hexdigest())
    assert await store.head(ADDRESS) == length
    chunks = await read_all(store, ADDRESS, 0, length)
    assert b"".join(chunks) == data
    assert all(0 < len(chunk) <= 256 * 1024 for chunk in chunks)


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 1), (262_143, 2), (900_000, 262_144), (1_199_999, 1), (1_200_000, 0)]
)
async def test_ranges(store: BlobStore, offset: int, length: int) -> None:
    data = pattern(1_200_000)
    await store.put(ADDRESS, chunks_of(data), content_type="video/mp4")
    assert b"".join(await read_all(store, ADDRESS, offset, length)) == data[offset : offset + length]


async def test_an_interrupted_put_leaves_nothing(store: BlobStore) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield pattern(2_000_000)
        raise ConnectionResetError("the writer went away")

    with pytest.raises(ConnectionResetError):
        await store.put(ADDRESS, broken(), content_type="video/mp4")
    assert await store.head(ADDRESS) is None
    with pytest.raises(BytesLost):
        await read_all(store, ADDRESS, 0, 1)


async def test_a_cancelled_put_leaves_nothing(store: BlobStore) -> None:
    waiting = asyncio.Event()

    async def stalled() -> AsyncIterator[bytes]:
        yield pattern(2_000_000)
        waiting.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(store.put(ADDRESS, stalled(), content_type="video/mp4"))
    await asyncio.wait_for(waiting.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await store.head(ADDRESS) is None


async def test_nothing_is_seen_before_the_last_chunk(store: BlobStore) -> None:
    seen: list[int | None] = []

    async def watched() -> AsyncIterator[bytes]:
        yield pattern(2_000_000)
        seen.append(await store.head(ADDRESS))
        yield b"end"

    await store.put(ADDRESS, watched(), content_type="video/mp4")
    assert seen == [None]
    assert await store.head(ADDRESS) == 2_000_003


async def test_delete_removes_only_its_blob_and_may_be_repeated(store: BlobStore) -> None:
    for address in (ADDRESS, SIBLING):
        await store.put(address, chunks_of(b"bytes"), content_type="video/mp4")
    await store.delete(ADDRESS)
    await store.delete(ADDRESS)
    assert await store.head(ADDRESS) is None
    assert await store.head(SIBLING) == 5
    with pytest.raises(BytesLost):
        await read_all(store, ADDRESS, 0, 5)


async def test_a_reader_may_stop_early_and_others_go_on(store: BlobStore) -> None:
    data = pattern(1_000_000)
    await store.put(ADDRESS, chunks_of(data), content_type="video/mp4")
    async with aclosing(store.read(ADDRESS, 0, len(data))) as chunks:
        assert data.startswith(await anext(chunks))
    assert b"".join(await read_all(store, ADDRESS, 0, len(data))) == data


async def test_buckets_are_apart(store: BlobStore) -> None:
    await store.put(ADDRESS, chunks_of(b"video"), content_type="video/mp4")
    assert await store.head(BlobAddress(Bucket.TEMP, ADDRESS.key)) is None


async def test_concurrent_puts_and_deletes_in_one_folder(store: BlobStore) -> None:
    """A folder that one removal empties and takes away is made again for the other's bytes."""

    async def round_trip(number: int) -> None:
        address = BlobAddress(Bucket.TEMP, f"temp/s/{number % 2}/{number:06d}-x.bin")
        await store.put(address, chunks_of(b"bytes"), content_type="video/mp4")
        assert b"".join(await read_all(store, address, 0, 5)) == b"bytes"
        await store.delete(address)

    await asyncio.wait_for(asyncio.gather(*(round_trip(number) for number in range(60))), 30)

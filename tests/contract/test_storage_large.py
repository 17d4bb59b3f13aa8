"""Objects beyond what S3 takes in one piece (S1, S4); minutes and gigabytes: `make test-slow`."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from services.storage.adapters.filesystem import FilesystemBlobStore
from services.storage.adapters.s3 import S3BlobStore, S3DirectStore
from services.storage.application.ports import BlobStore
from services.storage.domain.keys import BucketNames
from services.storage.domain.objects import BlobAddress, Bucket
from services.video_render.adapters.storage.direct import send
from t2m.storage.v1 import object_service_pb2 as pb
from tests.contract.test_storage_blob_store import read_all
from tests.s3_servers import Rclone

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

GIB = 1024**3
LIMIT = 5 * GIB
"""The largest object that S3 takes in one PUT."""
SIZE = LIMIT + 17
ADDRESS = BlobAddress(Bucket.VIDEOS, "users/u1/jobs/j1/video/000001-a.mp4")
NAMES = BucketNames("test", "us-east-1", "large")
CHUNK = 4 * 1024 * 1024


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file with something at its ends and at the limit, and holes between."""
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.write(b"begin")
        file.seek(LIMIT - 4)
        file.write(b"limit here")
        file.truncate(SIZE - 3)
        file.seek(SIZE - 3)
        file.write(b"end")
    return path


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[Rclone]:
    store = Rclone(tmp_path / "s3")
    store.make_buckets(NAMES)
    yield store
    store.kill()


@pytest.fixture(params=["filesystem", "rclone"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlobStore]:
    if request.param == "filesystem":
        blobs: FilesystemBlobStore | S3BlobStore = FilesystemBlobStore(tmp_path / "objects", NAMES, 4)
    else:
        blobs = S3BlobStore(request.getfixturevalue("s3").client, NAMES)
    yield blobs
    blobs.close()


def sha256_of(path: Path) -> str:
    """In hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def chunks_of(path: Path) -> AsyncIterator[bytes]:
    """The file, in order."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


async def assert_whole(store: BlobStore) -> None:
    """The bytes are where they belong, on both sides of the limit."""
    assert await store.head(ADDRESS) == SIZE
    assert b"".join(await read_all(store, ADDRESS, 0, 6)) == b"begin\0"
    assert b"".join(await read_all(store, ADDRESS, LIMIT - 5, 11)) == b"\0limit here"
    assert b"".join(await read_all(store, ADDRESS, SIZE - 4, 4)) == b"\0end"
    await store.delete(ADDRESS)
    assert await store.head(ADDRESS) is None


async def test_S1_S4_an_object_beyond_five_gibibytes(store: BlobStore, source: Path) -> None:
    """S1, S4: streamed in, measured, read at its limit, removed."""
    receipt = await store.put(ADDRESS, chunks_of(source), content_type="video/mp4")
    assert (receipt.size_bytes, receipt.sha256) == (SIZE, sha256_of(source))
    await assert_whole(store)


async def test_S4_an_upload_beyond_five_gibibytes_goes_to_the_store_itself(s3: Rclone, source: Path) -> None:
    """S4: in parts, each by its own presigned URL."""
    direct, store = S3DirectStore(s3.client, NAMES), S3BlobStore(s3.client, NAMES)
    plan = await direct.plan(ADDRESS, SIZE, content_type="video/mp4", lifetime=timedelta(minutes=20))
    parts = [
        pb.UploadPart(url=part.url, headers=part.headers, offset_bytes=part.offset, size_bytes=part.size_bytes)
        for part in plan.parts
    ]
    await direct.join(ADDRESS, plan.upload_id, await send(source, parts))
    receipt = await direct.measure(ADDRESS, SIZE, "")
    assert (receipt.size_bytes, receipt.sha256) == (SIZE, sha256_of(source))
    await assert_whole(store)
    direct.close()
    store.close()

"""Upload and download of each backend beside raw boto3 and raw file copy, interleaved in one run (S1)."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from services.runtime.ids import new_id
from services.storage.adapters.filesystem import FilesystemBlobStore
from services.storage.adapters.s3 import S3BlobStore, S3DirectStore
from services.storage.application.ports import BlobStore, Presentation
from services.storage.domain.keys import BucketNames
from services.storage.domain.objects import BlobAddress, Bucket
from services.video_render.adapters.storage.direct import receive, send
from services.video_render.adapters.storage.hashing import sha256_of
from t2m.storage.v1 import object_service_pb2 as pb
from tests import stack
from tests.integration.storage_harness import Running, header, make_settings, metadata
from tests.integration.storage_process import auth_server, serving
from tests.s3_servers import S3Server, credentials, rclone

MIB = 1024 * 1024
_CHUNK = 256 * 1024
_NAMES = BucketNames("test", "us-east-1", "throughput")


@dataclass
class Way:
    """One way to store and fetch, and how fast it was, in MB/s (10^6 bytes)."""

    name: str
    up: Callable[[str], Awaitable[None]]
    down: Callable[[str], Awaitable[None]]
    remove: Callable[[str], Awaitable[None]]
    speeds: dict[str, list[float]] = field(default_factory=lambda: {"up": [], "down": []})

    async def round(self, size: int) -> None:
        """Store one object, fetch it, remove it."""
        key = _new_key()
        for direction, work in (("up", self.up), ("down", self.down)):
            began = time.perf_counter()
            await work(key)
            self.speeds[direction].append(size / (time.perf_counter() - began) / 1e6)
        await self.remove(key)

    def cells(self, peer: Way) -> str:
        """Medians with the spread, and their ratio to the peer's."""
        cells = []
        for direction, speeds in self.speeds.items():
            median = statistics.median(speeds)
            text = f"{median:.0f} ({min(speeds):.0f}–{max(speeds):.0f})"
            ratio = statistics.median(mine / other for mine, other in zip(speeds, peer.speeds[direction], strict=True))
            cells += [text, "1" if self is peer else f"**{ratio:.2f}**"]
        return " | ".join(cells)


async def measure(sizes_mib: list[int], rounds: int) -> None:
    """Print one table for each size. Ratios are medians of the rounds' own ratios."""
    async with AsyncExitStack() as stacked:
        folder = Path(stacked.enter_context(tempfile.TemporaryDirectory(prefix="t2m-bench-")))
        server = rclone()
        stacked.enter_context(credentials(server.access_key, server.secret_key))
        server.make_buckets(_NAMES)
        local, remote = [await stacked.enter_async_context(_service(folder, each)) for each in (None, server)]
        for mebibytes in sizes_mib:
            data = os.urandom(mebibytes * MIB)
            groups = [_files(folder, data, local), _objects(server, folder, data, remote)]
            for way in [way for group in groups for way in group]:
                await way.up(_new_key())  # a job's objects lie together: its folders are there
            for number in range(rounds + 1):
                for way in [way for group in groups for way in group]:
                    await way.round(len(data))
                    if not number:  # the first round warms up
                        way.speeds = {"up": [], "down": []}
            _print(mebibytes, rounds, groups)


def _new_key() -> str:
    return f"users/bench/files/video/000000-{new_id()}.mp4"


def _print(mebibytes: int, rounds: int, groups: list[list[Way]]) -> None:
    print(f"\n{mebibytes} MiB, MB/s, median of {rounds} rounds (spread); ratio to the first line of each group\n")
    print("| way | upload | ratio | download | ratio |\n| --- | ---: | ---: | ---: | ---: |")
    for group in groups:
        for way in group:
            print(f"| {way.name} | {way.cells(group[0])} |")


def _files(folder: Path, data: bytes, service: Running) -> list[Way]:
    source = folder / "source"
    source.write_bytes(data)
    store = FilesystemBlobStore(folder / "adapter", _NAMES)

    def path(key: str) -> Path:
        return folder / key.rpartition("/")[2]

    def copy(key: str) -> None:
        shutil.copyfile(source, path(key))
        with path(key).open("rb") as file:
            os.fsync(file.fileno())

    def copy_and_hash(key: str) -> None:
        copy(key)
        with path(key).open("rb") as file:
            hashlib.file_digest(file, "sha256")

    def fetch(key: str) -> None:
        shutil.copyfile(path(key), folder / "fetched")

    def peer(name: str, up: Callable[[str], None]) -> Way:
        return Way(
            name,
            lambda key: asyncio.to_thread(up, key),
            lambda key: asyncio.to_thread(fetch, key),
            lambda key: asyncio.to_thread(path(key).unlink),
        )

    raw = peer("file copy (fsync; none to fetch)", copy)
    hashed = peer("file copy (fsync), then its SHA-256", copy_and_hash)
    return [
        raw,
        hashed,
        _adapter("filesystem adapter", store, data),
        _called("filesystem, through the service", service, data),
    ]


def _objects(server: S3Server, folder: Path, data: bytes, service: Running) -> list[Way]:
    client, bucket = server.client, _NAMES.of(Bucket.VIDEOS)

    def upload(key: str) -> None:
        client.upload_fileobj(io.BytesIO(data), bucket, key)

    def download(key: str) -> None:
        with Path(os.devnull).open("wb") as nowhere:
            client.download_fileobj(bucket, key, nowhere)

    raw = Way(
        "boto3, upload_fileobj and download_fileobj",
        lambda key: asyncio.to_thread(upload, key),
        lambda key: asyncio.to_thread(download, key),
        lambda key: asyncio.to_thread(client.delete_object, Bucket=bucket, Key=key),
    )
    return [
        raw,
        _adapter("S3 adapter, trusting the store", S3BlobStore(client, _NAMES, verify=False), data),
        _adapter("S3 adapter, reading back", S3BlobStore(client, _NAMES), data),
        _straight("S3, straight to the store and from it, as workers do", client, folder, data),
        _called("S3, reading back, through the service", service, data),
    ]


def _adapter(name: str, store: BlobStore, data: bytes) -> Way:
    """Our `BlobStore`, fed and drained as a use case does."""

    def at(key: str) -> BlobAddress:
        return BlobAddress(Bucket.VIDEOS, key)

    async def up(key: str) -> None:
        await store.put(at(key), _chunks(data), content_type="video/mp4")

    async def down(key: str) -> None:
        async with aclosing(store.read(at(key), 0, len(data))) as chunks:
            assert sum([len(chunk) async for chunk in chunks]) == len(data)

    return Way(name, up, down, lambda key: store.delete(at(key)))


def _straight(name: str, client: Any, folder: Path, data: bytes) -> Way:
    """Presigned, what a worker does with a file: its SHA-256 is taken before, and nobody reads it back."""
    store, direct = S3BlobStore(client, _NAMES), S3DirectStore(client, _NAMES)
    source = folder / "straight"
    source.write_bytes(data)

    def at(key: str) -> BlobAddress:
        return BlobAddress(Bucket.VIDEOS, key)

    async def up(key: str) -> None:
        await asyncio.to_thread(sha256_of, source)
        plan = await direct.plan(at(key), len(data), content_type="video/mp4", lifetime=timedelta(minutes=5))
        parts = [
            pb.UploadPart(url=each.url, headers=each.headers, offset_bytes=each.offset, size_bytes=each.size_bytes)
            for each in plan.parts
        ]
        await direct.join(at(key), plan.upload_id, await send(source, parts))

    async def down(key: str) -> None:
        until = datetime.now(UTC) + timedelta(minutes=5)
        url = await store.presign(at(key), expires_at=until, content_type="video/mp4", presentation=Presentation())
        assert url is not None
        async with aclosing(receive(url)) as chunks:
            assert sum([len(chunk) async for chunk in chunks]) == len(data)

    return Way(name, up, down, lambda key: store.delete(at(key)))


def _called(name: str, service: Running, data: bytes) -> Way:
    """The service in a process of its own, by gRPC."""
    ids: dict[str, str] = {}
    credential: Any = metadata()

    async def up(key: str) -> None:
        async def parts() -> AsyncIterator[pb.WriteObjectRequest]:
            yield pb.WriteObjectRequest(header=header(request_id=key[-40:], size_bytes=len(data)))
            async for chunk in _chunks(data):
                yield pb.WriteObjectRequest(chunk=chunk)

        ids[key] = (await service.stub.WriteObject(parts(), metadata=credential)).object.object_id

    async def down(key: str) -> None:
        call = service.stub.ReadObject(pb.ReadObjectRequest(object_id=ids[key]), metadata=credential)
        assert sum([len(part.chunk) async for part in call]) == len(data)

    async def remove(key: str) -> None:
        request = pb.DeleteObjectRequest(object_id=ids.pop(key), owner_id="u1")
        await service.stub.DeleteObject(request, metadata=credential)

    return Way(name, up, down, remove)


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), _CHUNK):
        yield data[start : start + _CHUNK]


@asynccontextmanager
async def _service(folder: Path, server: S3Server | None) -> AsyncGenerator[Running]:
    """The storage service on the file system, or on the server."""
    values: dict[str, Any] = {}
    if server is not None:
        values = {
            "storage_backend": "s3",
            "storage_region": "us-east-1",
            "storage_account": "throughputs",
            "s3_endpoint_url": server.url,
            "s3_path_style": True,
        }
    settings = make_settings(stack.postgres_url("bench"), folder / "service", **values)
    if server is not None:
        server.make_buckets(settings.buckets())
    await stack.migrate("storage", settings.database_url)
    async with auth_server() as auth, serving(settings, auth) as (_, running):
        yield running

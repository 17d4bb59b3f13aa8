"""The storage service with its bytes in S3: the same calls over a real gRPC server, Postgres and S3 server (S1, S3)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from t2m.storage.v1 import object_service_pb2 as pb
from tests.fakes.patterns import pattern
from tests.integration.storage_harness import MIB, Running, as_job, failure, metadata, running, sha256
from tests.s3_servers import S3Server, credentials, ministack, rclone

_numbers = itertools.count(1)


@pytest.fixture(params=[rclone, ministack], ids=["rclone", "ministack"])
def server(request: pytest.FixtureRequest) -> S3Server:
    """A real S3 server."""
    found: S3Server = request.param()
    return found


@pytest.fixture
async def storage(server: S3Server, postgres: Callable[[], str], tmp_path: Path) -> AsyncIterator[Running]:
    """The service; its root is never touched."""
    settings: dict[str, Any] = {
        "storage_backend": "s3",
        "storage_region": "us-east-1",
        "storage_account": f"i{next(_numbers)}",
        "s3_endpoint_url": server.url,
        "s3_path_style": True,
    }
    with credentials(server.access_key, server.secret_key):
        async with running(postgres(), tmp_path / "objects", **settings) as found:
            server.make_buckets(found.settings.buckets())
            yield found
    assert not (tmp_path / "objects").exists()


def keys(server: S3Server, storage: Running) -> list[str]:
    """Every key in the videos' bucket."""
    found = server.client.list_objects_v2(Bucket=f"test-t2m-videos-us-east-1-{storage.settings.storage_account}")
    return [each["Key"] for each in found.get("Contents", [])]


async def test_S1_an_object_goes_up_and_comes_down(storage: Running, server: S3Server) -> None:
    """S1: bucket and key as on the file system; in ranges, and whole, beyond what goes in one piece."""
    data = pattern(51 * MIB + 17)
    stored = await storage.write(data, sha256=sha256(data), filename="Größe 映画.mp4")
    assert (stored.size_bytes, stored.sha256) == (len(data), sha256(data))
    assert keys(server, storage) == [f"users/u1/jobs/j1/segment/scene_002/000007-{stored.object_id}.mp4"]
    assert await storage.read(object_id=stored.object_id) == data
    assert await storage.read(object_id=stored.object_id, offset=8 * MIB - 3, limit=6) == data[8 * MIB - 3 :][:6]


async def test_S3_clients_are_sent_to_the_store(storage: Running) -> None:
    """S3: the location is a URL of the store; other owners get none."""
    data = pattern(100_000)
    stored = await storage.write(data)
    location = await storage.locate(stored.object_id, inline=True)
    assert location.redirect
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(location.url)
    assert (answer.status_code, answer.content) == (200, data)
    refused = await failure(storage.locate(stored.object_id, owner_id="u2"))
    assert refused.code == grpc.StatusCode.NOT_FOUND


async def test_V5_a_url_that_must_not_change_is_ours(storage: Running) -> None:
    """V5, S3: playlists name it again and again, and presigned URLs are others each time; it leads to one of those."""
    stored = await storage.write(pattern(1000))
    until = Timestamp()
    until.FromDatetime(datetime.now(UTC) + timedelta(hours=2))
    first, again = [await storage.locate(stored.object_id, expires_at=until) for _ in range(2)]
    assert first == again
    assert (first.url.startswith("https://videos.example/api/v1/objects/"), first.redirect) == (True, False)
    request = pb.GetSignedObjectRequest(read_ticket=first.url.rpartition("/")[2])
    there = (await storage.stub.GetSignedObject(request, metadata=metadata())).location
    assert there.redirect
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(there.url)).content == pattern(1000)


async def test_S1_other_bytes_than_announced_are_not_kept(storage: Running, server: S3Server) -> None:
    """S1, S6: neither a row nor a key is left."""
    refused = await failure(storage.write(pattern(100_000), sha256=sha256(b"other")))
    assert refused.code == grpc.StatusCode.DATA_LOSS
    assert keys(server, storage) == []
    assert await storage.rows() == []


async def test_S1_concurrent_repeats_store_one_object(storage: Running, server: S3Server) -> None:
    """S1: the first to commit wins, the others take its answer and drop their bytes."""
    data = pattern(300_000)
    stored = await asyncio.gather(*(storage.write(data) for _ in range(6)))
    assert len({each.object_id for each in stored}) == 1
    assert keys(server, storage) == [stored[0].key]


async def test_J10_deleted_objects_are_really_gone(storage: Running, server: S3Server) -> None:
    """J10: row and bytes."""
    stored = await storage.write(pattern(1000))
    request = pb.DeleteObjectRequest(object_id=stored.object_id, owner_id="u1")
    await storage.stub.DeleteObject(request, metadata=as_job())
    assert keys(server, storage) == []
    assert await storage.rows() == []

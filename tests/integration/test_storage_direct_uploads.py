"""Uploads that go from the writer to the store itself, planned and verified by the service (S3, S4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.storage.domain.objects import Bucket
from t2m.storage.v1 import object_pb2
from t2m.storage.v1 import object_service_pb2 as pb
from tests.fakes.patterns import pattern
from tests.integration.storage_harness import MIB, Running, failure, header, metadata, running, sha256
from tests.integration.test_storage_s3_service import keys, server, storage
from tests.s3_servers import S3Server, ministack, rclone

__all__ = ["server", "storage"]


async def begun(storage: Running, data: bytes, **fields: Any) -> pb.BeginUploadResponse:
    """The plan for these bytes."""
    wanted = header(size_bytes=len(data), sha256=sha256(data), **fields)
    response: pb.BeginUploadResponse = await storage.stub.BeginUpload(
        pb.BeginUploadRequest(header=wanted), metadata=metadata()
    )
    return response


async def sent(plan: pb.UploadPlan, data: bytes) -> list[str]:
    """Put every part where it belongs; their entity tags."""
    async with httpx.AsyncClient(timeout=60) as client:

        async def put(part: pb.UploadPart) -> str:
            content = data[part.offset_bytes : part.offset_bytes + part.size_bytes]
            answer = await client.put(part.url, content=content, headers=dict(part.headers))
            assert answer.status_code == 200, answer.text
            return answer.headers["ETag"]

        return list(await asyncio.gather(*map(put, plan.parts)))


async def completed(storage: Running, plan: pb.UploadPlan, etags: list[str], owner_id: str = "u1") -> object_pb2.Object:
    """The committed object."""
    request = pb.CompleteUploadRequest(
        object_id=plan.object_id, owner_id=owner_id, upload_id=plan.upload_id, etags=etags
    )
    return (await storage.stub.CompleteUpload(request, metadata=metadata())).object


@pytest.mark.parametrize(("mebibytes", "parts"), [(3, 1), (51, 4)])
async def test_S3_S4_bytes_go_to_the_store_itself(
    storage: Running, server: S3Server, mebibytes: int, parts: int
) -> None:
    """S3, S4: nothing can be read until it is completed; a repeat of any step changes nothing."""
    data = pattern(mebibytes * MIB + 5)
    plan = (await begun(storage, data, filename="Größe.mp4")).upload
    assert len(plan.parts) == parts
    assert sum(part.size_bytes for part in plan.parts) == len(data)
    etags = await sent(plan, data)
    assert (await failure(storage.read(object_id=plan.object_id))).reason == "NOT_FOUND"
    stored = await completed(storage, plan, etags)
    assert (stored.size_bytes, stored.sha256, stored.filename) == (len(data), sha256(data), "Größe.mp4")
    assert keys(server, storage) == [f"users/u1/jobs/j1/segment/scene_002/000007-{plan.object_id}.mp4"]
    assert await storage.read(object_id=plan.object_id) == data
    assert await completed(storage, plan, etags) == stored
    assert (await begun(storage, data)).object == stored
    await storage.stub.AbortUpload(pb.AbortUploadRequest(object_id=plan.object_id, owner_id="u1"), metadata=metadata())
    assert await storage.read(object_id=plan.object_id, limit=3) == data[:3]


async def test_S4_other_bytes_than_announced_are_not_kept(storage: Running, server: S3Server) -> None:
    """S4: of the right length, but not what the SHA-256 was taken of; found by reading what was stored."""
    data = pattern(MIB)
    plan = (await begun(storage, data)).upload
    etags = await sent(plan, data[::-1])
    failed = await failure(completed(storage, plan, etags))
    assert (failed.code.name, failed.reason) == ("DATA_LOSS", "CHECKSUM_MISMATCH")
    assert keys(server, storage) == []
    assert await storage.rows() == []


@pytest.mark.parametrize(
    ("server", "mebibytes"),
    [(rclone, 1), (ministack, 1), (ministack, 51)],  # rclone forgets an upload whose parts are named wrongly
    indirect=["server"],
)
async def test_S4_an_upload_is_complete_when_its_parts_are(storage: Running, mebibytes: int) -> None:
    """S4: completed too early it is refused, and can be completed once everything is there."""
    data = pattern(mebibytes * MIB)
    plan = (await begun(storage, data)).upload
    made_up = ['"0123456789abcdef0123456789abcdef"'] * len(plan.parts)
    failed = await failure(completed(storage, plan, made_up))
    assert (failed.code.name, failed.reason) == ("FAILED_PRECONDITION", "STATE_CONFLICT")
    stored = await completed(storage, plan, await sent(plan, data))
    assert stored.sha256 == sha256(data)


async def test_S4_an_upload_can_be_given_up(storage: Running, server: S3Server) -> None:
    """S4: parts that have arrived go as well; twice is as good as once."""
    data = pattern(51 * MIB)
    plan = (await begun(storage, data)).upload
    del plan.parts[2:]
    await sent(plan, data)
    for _ in range(2):
        request = pb.AbortUploadRequest(object_id=plan.object_id, owner_id="u1")
        await storage.stub.AbortUpload(request, metadata=metadata())
    assert await storage.rows() == []
    unfinished = server.client.list_multipart_uploads(Bucket=storage.settings.buckets().of(Bucket.VIDEOS))
    assert not unfinished.get("Uploads")
    failed = await failure(completed(storage, plan, []))
    assert failed.reason == "NOT_FOUND"


async def test_A5_an_upload_is_its_owners(storage: Running) -> None:
    """A5, S3: under another owner's name there is no such upload."""
    data = pattern(100)
    plan = (await begun(storage, data)).upload
    etags = await sent(plan, data)
    assert (await failure(completed(storage, plan, etags, owner_id="u2"))).reason == "NOT_FOUND"
    await storage.stub.AbortUpload(pb.AbortUploadRequest(object_id=plan.object_id, owner_id="u2"), metadata=metadata())
    assert (await completed(storage, plan, etags)).size_bytes == 100


async def test_S3_concurrent_uploads_of_one_request_make_one_object(storage: Running, server: S3Server) -> None:
    """S3: the first to be completed wins, the others answer with it and leave no bytes."""
    data = pattern(1000)
    plans = [(await begun(storage, data)).upload for _ in range(3)]
    assert len({plan.object_id for plan in plans}) == 3
    for plan in plans:
        await sent(plan, data)
    stored = await asyncio.gather(*(completed(storage, plan, []) for plan in plans))
    assert len({each.object_id for each in stored}) == 1
    assert len(keys(server, storage)) == 1


@pytest.mark.parametrize("server", [rclone], indirect=True)  # the one that checks signatures
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"content-type": "text/html"}, "another type"),
        ({"content-length": "101"}, "another length"),
        ({"key": "x"}, "another key"),
        ({"method": "DELETE"}, "another method"),
    ],
)
async def test_S3_a_plan_is_for_one_thing_only(
    storage: Running, server: S3Server, change: dict[str, str], why: str
) -> None:
    """S3: a store that checks signatures takes just this key, method, type and length."""
    data = pattern(100)
    [part] = (await begun(storage, data)).upload.parts
    url = part.url.replace(".mp4?", ".mp3?") if "key" in change else part.url
    assert "key" not in change or url != part.url
    headers = {**part.headers, **{name.title(): value for name, value in change.items() if "-" in name}}
    content = data + b"x" * (int(headers["Content-Length"]) - 100)
    async with httpx.AsyncClient(timeout=60) as client:
        answer = await client.request(change.get("method", "PUT"), url, content=content, headers=headers)
    assert answer.status_code == 403, why
    assert keys(server, storage) == []


@pytest.mark.parametrize("missing", ["sha256", "size_bytes"])
async def test_S3_what_is_uploaded_directly_must_be_announced(storage: Running, missing: str) -> None:
    """S3, O6: the field that is missing is named."""
    values = {"sha256": sha256(b"abc"), "size_bytes": 3}
    del values[missing]
    request = pb.BeginUploadRequest(header=header(**values))
    failed = await failure(storage.stub.BeginUpload(request, metadata=metadata()))
    assert (failed.reason, [field for field, _ in failed.violations]) == ("VALIDATION_FAILED", [f"header.{missing}"])


@pytest.fixture
async def on_disk(postgres: Callable[[], str], tmp_path: Path) -> AsyncIterator[Running]:
    async with running(postgres(), tmp_path) as found:
        yield found


async def test_S1_a_file_system_takes_bytes_from_the_service_only(on_disk: Running) -> None:
    """S1, S3: the answer sends the writer to `WriteObject`, and leaves no row."""
    assert (await begun(on_disk, b"abc")).WhichOneof("outcome") is None
    assert await on_disk.has_nothing()


async def test_S3_urls_end_before_the_upload_is_swept(storage: Running) -> None:
    """S3, S6: a writer that is still allowed to write never meets the sweep."""
    plan = (await begun(storage, b"abc")).upload
    settings = storage.settings
    assert settings.write_timeout_s < settings.pending_grace_s
    assert f"X-Amz-Expires={timedelta(seconds=settings.write_timeout_s) // timedelta(seconds=1)}" in plan.parts[0].url

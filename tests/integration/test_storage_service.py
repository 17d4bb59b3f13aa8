"""The storage service over a real gRPC server, Postgres and folder: S1, S3, S6 and the way of V4's bytes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from services.runtime.identity import Role
from t2m.storage.v1 import object_pb2
from t2m.storage.v1 import object_service_pb2 as pb
from tests.fakes.patterns import pattern
from tests.fakes.storage import ManualClock
from tests.integration.storage_harness import (
    MIB,
    Running,
    as_job,
    eventually,
    failure,
    header,
    metadata,
    running,
    sha256,
)

UNKNOWN = "01930000-0000-7000-8000-000000000000"


@pytest.fixture
async def storage(postgres: Callable[[], str], tmp_path: Path) -> AsyncIterator[Running]:
    async with running(postgres(), tmp_path / "objects") as server:
        yield server


async def test_an_object_goes_up_and_comes_down(storage: Running) -> None:
    """S1, S6: the key, the metadata and the bytes, several MiB of them."""
    data = pattern(5 * MIB + 17)
    stored = await storage.write(data, sha256=sha256(data), size_bytes=len(data), filename="Größe 映画.mp4")
    assert stored.state == object_pb2.OBJECT_STATE_COMMITTED
    assert (stored.size_bytes, stored.sha256, stored.filename) == (len(data), sha256(data), "Größe 映画.mp4")
    assert stored.key == f"users/u1/jobs/j1/segment/scene_002/000007-{stored.object_id}.mp4"
    assert [path.relative_to(storage.settings.storage_root).as_posix() for path in storage.files()] == [
        f"test-t2m-videos-local-embedded/{stored.key}"
    ]
    assert await storage.read(object_id=stored.object_id) == data
    got = await storage.stub.GetObject(pb.GetObjectRequest(object_id=stored.object_id), metadata=metadata())
    assert got.object == stored


async def test_an_empty_object(storage: Running) -> None:
    stored = await storage.write(b"", size_bytes=0, sha256=sha256(b""))
    assert await storage.read(object_id=stored.object_id) == b""


@pytest.mark.parametrize(
    ("offset", "limit"),
    [(0, None), (0, 1), (1, 262_144), (262_143, 2), (1_000_000, None), (1_999_999, 5), (2_000_000, None)],
)
async def test_ranges(storage: Running, offset: int, limit: int | None) -> None:
    """V4: the bytes of a range, and only those."""
    data = pattern(2_000_000)
    stored = await storage.write(data)
    expected = data[offset:] if limit is None else data[offset : offset + limit]
    assert await storage.read(object_id=stored.object_id, offset=offset, limit=limit) == expected


async def test_a_limit_of_nothing_reads_nothing(storage: Running) -> None:
    stored = await storage.write(b"bytes")
    assert await storage.read(object_id=stored.object_id, limit=0) == b""


async def test_a_range_beyond_the_end(storage: Running) -> None:
    stored = await storage.write(b"bytes")
    error = await failure(storage.read(object_id=stored.object_id, offset=6))
    assert (error.code, error.reason) == (grpc.StatusCode.OUT_OF_RANGE, "RANGE_NOT_SATISFIABLE")
    assert error.metadata == {"size_bytes": "5"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"sha256": sha256(b"other bytes")},
        {"size_bytes": 300_001},
        {"size_bytes": 299_999},
        {"size_bytes": 0},
    ],
)
async def test_other_bytes_than_announced_are_not_kept(storage: Running, wrong: dict[str, Any]) -> None:
    """S4: checksum and length are verified end to end."""
    error = await failure(storage.write(pattern(300_000), **wrong))
    assert (error.code, error.reason) == (grpc.StatusCode.DATA_LOSS, "CHECKSUM_MISMATCH")
    await eventually(storage.has_nothing, "the refused write leaves nothing")
    stored = await storage.write(pattern(300_000))
    assert await storage.read(object_id=stored.object_id) == pattern(300_000)


async def test_an_object_that_is_too_large(postgres: Callable[[], str], tmp_path: Path) -> None:
    async with running(postgres(), tmp_path, max_object_bytes=1000) as storage:
        announced = await failure(storage.write(b"", size_bytes=1001))
        lied = await failure(storage.write(pattern(1001), size_bytes=None, sha256=sha256(pattern(1001))))
        for error in (announced, lied):
            assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE")
        await eventually(storage.has_nothing, "the refused writes leave nothing")


async def test_a_cut_stream_leaves_nothing(storage: Running) -> None:
    flowing = asyncio.Event()

    async def parts() -> AsyncIterator[pb.WriteObjectRequest]:
        yield pb.WriteObjectRequest(header=header(size_bytes=8 * MIB))
        for _ in range(4):
            yield pb.WriteObjectRequest(chunk=bytes(MIB))
        flowing.set()
        await asyncio.Event().wait()

    async def bytes_have_arrived() -> bool:
        return any(path.stat().st_size >= MIB for path in storage.files())

    call = storage.stub.WriteObject(parts(), metadata=metadata())
    await asyncio.wait_for(flowing.wait(), 20)
    await eventually(bytes_have_arrived, "bytes are on the disk")
    assert await storage.rows() == [("pending", "write-1")]
    call.cancel()
    await eventually(storage.has_nothing, "the cut write leaves nothing")
    stored = await storage.write(pattern(MIB))
    assert stored.size_bytes == MIB


async def test_a_stream_that_ends_too_early_is_not_whole(storage: Running) -> None:
    """Without a length or a checksum a cut stream could pass for a whole one: one of them is demanded."""
    error = await failure(storage.write(b"bytes", size_bytes=None))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")
    assert error.violations[0][0] == "header.size_bytes"


async def test_a_repeat_returns_the_first_object(storage: Running) -> None:
    first = await storage.write(pattern(MIB))
    assert await storage.write(pattern(MIB)) == first
    assert len(storage.files()) == 1
    other_place = await failure(storage.write(pattern(MIB), scene_index=3))
    other_bytes = await failure(storage.write(pattern(MIB), sha256=sha256(b"")))
    for error in (other_place, other_bytes):
        assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_CONFLICT")
    assert (await storage.write(pattern(MIB), owner_id="u2")).object_id != first.object_id


async def test_concurrent_repeats_store_one_object(storage: Running) -> None:
    data = pattern(2 * MIB)
    stored = await asyncio.gather(*(storage.write(data, sha256=sha256(data)) for _ in range(6)))
    assert len({item.object_id for item in stored}) == 1

    async def one_is_left() -> bool:
        return len(storage.files()) == 1 and len(await storage.rows()) == 1

    await eventually(one_is_left, "the losers' bytes are gone")
    assert await storage.read(object_id=stored[0].object_id) == data


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ([], "header"),
        ([pb.WriteObjectRequest(chunk=b"x")], "header"),
        ([pb.WriteObjectRequest(header=header(size_bytes=1))] * 2, "chunk"),
        ([pb.WriteObjectRequest(header=header(owner_id="../../etc", size_bytes=1))], "header.owner_id"),
        ([pb.WriteObjectRequest(header=header(job_id="a/b", size_bytes=1))], "header.job_id"),
        ([pb.WriteObjectRequest(header=header(scene_index=-1, size_bytes=1))], "header.scene_index"),
        ([pb.WriteObjectRequest(header=header(bucket=99, size_bytes=1))], "header.bucket"),
        ([pb.WriteObjectRequest(header=header(content_type="x", size_bytes=1))], "header.content_type"),
    ],
)
async def test_a_malformed_upload_names_its_field(
    storage: Running, parts: list[pb.WriteObjectRequest], field: str
) -> None:
    async def stream() -> AsyncIterator[pb.WriteObjectRequest]:
        for part in parts:
            yield part

    error = await failure(storage.stub.WriteObject(stream(), metadata=metadata()))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")
    assert [path for path, _ in error.violations] == [field]
    await eventually(storage.has_nothing, "nothing is stored")


async def test_a_ticket_is_credential_enough(storage: Running) -> None:
    """S3: whoever holds the URL reads this object; nobody else needs to be known."""
    data = pattern(MIB)
    stored = await storage.write(data, filename="Film.mp4")
    location = await storage.locate(stored.object_id, inline=True, cache_control="private, max-age=60")
    assert location.url == f"https://videos.example/api/v1/objects/{location.read_ticket}"
    assert re.fullmatch(r"[A-Za-z0-9_-]+", location.read_ticket)
    assert not location.redirect
    assert (location.etag, location.size_bytes) == (stored.sha256, MIB)
    assert location.modified_at == stored.committed_at
    assert await storage.read((), read_ticket=location.read_ticket, offset=5, limit=10) == data[5:15]
    resolved = await storage.stub.GetSignedObject(pb.GetSignedObjectRequest(read_ticket=location.read_ticket))
    assert resolved.location == location
    assert (resolved.location.filename, resolved.location.inline) == ("Film.mp4", True)


async def test_a_location_carries_its_own_file_name(storage: Running) -> None:
    stored = await storage.write(b"bytes")
    name = "😀" * 251 + ".mp4"
    location = await storage.locate(stored.object_id, filename=name)
    assert len(location.read_ticket) <= 2048
    resolved = await storage.stub.GetSignedObject(pb.GetSignedObjectRequest(read_ticket=location.read_ticket))
    assert resolved.location.filename == name


async def test_a_forged_ticket(storage: Running) -> None:
    one, two = [await storage.write(b"bytes", request_id=f"w{number}") for number in range(2)]
    ticket = (await storage.locate(one.object_id)).read_ticket
    other = (await storage.locate(two.object_id)).read_ticket
    spliced = other[: len(other) - 43] + ticket[-43:]
    turned = ticket[:10] + ("A" if ticket[10] != "A" else "B") + ticket[11:]
    for forged in (turned, spliced, ticket[:-1], ticket + "A", "x", "é" * 20, "=" * 40):
        read = await failure(storage.read((), read_ticket=forged))
        shown = await failure(storage.stub.GetSignedObject(pb.GetSignedObjectRequest(read_ticket=forged)))
        for error in (read, shown):
            assert (error.code, error.reason) == (
                grpc.StatusCode.UNAUTHENTICATED,
                "CREDENTIAL_INVALID",
            ), forged


async def test_a_ticket_ends(postgres: Callable[[], str], tmp_path: Path) -> None:
    """S3: one hour unless asked otherwise, a day at most."""
    clock = ManualClock(datetime.now(UTC).replace(microsecond=0))
    async with running(postgres(), tmp_path, clock=clock) as storage:
        stored = await storage.write(b"bytes")
        hour = await storage.locate(stored.object_id)
        day = await storage.locate(stored.object_id, lifetime=Duration(seconds=86_400))
        assert hour.expires_at.ToDatetime(tzinfo=UTC) - clock.now() == timedelta(hours=1)
        clock.advance(timedelta(minutes=59, seconds=59))
        assert await storage.read((), read_ticket=hour.read_ticket) == b"bytes"
        clock.advance(timedelta(seconds=1))
        error = await failure(storage.read((), read_ticket=hour.read_ticket))
        assert (error.code, error.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_EXPIRED")
        assert await storage.read((), read_ticket=day.read_ticket) == b"bytes"


@pytest.mark.parametrize("seconds", [-5, 0, 86_401])
async def test_a_lifetime_out_of_bounds(storage: Running, seconds: int) -> None:
    stored = await storage.write(b"bytes")
    error = await failure(storage.locate(stored.object_id, lifetime=Duration(seconds=seconds)))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [path for path, _ in error.violations] == ["lifetime"]


@pytest.mark.parametrize("role", [Role.USER, Role.READONLY, Role.ADMIN, None])
async def test_only_a_service_reads_by_id(storage: Running, role: Role | None) -> None:
    stored = await storage.write(b"bytes")
    error = await failure(storage.read(metadata(role) if role else (), object_id=stored.object_id))
    assert (error.code, error.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
    bad = await failure(storage.read((("authorization", "Bearer nonsense"),), object_id=stored.object_id))
    assert bad.code is grpc.StatusCode.UNAUTHENTICATED


async def test_another_owners_object_is_not_found(storage: Running) -> None:
    """A5: others' answer 404."""
    stored = await storage.write(b"bytes")
    calls: list[Awaitable[Any]] = [
        storage.locate(stored.object_id, "u2"),
        storage.locate(UNKNOWN, "u1"),
        storage.read(object_id=stored.object_id, owner_id="u2"),
        storage.read(object_id=UNKNOWN),
        storage.stub.GetObject(pb.GetObjectRequest(object_id=stored.object_id, owner_id="u2"), metadata=metadata()),
    ]
    for call in calls:
        error = await failure(call)
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    request = pb.DeleteObjectRequest(object_id=stored.object_id, owner_id="u2")
    await storage.stub.DeleteObject(request, metadata=as_job())
    assert await storage.read(object_id=stored.object_id, owner_id="u1") == b"bytes"


async def test_delete_takes_row_and_bytes(storage: Running) -> None:
    stored = await storage.write(b"bytes")
    ticket = (await storage.locate(stored.object_id)).read_ticket
    for _ in range(2):
        await storage.stub.DeleteObject(pb.DeleteObjectRequest(object_id=stored.object_id), metadata=as_job())
    assert await storage.has_nothing()
    assert (await failure(storage.read((), read_ticket=ticket))).code is grpc.StatusCode.NOT_FOUND


async def test_list_goes_through_all_pages(storage: Running) -> None:
    ids = [(await storage.write(b"bytes", request_id=f"w{number}")).object_id for number in range(5)]
    await storage.write(b"bytes", request_id="other", job_id="j2")
    request = pb.ListObjectsRequest(owner_id="u1", job_id="j1", page_size=2)
    seen: list[str] = []
    for expected in (2, 2, 1):
        answer = await storage.stub.ListObjects(request, metadata=as_job())
        assert len(answer.objects) == expected
        seen += [item.object_id for item in answer.objects]
        token = request.page_token
        request.page_token = answer.next_page_token
    assert seen == sorted(ids)
    assert request.page_token == ""
    for wrong in ("garbage", "AAAA", "é"):
        request.page_token = wrong
        error = await failure(storage.stub.ListObjects(request, metadata=as_job()))
        assert [path for path, _ in error.violations] == ["page_token"]
    elsewhere = pb.ListObjectsRequest(owner_id="u2", page_token=token)
    error = await failure(storage.stub.ListObjects(elsewhere, metadata=as_job()))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT


async def test_bytes_that_are_missing_are_said_to_be(storage: Running) -> None:
    stored = await storage.write(pattern(MIB))
    [path] = storage.files()
    path.write_bytes(pattern(1000))
    error = await failure(storage.read(object_id=stored.object_id))
    assert error.code is grpc.StatusCode.DATA_LOSS
    path.unlink()
    error = await failure(storage.read(object_id=stored.object_id))
    assert error.code is grpc.StatusCode.DATA_LOSS


async def test_J10_the_objects_of_a_job_are_really_gone(storage: Running) -> None:
    """J10, J3: from the disk too; another job's stay, and a repeat finds nothing."""
    doomed = [await storage.write(b"x" * 100, request_id=f"d{number}") for number in range(3)]
    kept = await storage.write(b"y", request_id="k", job_id="j2")
    request = pb.DeleteJobObjectsRequest(owner_id="u1", job_id="j1", kinds=[object_pb2.ARTIFACT_KIND_VIDEO])
    nothing = await storage.stub.DeleteJobObjects(request, metadata=as_job())
    assert (nothing.object_count, nothing.total_bytes) == (0, 0)
    request = pb.DeleteJobObjectsRequest(owner_id="u1", job_id="j1")
    answers = [await storage.stub.DeleteJobObjects(request, metadata=as_job()) for _ in range(2)]
    assert [(answer.object_count, answer.total_bytes) for answer in answers] == [(3, 300), (0, 0)]
    assert [path.name for path in storage.files()] == [f"000007-{kept.object_id}.mp4"]
    for gone in doomed:
        assert (await failure(storage.read(object_id=gone.object_id))).code == grpc.StatusCode.NOT_FOUND
    foreign = await failure(storage.stub.DeleteJobObjects(request, metadata=metadata(Role.ADMIN)))
    assert foreign.code == grpc.StatusCode.PERMISSION_DENIED

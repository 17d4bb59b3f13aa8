"""Users' files over a real server, Postgres and store: the file system and two S3 servers (S5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from services.runtime.identity import Role
from services.storage.domain.files import DOCX, PART_BYTES
from tests.fakes import sample_files as samples
from tests.fakes.clamd import ScriptedClamd
from tests.fakes.storage import ManualClock
from tests.integration.files_harness import SERVERS, User, files_on
from tests.integration.storage_harness import Running, eventually, failure, sha256
from tests.s3_servers import ministack

CODE = grpc.StatusCode
PNG = samples.image()


on = partial(pytest.mark.parametrize, "storage", indirect=True)


@pytest.fixture
async def storage(
    request: pytest.FixtureRequest, postgres: Callable[[], str], tmp_path: Path
) -> AsyncIterator[Running]:
    """The service on a backend; a small plan beside the default one."""
    plans = {"small": {"max_files": 5, "max_total_bytes": 1000, "max_file_bytes": 900}}
    async with files_on(request.param, postgres(), tmp_path, file_plans=plans) as found:
        yield found


async def content(storage: Running, user: User, file_id: str) -> bytes:
    """As a client gets it."""
    location = await user.locate(file_id)
    assert not location.inline
    if not location.redirect:
        return await storage.read((), read_ticket=location.read_ticket)
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(location.url)
    assert answer.headers["content-disposition"].startswith("attachment")
    return answer.content


@on(SERVERS)
async def test_S5_a_file_in_one_go(storage: Running) -> None:
    """S5: type by content, metadata, list, bytes, delete; a repeat stores nothing twice."""
    ada = User(storage)
    document = samples.docx({"word/media/image1.png": PNG})
    first = await ada.upload(PNG, filename=" Größe 映画.pdf ", sha256=sha256(PNG), request_id="once")
    second = await ada.upload(document, filename="b.png")
    assert (first.filename, first.content_type, first.size_bytes) == ("Größe 映画.pdf", "image/png", len(PNG))
    assert (first.sha256, second.content_type) == (sha256(PNG), DOCX)
    assert await ada.upload(PNG, filename="Größe 映画.pdf", request_id="once") == first
    assert await ada.get(first.file_id) == first
    page = await ada.list(page_size=1)
    rest = await ada.list(page_size=1, page_token=page.next_page_token)
    assert ([*page.files, *rest.files], rest.next_page_token) == ([first, second], "")
    assert (page.quota.files, page.quota.total_bytes) == (2, len(PNG) + len(document))
    assert await content(storage, ada, second.file_id) == document
    for each in (first, second):
        await ada.delete(each.file_id)
    assert (await failure(ada.get(first.file_id))).code is CODE.NOT_FOUND
    assert (await failure(ada.delete(first.file_id))).code is CODE.NOT_FOUND
    assert (await ada.list()).quota.files == 0
    assert await storage.has_nothing()


@on(SERVERS)
async def test_S5_an_upload_in_parts_is_interrupted_and_continued(storage: Running) -> None:
    """S5: a cut part leaves nothing, its repeat goes on; nothing but the file is left, whoever repeats what."""
    ada = User(storage)
    data = samples.text(PART_BYTES + 1000)
    upload = await ada.begin(data, sha256=sha256(data), content_type="text/markdown")
    assert (upload.offset_bytes, upload.part_size_bytes) == (0, PART_BYTES)
    cut = await failure(ada.send(upload.upload_id, data[:1000], 0, size_bytes=PART_BYTES))
    assert cut.code is CODE.DATA_LOSS
    assert (await ada.status(upload.upload_id)).offset_bytes == 0
    assert (await failure(ada.complete(upload.upload_id))).code is CODE.FAILED_PRECONDITION
    assert (await ada.send(upload.upload_id, data[PART_BYTES:], PART_BYTES)).offset_bytes == 0
    for _ in range(2):
        assert (await ada.send(upload.upload_id, data[:PART_BYTES], 0)).offset_bytes == len(data)
    one, other = await asyncio.gather(ada.complete(upload.upload_id), ada.complete(upload.upload_id))
    assert one == other == await ada.complete(upload.upload_id)
    assert (one.content_type, one.sha256) == ("text/plain", sha256(data))
    assert (await ada.status(upload.upload_id)).file_id == one.file_id
    assert await content(storage, ada, one.file_id) == data
    assert [state for state, _ in await storage.rows()] == ["committed"]
    await ada.delete(one.file_id)
    assert await storage.has_nothing()


@on(["filesystem", "rclone"])
async def test_S5_what_is_refused_leaves_nothing(storage: Running) -> None:
    """S5: by content, by checksum, by announcement; in one go and in parts."""
    ada = User(storage)
    truncated = PNG[:-20]
    refused = await failure(ada.upload(truncated, filename="a.png"))
    assert (refused.code, refused.violations[0][0]) == (CODE.INVALID_ARGUMENT, "content")
    refused = await failure(ada.upload(b"GIF89a" + bytes(50)))
    assert (refused.code, refused.reason) == (CODE.INVALID_ARGUMENT, "UNSUPPORTED_MEDIA_TYPE")
    refused = await failure(ada.upload(PNG, sha256=sha256(b"other")))
    assert (refused.code, refused.violations[0][0]) == (CODE.INVALID_ARGUMENT, "sha256")
    refused = await failure(ada.upload(PNG, size_bytes=len(PNG) + 1))
    assert refused.code is CODE.DATA_LOSS
    refused = await failure(ada.begin(PNG, content_type="video/mp4"))
    assert refused.reason == "UNSUPPORTED_MEDIA_TYPE"
    upload = await ada.begin(truncated)
    await ada.send(upload.upload_id, truncated, 0)
    assert (await failure(ada.complete(upload.upload_id))).violations[0][0] == "content"
    assert (await failure(ada.status(upload.upload_id))).code is CODE.NOT_FOUND
    upload = await ada.begin(PNG)
    await ada.send(upload.upload_id, PNG, 0)
    await ada.abort(upload.upload_id)
    await ada.abort(upload.upload_id)
    assert (await ada.list()).quota.files == 0
    assert await storage.has_nothing()


@on(["filesystem"])
async def test_S5_somebody_elses_files_and_uploads_are_not_there(storage: Running) -> None:
    """S5: every rpc that names one; nothing of it is changed by the attempts."""
    ada, bob = User(storage), User(storage, "bob")
    file = await ada.upload(PNG)
    upload = await ada.begin(PNG)
    attempts: list[Awaitable[Any]] = [
        bob.get(file.file_id),
        bob.delete(file.file_id),
        bob.locate(file.file_id),
        bob.status(upload.upload_id),
        bob.send(upload.upload_id, PNG, 0),
        bob.complete(upload.upload_id),
        ada.get(upload.upload_id),
        ada.complete(file.file_id),
    ]
    assert [(await failure(attempt)).code for attempt in attempts] == [CODE.NOT_FOUND] * len(attempts)
    await bob.abort(upload.upload_id)
    assert (await bob.list()).files == []
    assert (await ada.send(upload.upload_id, PNG, 0)).offset_bytes == len(PNG)
    assert (await ada.complete(upload.upload_id)).file_id
    assert await content(storage, ada, file.file_id) == PNG
    admin = User(storage, "root", Role.ADMIN)
    assert await admin.get(file.file_id) == file
    await admin.delete(file.file_id)
    # An object of a job is no file, though it is the same user's.
    video = await storage.write(b"video", owner_id="ada")
    for attempt in (ada.get(video.object_id), ada.delete(video.object_id), ada.locate(video.object_id)):
        assert (await failure(attempt)).code is CODE.NOT_FOUND


@on(["filesystem"])
async def test_S5_twenty_at_the_edge_of_the_quota(storage: Running) -> None:
    """S5: files and bytes are never more than the plan allows, and all of it can be used."""
    ada = User(storage, plan="small")
    data = samples.text(100)

    async def outcome(call: Awaitable[Any]) -> str:
        try:
            await call
        except grpc.aio.AioRpcError as error:
            return (await failure(_raised(error))).reason
        return "stored"

    outcomes = await asyncio.gather(*[outcome(ada.upload(data)) for _ in range(20)])
    assert sorted(set(outcomes)) == ["QUOTA_EXHAUSTED", "stored"]
    assert outcomes.count("stored") == 5
    refused = await failure(ada.begin(data))
    assert (refused.reason, refused.metadata["quota"], refused.metadata["allowed"]) == ("QUOTA_EXHAUSTED", "files", "5")
    for file in (await ada.list()).files[1:]:
        await ada.delete(file.file_id)
    uploads = await asyncio.gather(*[outcome(ada.begin(bytes(450))) for _ in range(20)])
    assert uploads.count("stored") == 2
    assert (await failure(ada.upload(data))).metadata["quota"] == "bytes"
    too_large = await failure(ada.upload(bytes(901)))
    assert (too_large.reason, too_large.metadata["max_bytes"]) == ("REQUEST_TOO_LARGE", "900")
    quota = (await ada.list()).quota
    assert (quota.files, quota.total_bytes, quota.max_total_bytes) == (3, 1000, 1000)


async def _raised(error: grpc.aio.AioRpcError) -> None:
    raise error


@asynccontextmanager
async def with_scanner(postgres: Callable[[], str], folder: Path) -> AsyncIterator[tuple[User, ScriptedClamd, Running]]:
    """A service that asks a scanner."""
    async with (
        ScriptedClamd() as clamd,
        files_on("filesystem", postgres(), folder, clamd_address=clamd.address) as found,
    ):
        yield User(found), clamd, found


async def test_S5_malware_is_refused_and_without_the_scanner_everything_is(
    postgres: Callable[[], str], tmp_path: Path
) -> None:
    """S5: fail closed; an upload in parts may be completed once the scanner is back."""
    async with with_scanner(postgres, tmp_path) as (ada, clamd, storage):
        refused = await failure(ada.upload(samples.EICAR))
        assert (refused.code, refused.reason) == (CODE.INVALID_ARGUMENT, "MALWARE_FOUND")
        assert refused.metadata["signature"] == "Eicar-Test-Signature"
        kept = await ada.upload(PNG)
        upload = await ada.begin(PNG)
        await ada.send(upload.upload_id, PNG, 0)
        await clamd.stop()
        for call in (ada.upload(PNG), ada.complete(upload.upload_id)):
            away = await failure(call)
            assert (away.code, away.retry_after) == (CODE.UNAVAILABLE, timedelta(seconds=5))
        await clamd.start()
        second = await ada.complete(upload.upload_id)
        assert [file.file_id for file in (await ada.list()).files] == [kept.file_id, second.file_id]
        assert len(storage.files()) == 2


@pytest.mark.parametrize("backend", ["rclone", "ministack"])
async def test_S5_bytes_go_to_the_store_itself(backend: str, postgres: Callable[[], str], tmp_path: Path) -> None:
    """S5, S3: a presigned PUT of just this length and type, inspected all the same when it is completed; the URL is of
    no use afterwards.
    """
    async with files_on(backend, postgres(), tmp_path) as storage, httpx.AsyncClient(trust_env=False) as client:
        ada = User(storage)
        assert (await failure(ada.begin(PNG, presigned=True))).violations[0][0] == "sha256"
        wanted = {"presigned": True, "sha256": sha256(PNG), "content_type": "image/png"}
        upload = await ada.begin(PNG, **wanted)
        [part] = upload.presigned.parts
        assert (await failure(ada.complete(upload.upload_id))).code is CODE.FAILED_PRECONDITION
        if backend == "rclone":  # the other one checks no signatures
            wrong = await client.put(part.url + "0", content=PNG, headers=dict(part.headers))
            assert wrong.status_code == 403
        assert (await client.put(part.url, content=PNG, headers=dict(part.headers))).status_code == 200
        file = await ada.complete(upload.upload_id)
        assert (file.content_type, file.sha256) == ("image/png", sha256(PNG))
        other = samples.image(mode="L").ljust(len(PNG), b"x")[: len(PNG)]
        await client.put(part.url, content=other, headers=dict(part.headers))
        assert await content(storage, ada, file.file_id) == PNG
        upload = await ada.begin(other, **wanted)
        await client.put(upload.presigned.parts[0].url, content=other, headers=dict(upload.presigned.parts[0].headers))
        assert (await failure(ada.complete(upload.upload_id))).violations[0][0] == "sha256"
        assert (await ada.list()).quota.files == 1


async def test_S5_without_a_store_that_takes_bytes_there_are_no_presigned_parts(
    postgres: Callable[[], str], tmp_path: Path
) -> None:
    """S5: the client sends the parts here then."""
    async with files_on("filesystem", postgres(), tmp_path) as storage:
        upload = await User(storage).begin(PNG, presigned=True, sha256=sha256(PNG))
        assert (upload.HasField("presigned"), upload.part_size_bytes) == (False, PART_BYTES)


async def test_S5_all_versions_of_a_deleted_file_are_gone(postgres: Callable[[], str], tmp_path: Path) -> None:
    """S5, S6: neither a version nor a delete marker is left."""
    async with files_on("ministack", postgres(), tmp_path) as storage:
        client, ada = ministack().client, User(storage)
        bucket = f"test-t2m-code-us-east-1-{storage.settings.storage_account}"
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        file = await ada.upload(PNG)
        assert len(client.list_object_versions(Bucket=bucket)["Versions"]) == 1
        await ada.delete(file.file_id)
        left = client.list_object_versions(Bucket=bucket)
        assert not left.get("Versions")
        assert not left.get("DeleteMarkers")


async def test_S5_uploads_that_nobody_completes_end(postgres: Callable[[], str], tmp_path: Path) -> None:
    """S5: their room is given back and their bytes go, by the sweep at the start of a server."""
    url, clock = postgres(), ManualClock(datetime.now(UTC))
    settings: dict[str, Any] = {"clock": clock, "file_upload_lifetime_s": 600, "sweep_interval_s": 0.05}
    async with files_on("filesystem", url, tmp_path, **settings) as storage:
        ada = User(storage)
        upload = await ada.begin(PNG)
        await ada.send(upload.upload_id, PNG, 0)
        clock.advance(timedelta(seconds=601))
        assert (await failure(ada.status(upload.upload_id))).code is CODE.NOT_FOUND
        await eventually(storage.has_nothing, "nothing is left")
        assert (await ada.list()).quota.files == 0

"""What only S3 has: parts, versions, signed URLs, and a network that may be away (S1, S2, S3)."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from services.storage.adapters.s3 import S3BlobStore, S3Options, create_client
from services.storage.adapters.s3.store import disposition
from services.storage.application.ports import Presentation
from services.storage.domain.errors import BytesLost, StorageUnavailable
from services.storage.domain.keys import BucketNames
from services.storage.domain.objects import BlobAddress, Bucket
from tests.contract.test_storage_blob_store import chunks_of, read_all
from tests.fakes.patterns import pattern
from tests.s3_servers import S3Server, credentials, ministack, rclone

SERVERS = {"rclone": rclone, "ministack": ministack}
VIDEO = BlobAddress(Bucket.VIDEOS, "users/u1/jobs/j1/video/000001-a.mp4")
STILL = BlobAddress(Bucket.THUMBNAILS, "users/u1/jobs/j1/thumbnail/000001-b.png")
MIB = 1024 * 1024
_numbers = itertools.count(1)


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> S3Server:
    return SERVERS[request.param]()


@pytest.fixture
def names() -> BucketNames:
    return BucketNames("test", "local", f"s{next(_numbers)}")


@pytest.fixture
def store(server: S3Server, names: BucketNames) -> Iterator[S3BlobStore]:
    server.make_buckets(names)
    store = S3BlobStore(server.client, names)
    yield store
    store.close()


class Instead:
    """A client that does some calls in another way."""

    def __init__(self, client: Any, **instead: Any) -> None:
        self._client = client
        self._instead = instead

    def __getattr__(self, name: str) -> Any:
        return self._instead.get(name) or getattr(self._client, name)


@pytest.mark.parametrize(
    ("started", "address", "mebibytes", "in_parts"),
    [
        (ministack, STILL, 24, False),
        (ministack, STILL, 26, True),
        (rclone, VIDEO, 49, False),
        (rclone, VIDEO, 51, True),
    ],
)
async def test_S4_large_objects_go_in_parts(
    names: BucketNames, started: Callable[[], S3Server], address: BlobAddress, mebibytes: int, in_parts: bool
) -> None:
    """S4: from 25 MiB on, videos from 50 MiB on; read back whole."""
    server = started()
    server.make_buckets(names)
    data = pattern(mebibytes * MIB)
    store = S3BlobStore(server.client, names)
    calls: list[str] = []

    def called(model: Any, **_: Any) -> None:
        calls.append(model.name)

    server.client.meta.events.register("before-call.s3", called)
    try:
        receipt = await store.put(address, chunks_of(data, MIB), content_type="video/mp4")
    finally:
        server.client.meta.events.unregister("before-call.s3", called)
    assert receipt.size_bytes == len(data)
    assert calls.count("UploadPart") == (-(-mebibytes // 8) if in_parts else 0)
    assert calls.count("PutObject") == (0 if in_parts else 1)
    store.close()


async def test_S1_an_upload_that_is_cut_in_its_parts_leaves_none(server: S3Server, names: BucketNames) -> None:
    """S1: neither an object nor parts that somebody would pay for."""
    server.make_buckets(names)
    store = S3BlobStore(server.client, names)

    async def cut() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield pattern(MIB)
        raise ConnectionResetError("the writer went away")

    with pytest.raises(ConnectionResetError):
        await store.put(STILL, cut(), content_type="image/png")
    assert await store.head(STILL) is None
    if server is ministack():
        assert not server.client.list_multipart_uploads(Bucket=names.of(STILL.bucket)).get("Uploads")
    store.close()


async def test_S2_what_is_stored_is_encrypted_and_typed(names: BucketNames) -> None:
    """S2: AES-256 is asked for with every object."""
    server = ministack()
    server.make_buckets(names)
    store = S3BlobStore(server.client, names)
    await store.put(STILL, chunks_of(b"png"), content_type="image/png")
    found = server.client.head_object(Bucket=names.of(STILL.bucket), Key=STILL.key)
    assert (found["ServerSideEncryption"], found["ContentType"]) == ("AES256", "image/png")
    store.close()


async def test_S2_every_version_goes(names: BucketNames) -> None:
    """S2, J10: where the bucket keeps versions, a deletion leaves none of them, and no marker."""
    server = ministack()
    server.make_buckets(names)
    bucket = names.of(STILL.bucket)
    server.client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    store = S3BlobStore(server.client, names)
    for data in (b"one", b"two"):
        receipt = await store.put(STILL, chunks_of(data), content_type="image/png")
    assert receipt.version == server.client.head_object(Bucket=bucket, Key=STILL.key)["VersionId"]
    other = BlobAddress(STILL.bucket, STILL.key + "x")
    await store.put(other, chunks_of(b"other"), content_type="image/png")
    server.client.delete_object(Bucket=bucket, Key=STILL.key)
    await store.delete(STILL)
    left = server.client.list_object_versions(Bucket=bucket)
    assert [each["Key"] for each in left["Versions"]] == [other.key]
    assert not left.get("DeleteMarkers")
    store.close()


async def test_S4_bytes_that_changed_in_the_store_are_found(server: S3Server, names: BucketNames) -> None:
    """S4: our own SHA-256 of what was stored; nothing is left of it."""
    server.make_buckets(names)
    client = server.client

    def damaged(*, Body: bytes, **options: Any) -> Any:  # noqa: N803  # boto3's names
        data = bytearray(Body)
        data[len(data) // 2] ^= 1
        return client.put_object(**options, Body=bytes(data))

    store = S3BlobStore(Instead(client, put_object=damaged), names)
    with pytest.raises(StorageUnavailable, match="other bytes"):
        await store.put(STILL, chunks_of(pattern(100_000)), content_type="image/png")
    assert await store.head(STILL) is None
    store.close()


async def presigned(store: S3BlobStore, seconds: float = 60, **how: Any) -> str:
    url = await store.presign(
        STILL,
        expires_at=datetime.now(UTC) + timedelta(seconds=seconds),
        content_type="image/png",
        presentation=Presentation(**how),
    )
    assert url is not None
    return url


async def test_S3_a_signed_url_serves_the_object_as_it_should_look(store: S3BlobStore) -> None:
    """S3: type, name and cache control; ranges too."""
    await store.put(STILL, chunks_of(b"0123456789"), content_type="image/png")
    url = await presigned(store, filename="Übung 1.png", cache_control="private, max-age=60")
    async with httpx.AsyncClient(trust_env=False) as client:
        whole = await client.get(url)
        part = await client.get(url, headers={"Range": "bytes=2-4"})
    assert (whole.status_code, whole.content) == (200, b"0123456789"), whole.text
    assert part.content == b"234"  # with 206, but rclone says 200
    assert whole.headers["content-type"] == "image/png"


async def test_S3_a_signed_url_is_good_for_one_key_and_one_method(names: BucketNames) -> None:
    """S3: another key, another method, a changed field and another's signature are refused."""
    server = rclone()  # the one that checks signatures
    server.make_buckets(names)
    store = S3BlobStore(server.client, names)
    other = BlobAddress(STILL.bucket, STILL.key.replace("-b.", "-c."))
    for address in (STILL, other):
        await store.put(address, chunks_of(b"0123456789"), content_type="image/png")
    url = await presigned(store, filename="a.png")
    with credentials(server.access_key, server.secret_key + "x"):
        stranger = S3BlobStore(create_client(server.options), names)
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(url)).status_code == 200
        for tampered in (
            url.replace("-b.png?", "-c.png?"),
            url.replace("a.png", "b.png"),
            url.replace("X-Amz-Expires=", "X-Amz-Expires=1"),
            await presigned(stranger, filename="a.png"),
        ):
            assert tampered != url
            assert (await client.get(tampered)).status_code == 403, tampered
        for method in ("PUT", "DELETE"):
            assert (await client.request(method, url, content=b"")).status_code == 403
    assert await store.head(STILL) == 10
    stranger.close()
    store.close()


async def test_S3_an_unreachable_store_says_so_and_nothing_secret() -> None:
    """S4, O9: no credential, no signature in what is raised, or logged."""
    names = BucketNames("test", "local", "away")
    with credentials("an-access-key", "a-secret-of-nobody"):
        client = create_client(S3Options("us-east-1", "http://127.0.0.1:9", path_style=True))
    store = S3BlobStore(client, names)
    for call in (store.head(STILL), store.delete(STILL), store.put(STILL, chunks_of(b"x"), content_type="image/png")):
        with pytest.raises(StorageUnavailable, match="cannot be reached") as caught:
            await asyncio.wait_for(call, 60)
        assert "an-access-key" not in str(caught.value)
        assert "a-secret-of-nobody" not in str(caught.value)
    store.close()


async def test_S3_wrong_credentials_are_refused_by_name_of_the_error(
    names: BucketNames, caplog: pytest.LogCaptureFixture
) -> None:
    """S4: and are in no log."""
    server = rclone()
    server.make_buckets(names)
    with credentials(server.access_key, "wrong-of-nobody"), caplog.at_level(logging.INFO):
        store = S3BlobStore(create_client(server.options), names)
        with pytest.raises(StorageUnavailable, match="refused"):
            await store.put(STILL, chunks_of(b"x"), content_type="image/png")
    assert "wrong-of-nobody" not in caplog.text
    store.close()


async def test_S1_bytes_that_are_gone_are_told_apart_from_a_store_that_is_away(store: S3BlobStore) -> None:
    """S1: a missing object, and a range beyond the end."""
    with pytest.raises(BytesLost):
        await read_all(store, STILL, 0, 10)
    await store.put(STILL, chunks_of(b"0123456789"), content_type="image/png")
    for offset, length in ((5, 10), (10, 1)):
        with pytest.raises(BytesLost):
            await read_all(store, STILL, offset, length)


@pytest.mark.parametrize(
    ("presentation", "expected"),
    [
        (Presentation(), "attachment"),
        (Presentation("a b.mp4"), "attachment; filename=\"a b.mp4\"; filename*=UTF-8''a%20b.mp4"),
        (Presentation("Übung.mp4", inline=True), "inline; filename=\"_bung.mp4\"; filename*=UTF-8''%C3%9Cbung.mp4"),
        (Presentation('a"\r\n\\.mp4'), "attachment; filename=\"a____.mp4\"; filename*=UTF-8''a%22%0D%0A%5C.mp4"),
    ],
)
def test_V4_names_of_any_script_and_no_header_of_their_own(presentation: Presentation, expected: str) -> None:
    """V4: RFC 6266 and RFC 8187."""
    assert disposition(presentation) == expected

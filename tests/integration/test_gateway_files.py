"""Objects through the real server (V4, V7): ranges, conditions, redirects, back-pressure, broken reads."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import grpc
import pytest

from tests.fakes.grpc_backends import JOB_ID
from tests.integration.gateway_harness import ALICE, GatewayUnderTest, error_of, running_gateway

URL = f"/api/v1/videos/jobs/{JOB_ID}/download"
CONTENT = random.Random(1).randbytes(300_000)


@pytest.fixture
async def gateway() -> AsyncIterator[GatewayUnderTest]:
    async with running_gateway() as running:
        running.backends.store(CONTENT)
        yield running


async def test_V4_the_whole_file(gateway: GatewayUnderTest) -> None:
    """V4: bytes, type, length, strong ETag, dates, name in both spellings."""
    answer = await gateway.client.get(URL, headers=ALICE)
    assert (answer.status_code, answer.content) == (200, CONTENT)
    headers = answer.headers
    assert (headers["content-type"], headers["content-length"]) == ("video/mp4", "300000")
    assert headers["etag"] == f'"{gateway.script.location.etag}"'
    assert (headers["accept-ranges"], headers["last-modified"]) == ("bytes", "Thu, 31 Jan 2030 12:00:00 GMT")
    expected = "attachment; filename=\"_berblick.mp4\"; filename*=UTF-8''%C3%9Cberblick.mp4"
    assert headers["content-disposition"] == expected
    assert headers["cache-control"] == "private, no-cache"
    assert "sandbox" in headers["content-security-policy"]


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        ("bytes=0-99", 0, 99),
        ("bytes=100000-199999", 100_000, 199_999),
        ("bytes=299999-", 299_999, 299_999),
        ("bytes=-1", 299_999, 299_999),
        ("bytes=-999999999", 0, 299_999),
        ("bytes=5-999999999", 5, 299_999),
    ],
)
async def test_V4_a_range_is_206_and_only_that_is_read(
    gateway: GatewayUnderTest, header: str, first: int, last: int
) -> None:
    """V4: single, open and suffix ranges; storage is asked for no byte more."""
    answer = await gateway.client.get(URL, headers={**ALICE, "Range": header})
    assert (answer.status_code, answer.content) == (206, CONTENT[first : last + 1])
    assert answer.headers["content-range"] == f"bytes {first}-{last}/300000"
    assert gateway.script.reads == [(first, last - first + 1)]


@pytest.mark.parametrize("header", ["bytes=300000-", "bytes=9-1", "bytes=-0", "bytes=-", "bytes=a-b", "bytes=1"])
async def test_V4_O6_a_bad_range_is_416(gateway: GatewayUnderTest, header: str) -> None:
    """V4, O6: beyond the end and malformed alike, with the size that would do."""
    answer = await gateway.client.get(URL, headers={**ALICE, "Range": header})
    assert (answer.status_code, error_of(answer)["error_code"]) == (416, "RANGE_NOT_SATISFIABLE")
    assert answer.headers["content-range"] == "bytes */300000"
    assert gateway.script.reads == []


@pytest.mark.parametrize("header", ["bytes=0-1,5-6", "items=0-1"])
async def test_V4_lists_and_other_units_are_ignored(gateway: GatewayUnderTest, header: str) -> None:
    """V4: RFC 9110 §14.2 lets a server send everything."""
    assert (await gateway.client.get(URL, headers={**ALICE, "Range": header})).status_code == 200


async def test_V7_conditions(gateway: GatewayUnderTest) -> None:
    """V7: 304 by ETag and by date; If-Range sends everything when the file is another by now."""
    etag = f'"{gateway.script.location.etag}"'
    for condition in (
        {"If-None-Match": etag},
        {"If-None-Match": f'"x", W/{etag}'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": "Thu, 31 Jan 2030 12:00:00 GMT"},
    ):
        answer = await gateway.client.get(URL, headers={**ALICE, **condition})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag), condition
    stale = {"If-None-Match": '"x"', "If-Modified-Since": "Thu, 31 Jan 2030 12:00:00 GMT"}
    assert (await gateway.client.get(URL, headers={**ALICE, **stale})).status_code == 200
    for value, status in ((etag, 206), ('"x"', 200), (f"W/{etag}", 200), ("Thu, 31 Jan 2030 12:00:00 GMT", 206)):
        answer = await gateway.client.get(URL, headers={**ALICE, "Range": "bytes=0-1", "If-Range": value})
        assert answer.status_code == status


async def test_V4_head_reads_nothing(gateway: GatewayUnderTest) -> None:
    """V4: the headers of GET, no read; ranges are defined for GET only."""
    answer = await gateway.client.head(URL, headers={**ALICE, "Range": "bytes=0-1"})
    assert (answer.status_code, answer.headers["content-length"]) == (200, "300000")
    assert gateway.script.reads == []


async def test_V4_an_empty_object(gateway: GatewayUnderTest) -> None:
    """V4: 200 without a read; no range fits."""
    gateway.backends.store(b"")
    assert (await gateway.client.get(URL, headers=ALICE)).content == b""
    assert (await gateway.client.get(URL, headers={**ALICE, "Range": "bytes=0-"})).status_code == 416


async def test_V4_on_s3_it_is_a_redirect(gateway: GatewayUnderTest) -> None:
    """V4: 307 to the presigned URL."""
    gateway.script.location.redirect = True
    gateway.script.location.url = "https://bucket.example/key?signature=x"
    answer = await gateway.client.get(URL, headers=ALICE)
    assert (answer.status_code, answer.headers["location"]) == (307, "https://bucket.example/key?signature=x")
    assert answer.headers["cache-control"] == "no-store"
    answer = await gateway.client.head(URL, headers=ALICE)  # the store signed a GET, and would refuse this
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, "300000", b"")
    assert (answer.headers["content-type"], answer.headers["accept-ranges"]) == ("video/mp4", "bytes")
    assert "filename*=UTF-8''%C3%9Cberblick.mp4" in answer.headers["content-disposition"]
    assert not {"etag", "last-modified", "location"} & set(answer.headers)


async def test_V4_a_read_that_breaks_is_continued(gateway: GatewayUnderTest) -> None:
    """V4: storage restarts in the middle; the client gets every byte once."""
    gateway.script.break_read_at = 131_072
    answer = await gateway.client.get(URL, headers=ALICE)
    assert answer.content == CONTENT
    assert gateway.script.reads == [(0, 300_000), (131_072, 300_000 - 131_072)]


async def test_V4_O6_a_refused_read_is_an_error_not_an_empty_file(gateway: GatewayUnderTest) -> None:
    """O6: the first chunk is there before the status goes out."""
    gateway.script.location.read_ticket = "forged"
    answer = await gateway.client.get(URL, headers=ALICE)
    assert answer.status_code == 401
    error_of(answer)


async def test_V4_a_video_that_is_not_ready_is_409(gateway: GatewayUnderTest) -> None:
    """V4, O6: FAILED_PRECONDITION."""
    gateway.script.refusal = (grpc.StatusCode.FAILED_PRECONDITION, "STATE_CONFLICT", ())
    answer = await gateway.client.get(URL, headers=ALICE)
    assert (answer.status_code, error_of(answer)["details"]["reason"]) == (409, "STATE_CONFLICT")


async def test_V4_a_client_that_does_not_read_stops_the_read(gateway: GatewayUnderTest) -> None:
    """V4: memory is bounded by what is on the way; a client that leaves ends the read."""
    size = 64 << 20
    gateway.backends.store(bytes(size))
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1024)
    writer.write(f"GET {URL} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer alice-token\r\n\r\n".encode())
    await reader.readline()
    seen = -1
    async with asyncio.timeout(20):
        while seen != gateway.script.bytes_read:  # Until nothing moves any more.
            seen = gateway.script.bytes_read
            await _pause(0.3)
    assert seen < size // 2
    writer.close()


async def _pause(seconds: float) -> None:
    """Give the server the chance to read on, if it would."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()

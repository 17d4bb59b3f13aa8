"""Requests that come slowly, deeply nested, or never end: bounded in time and size (A5's corpus, O6)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from tests.integration.gateway_harness import GatewayUnderTest, running_gateway

CREDENTIAL = b"Authorization: Bearer alice-token\r\n"
GENERATE = b"POST /api/v1/videos/generate HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n" + CREDENTIAL
UPLOAD = b"POST /api/v1/files?filename=a.bin HTTP/1.1\r\nHost: t\r\n" + CREDENTIAL


@pytest.fixture
async def gateway() -> AsyncIterator[GatewayUnderTest]:
    """With little patience."""
    bounds = {"body_deadline_s": 0.3, "head_deadline_s": 0.3, "max_head_bytes": 4096, "upload_min_bytes_per_s": 1000000}
    async with running_gateway(**bounds) as gateway:
        yield gateway


class Wire:
    """A connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def to(cls, gateway: GatewayUnderTest) -> Wire:
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", gateway.port))

    async def send(self, data: bytes) -> None:
        """Write."""
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, header fields, body."""
        async with asyncio.timeout(10):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            status, *lines = head.strip().split("\r\n")
            fields = dict(line.lower().split(": ", 1) for line in lines)
            body = await self._reader.readexactly(int(fields["content-length"]))
        return int(status.split()[1]), fields, body

    async def ended(self) -> bytes:
        """What comes until the server closes."""
        async with asyncio.timeout(10):
            return await self._reader.read()


async def test_O6_a_body_that_does_not_come_is_a_408(gateway: GatewayUnderTest) -> None:
    """O6: with the body of every error; the connection ends and no backend was asked."""
    wire = await Wire.to(gateway)
    await wire.send(GENERATE + b'Content-Length: 100\r\n\r\n{"topic"')
    status, fields, body = await wire.answer()
    error = json.loads(body)["error"]
    assert (status, error["error_code"], error["details"]["reason"]) == (408, "REQUEST_TIMEOUT", "REQUEST_TOO_SLOW")
    assert fields["connection"] == "close"
    assert await wire.ended() == b""
    assert gateway.script.created == []


async def test_O6_a_body_that_drips_is_a_408_too(gateway: GatewayUnderTest) -> None:
    """O6: each byte in time does not help; the whole is due."""
    wire = await Wire.to(gateway)
    await wire.send(GENERATE + b"Transfer-Encoding: chunked\r\n\r\n")

    async def drip() -> None:
        while True:
            await wire.send(b"1\r\n \r\n")
            await asyncio.sleep(0.02)

    dripping = asyncio.create_task(drip())
    try:
        assert (await wire.answer())[0] == 408
    finally:
        dripping.cancel()


async def test_O6_an_upload_that_pauses_for_too_long_is_a_408(gateway: GatewayUnderTest) -> None:
    """O6: the service is told that no more will come."""
    gateway.script.held.set()
    wire = await Wire.to(gateway)
    await wire.send(UPLOAD + b"Content-Length: 1000000\r\n\r\n" + b"x" * 1000)
    assert (await wire.answer())[0] == 408
    async with asyncio.timeout(10):
        await gateway.script.cancelled.wait()


REFUSED_HEADS = [
    (b"GET /health HTTP/1.1\r\n" + b"".join(b"X-%d: aaaaaaaa\r\n" % number for number in range(400)), 431),
    (b"GET /health HTTP/1.1\r\nX-Long: " + b"a" * 5000, 431),
    (b"GET /" + b"a" * 5000, 414),
    (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: t\r\n\r\n", 414),
    (b"no HTTP at all\r\n\r\n", 400),
    (b"GET /health#part HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    (b"GET /he\xc3\xa4lth HTTP/1.1\r\nHost: t\r\n\r\n", 400),
]


@pytest.mark.parametrize("piece", [1000, 100_000])
async def test_O6_a_head_that_is_too_large_or_none_is_refused(gateway: GatewayUnderTest, piece: int) -> None:
    """O6: 431 or 414 as soon as it is too large, in the form of every error, and the connection ends."""
    for head, status in REFUSED_HEADS:
        wire = await Wire.to(gateway)
        for start in range(0, len(head), piece):
            await wire.send(head[start : start + piece])
        found, fields, body = await wire.answer()
        error = json.loads(body)["error"]
        assert (found, fields["connection"], error["request_id"]) == (status, "close", fields["x-request-id"]), head
        assert set(error) == {"message", "error_code", "details", "timestamp", "path", "request_id"}
        assert await wire.ended() == b""


@pytest.mark.parametrize("sent", [b"", b"GET /health HTTP/1.1\r\nHost: t\r\n"])
async def test_O6_a_head_that_does_not_come_ends_the_connection(gateway: GatewayUnderTest, sent: bytes) -> None:
    """O6: half a head, or none."""
    wire = await Wire.to(gateway)
    await wire.send(sent)
    assert await wire.ended() == b""


async def test_O6_a_second_head_is_due_as_well(gateway: GatewayUnderTest) -> None:
    """O6: a connection that has had an answer is no exception, nor one whose body was refused unread."""
    wire = await Wire.to(gateway)
    await wire.send(b"GET /health HTTP/1.1\r\nHost: t\r\n\r\n")
    assert (await wire.answer())[0] == 200
    await wire.send(b"GET /health HTTP/1.1\r\n")
    assert await wire.ended() == b""
    wire = await Wire.to(gateway)
    await wire.send(b"POST /api/v1/videos/generate HTTP/1.1\r\nHost: t\r\nContent-Length: 99\r\n\r\nx")
    assert (await wire.answer())[0] == 401
    await wire.send(b"x")
    assert await wire.ended() == b""


async def test_O6_large_bodies_and_many_requests_are_not_taken_for_heads(gateway: GatewayUnderTest) -> None:
    """O6: what is counted is the head alone."""
    wire = await Wire.to(gateway)
    body = json.dumps({"topic": "t", "context": "c" * 9000}).encode()
    for _ in range(3):
        await wire.send(GENERATE + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert (await wire.answer())[0] == 201


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a":' * 20_000, (400, "malformed JSON")),
        (b"[" * 100_000, (400, "malformed JSON")),
        (b'{"configuration":' + b'{"a":' * 100 + b"1" + b"}" * 101, (422, "configuration: nested deeper than")),
        (b'{"configuration":{"a":' + b"[" * 500 + b"]" * 500 + b"}}", (422, "configuration: nested deeper than")),
        (b'{"topic":' + b"[" * 900 + b"]" * 900 + b"}", (422, "topic: ")),
        (b'{"nothing":' + b"[" * 900 + b"]" * 900 + b"}", (422, "nothing: ")),
    ],
)
async def test_O6_deep_nesting_is_a_clear_error(
    gateway: GatewayUnderTest, body: bytes, expected: tuple[int, str]
) -> None:
    """O6: whatever the depth and the place; never a crash."""
    wire = await Wire.to(gateway)
    await wire.send(GENERATE + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    status, _, answer = await wire.answer()
    assert status == expected[0]
    assert expected[1] in json.loads(answer)["error"]["message"]


async def test_O6_of_a_key_given_twice_the_last_one_counts(gateway: GatewayUnderTest) -> None:
    """O6: JSON is read once, here; no two parsers can disagree about it."""
    body = b'{"topic": "first", "context": "c", "topic": "last"}'
    wire = await Wire.to(gateway)
    await wire.send(GENERATE + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert (await wire.answer())[0] == 201
    assert gateway.script.created[-1].topic == "last"

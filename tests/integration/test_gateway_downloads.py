"""A stream of bodies as a download, through the real server (A8): at the client's pace, and whole or visibly not."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import grpc
import httpx
import pytest

from tests.integration.gateway_harness import ALICE, GatewayUnderTest, error_of, running_gateway

URL = "/api/v1/users/me/export"
CONTENT = random.Random(2).randbytes(700_000)


@pytest.fixture
async def gateway() -> AsyncIterator[GatewayUnderTest]:
    async with running_gateway() as running:
        running.script.content = CONTENT
        yield running


async def test_A8_a_download_has_its_type_its_name_and_every_byte(gateway: GatewayUnderTest) -> None:
    answer = await gateway.client.get(URL, headers=ALICE)
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == 'attachment; filename="t2m-export.zip"'
    assert answer.headers["cache-control"] == "no-store"
    assert "content-length" not in answer.headers


async def test_A8_an_error_before_the_first_byte_is_an_error_body(gateway: GatewayUnderTest) -> None:
    gateway.script.refusal = (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", ())
    answer = await gateway.client.get(URL, headers=ALICE)
    assert (answer.status_code, error_of(answer)["error_code"]) == (429, "RATE_LIMIT_EXCEEDED")
    assert (await gateway.client.get(URL)).status_code == 401


async def test_A8_an_error_on_the_way_breaks_the_connection_off(gateway: GatewayUnderTest) -> None:
    gateway.script.break_read_at = 200_000
    received = 0
    with pytest.raises(httpx.RemoteProtocolError):
        received = await _read_all(gateway)
    assert received == 0


async def test_A8_a_client_that_reads_slowly_holds_the_service_up_and_one_that_leaves_ends_it(
    gateway: GatewayUnderTest,
) -> None:
    gateway.script.content = CONTENT * 40
    async with gateway.client.stream("GET", URL, headers=ALICE) as answer:
        chunks = answer.aiter_bytes()
        await anext(chunks)
        seen = -1
        while gateway.script.bytes_read != seen:  # until nothing more is taken from the service
            seen = gateway.script.bytes_read
            await asyncio.sleep(0.2)
        assert seen < len(gateway.script.content) // 2
    async with asyncio.timeout(10):
        await gateway.script.cancelled.wait()


async def test_A8_a_head_request_gets_no_body(gateway: GatewayUnderTest) -> None:
    answer = await gateway.client.head(URL, headers=ALICE)
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"", "application/zip")


async def _read_all(gateway: GatewayUnderTest) -> int:
    async with gateway.client.stream("GET", URL, headers=ALICE) as answer:
        return sum([len(chunk) async for chunk in answer.aiter_bytes()])

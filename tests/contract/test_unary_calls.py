"""Unary calls of the gateway, over grpc.aio and over its own HTTP/2: the same behaviour (P1), on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.contract.unary_harness import (
    BIG,
    ECHO,
    FACTS,
    FAIL,
    HOLD,
    MAKES,
    Unary,
    channel_to,
    failed,
    serving,
    uvloop_policy,
)

event_loop_policy = uvloop_policy


@pytest.fixture(params=MAKES)
def make(request: pytest.FixtureRequest) -> str:
    """Both makes of channels."""
    return str(request.param)


@pytest.fixture
async def server() -> AsyncIterator[Unary]:
    """A server."""
    async with serving() as running:
        yield running


@pytest.fixture
async def channel(make: str, server: Unary) -> AsyncIterator[Any]:
    """A channel to it."""
    async with channel_to(make, server.address) as made:
        yield made


@pytest.mark.parametrize("size", [0, 1, 16_379, 16_380, 65_531, 3 << 20])
async def test_p1_messages_of_any_size_go_both_ways(channel: Any, size: int) -> None:
    sent = bytes(range(256)) * (size // 256) + bytes(size % 256)
    assert await channel.unary_unary(ECHO)(sent, timeout=20) == sent


async def test_p1_many_calls_share_the_channel(channel: Any) -> None:
    echo = channel.unary_unary(ECHO)
    sent = [b"%d" % number * number for number in range(200)]
    assert await asyncio.gather(*(echo(each, timeout=20) for each in sent)) == sent


async def test_p1_metadata_go_both_ways(channel: Any, server: Unary) -> None:
    sent = (
        ("x-request-id", "r" * 300),
        ("authorization", "Bearer t"),
        ("raw-bin", b"\x00\x01\xfe"),
        ("long", "l" * 40_000),
    )
    call = channel.unary_unary(FACTS)(b"", timeout=10, metadata=sent)
    await call
    assert server.seen[0].items() >= dict(sent).items()
    initial = dict(await call.initial_metadata())
    assert (initial["begins"], initial["raw-bin"]) == ("here", b"\x00\xff")


@pytest.mark.parametrize(
    "code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK], ids=lambda c: c.name
)
async def test_p1_a_refusal_arrives_with_all_that_was_said(channel: Any, code: grpc.StatusCode) -> None:
    error = await failed(channel.unary_unary(FAIL)(bytes((code.value[0],)), timeout=10))
    assert (error.code(), error.details()) == (code, "100 % schön\n")
    trailing = dict(error.trailing_metadata())
    assert (trailing["grpc-status-details-bin"], trailing["why"]) == (b"\x08\x05\xff", "so")


async def test_p1_a_method_that_nobody_serves(channel: Any) -> None:
    error = await failed(channel.unary_unary("/test.Unary/Nothing")(b"", timeout=10))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_p1_the_deadline_is_told_and_kept(channel: Any, server: Unary) -> None:
    await channel.unary_unary(FACTS)(b"", timeout=15)
    assert 0 < server.remaining_s[0] <= 15.1
    error = await failed(channel.unary_unary(HOLD)(b"", timeout=0.2))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    async with asyncio.timeout(10):
        await server.cancelled.wait()


@pytest.mark.parametrize("how", ["call", "task"])
async def test_p1_a_call_that_is_cancelled_ends_at_the_server(channel: Any, server: Unary, how: str) -> None:
    call = channel.unary_unary(HOLD)(b"", timeout=60)

    async def wait() -> bytes:
        answer: bytes = await call
        return answer

    task = asyncio.create_task(wait())
    await server.entered.wait()
    assert (call if how == "call" else task).cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(10):
        await server.cancelled.wait()
    assert await channel.unary_unary(ECHO)(b"after", timeout=10) == b"after"


async def test_p1_a_message_that_is_too_large_is_not_taken(channel: Any) -> None:
    big = channel.unary_unary(BIG)
    assert len(await big(b"%d" % (8 << 20), timeout=20)) == 8 << 20
    error = await failed(big(b"%d" % ((8 << 20) + 1), timeout=20))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await channel.unary_unary(ECHO)(b"after", timeout=10) == b"after"


async def wait(call: Any) -> bytes:
    """The answer."""
    answer: bytes = await call
    return answer


async def test_p1_a_server_that_is_away_fails_fast_and_is_found_again(make: str, server: Unary, channel: Any) -> None:
    echo = channel.unary_unary(ECHO)
    assert await echo(b"1", timeout=10) == b"1"
    held = channel.unary_unary(HOLD)(b"", timeout=60)
    await server.entered.wait()
    await server.stop()
    assert (await failed(held)).code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    assert (await failed(echo(b"2", timeout=60))).code() is grpc.StatusCode.UNAVAILABLE
    assert (await failed(echo(b"3", timeout=60), deadline_s=20)).code() is grpc.StatusCode.UNAVAILABLE
    await server.start()
    async with asyncio.timeout(10):
        while True:
            try:
                assert await echo(b"4", timeout=10) == b"4"
                break
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.02)


async def test_p1_a_server_that_stops_in_order_loses_no_call(make: str, server: Unary, channel: Any) -> None:
    held = asyncio.ensure_future(wait(channel.unary_unary(HOLD)(b"kept", timeout=20)))
    await server.entered.wait()
    stopping = asyncio.create_task(server.stop(10))
    await asyncio.sleep(0)
    server.release.set()
    assert await held == b"kept"
    await stopping


async def test_p1_a_closed_channel_takes_no_calls_and_ends_those_under_way(make: str, server: Unary) -> None:
    channel = MAKES[make](server.address)
    held = asyncio.ensure_future(wait(channel.unary_unary(HOLD)(b"", timeout=20)))
    await server.entered.wait()
    await channel.close()
    with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
        await held
    with pytest.raises(grpc.aio.UsageError):
        await channel.unary_unary(ECHO)(b"", timeout=10)


async def test_p1_a_channel_that_closes_waits_for_its_calls(make: str, server: Unary) -> None:
    channel = MAKES[make](server.address)
    held = asyncio.ensure_future(wait(channel.unary_unary(HOLD)(b"kept", timeout=20)))
    await server.entered.wait()
    closing = asyncio.create_task(channel.close(20))
    await asyncio.sleep(0)
    server.release.set()
    assert await held == b"kept"
    async with asyncio.timeout(10):
        await closing


async def test_p1_names_and_sockets(make: str, server: Unary, tmp_path: Path) -> None:
    port = server.address.rpartition(":")[2]
    for address in (f"localhost:{port}", f"dns:///localhost:{port}", f"ipv4:127.0.0.1:1,127.0.0.1:{port}"):
        async with channel_to(make, address) as channel:
            assert await channel.unary_unary(ECHO)(b"x", timeout=10) == b"x"
    async with serving(f"unix:{tmp_path}/s") as local, channel_to(make, local.address) as channel:
        assert await channel.unary_unary(ECHO)(b"x", timeout=10) == b"x"


async def test_p1_a_name_without_an_address(make: str) -> None:
    async with channel_to(make, "nowhere.invalid:1") as channel:
        assert (await failed(channel.unary_unary(ECHO)(b"", timeout=30))).code() is grpc.StatusCode.UNAVAILABLE

"""One table for every skin of a stream (J7): what holds for SSE holds for NDJSON and for WebSockets.

Where the rows allow it the three follow at once: they share one upstream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from t2m.job.v1 import job_pb2
from tests.fakes.grpc_backends import JOB_ID
from tests.integration.gateway_harness import ALICE, GatewayUnderTest, running_gateway
from tests.integration.stream_clients import EVENTS, SKINS, SOCKET, SocketClient, opened, refusal, seqs

BOB = {"Authorization": "Bearer bob-token"}


@pytest.fixture
async def gateway() -> AsyncIterator[GatewayUnderTest]:
    async with running_gateway() as running:
        yield running


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as running:
        yield running


async def test_J7_snapshot_events_and_the_end(gateway: GatewayUnderTest, stack: AsyncExitStack) -> None:
    """J7: snapshot at S, S+1 and on, the terminal event last; the same data in each skin, over one upstream."""
    await gateway.script.emit(1)
    clients = await opened(stack, gateway)
    for client in clients:
        seq, kind, data = await client.event()
        assert (seq, kind, data["snapshot"]["revision"]) == (1, "snapshot", 1)
    await gateway.script.until(lambda: gateway.script.watching == 1)
    await gateway.script.emit(2)
    events = [await client.event() for client in clients]
    assert events[0][:2] == (2, "progress")
    assert events[0][2]["progress"]["progress"] == 2
    assert events[0][2]["job_id"] == JOB_ID
    assert events[1] == events[2] == events[0]
    await gateway.script.emit(status=job_pb2.JOB_STATUS_COMPLETED)
    for client in clients:
        seq, kind, data = await client.event()
        assert (seq, kind, data["status"]["status"]) == (3, "status", "completed")
        assert await seqs(client) == []


async def test_J7_resuming_loses_and_repeats_nothing(gateway: GatewayUnderTest) -> None:
    """J7: from each position."""
    for progress in range(4):
        await gateway.script.emit(progress)
    await gateway.script.emit(status=job_pb2.JOB_STATUS_FAILED)
    for skin in SKINS.values():
        for after in (0, 2, 4):
            async with skin(gateway, ALICE, after) as client:
                assert await seqs(client) == list(range(after + 1, 6))


async def test_J7_after_the_terminal_event_there_is_nothing(gateway: GatewayUnderTest) -> None:
    """J7: 204, which stops an EventSource; a WebSocket is closed with 1000."""
    await gateway.script.emit(status=job_pb2.JOB_STATUS_COMPLETED)
    for name in ("sse", "ndjson"):
        assert (await refusal(SKINS[name], gateway, ALICE, 1)).status == 204
    async with SKINS["websocket"](gateway, ALICE, 1) as client:
        assert isinstance(client, SocketClient)
        assert (await seqs(client), await client.close_code()) == ([], 1000)


@pytest.mark.parametrize("skin", SKINS)
async def test_J7_refusals_are_the_same(gateway: GatewayUnderTest, stack: AsyncExitStack, skin: str) -> None:
    """J7, A5, O6: 401, 404 of somebody else's job, also while its owner follows it, 410, 422."""
    await gateway.script.emit(1)
    await stack.enter_async_context(SKINS["sse"](gateway, ALICE, 0))
    wrong = {"Authorization": "Bearer nobody"}
    expected = {(401, "UNAUTHENTICATED"): (wrong, 0), (410, "POSITION_EXPIRED"): (ALICE, 99)}
    expected |= {(404, "NOT_FOUND"): (BOB, 0), (422, "VALIDATION_ERROR"): (ALICE, 1 << 64)}
    for (status, code), (headers, after) in expected.items():
        refused = await refusal(SKINS[skin], gateway, headers, after)
        assert (refused.status, refused.error["error_code"]) == (status, code)
        assert set(refused.error) == {"message", "error_code", "details", "timestamp", "path", "request_id"}
        assert refused.error["path"] == (SOCKET if skin == "websocket" else EVENTS)
    snapshot = (await refusal(SKINS[skin], gateway, ALICE, 99)).error["details"]["job_progress"]
    assert snapshot["revision"] == 1, "410 says where to go on from"
    assert (await refusal(SKINS[skin], gateway, BOB, None)).status == 404


async def test_J7_a_quiet_stream_has_heartbeats(stack: AsyncExitStack) -> None:
    """J7: again and again, and events between them."""
    async with running_gateway(stream_heartbeat_s=0.2) as gateway:
        clients = await opened(stack, gateway, after=0)
        for _ in range(2):
            for client in clients:
                await client.heartbeat()
        await gateway.script.emit(status=job_pb2.JOB_STATUS_COMPLETED)
        for client in clients:
            assert await seqs(client) == [1]


async def test_J7_an_upstream_restart_is_not_noticed(gateway: GatewayUnderTest, stack: AsyncExitStack) -> None:
    """J7: the service goes away in the middle and comes back; every seq exactly once."""
    clients = await opened(stack, gateway, after=0)
    await gateway.script.emit(1)
    for client in clients:
        assert (await client.event())[0] == 1
    await gateway.backends.stop()
    gateway.script.watching = 0
    await gateway.script.emit(2)
    await gateway.backends.start()
    await gateway.script.emit(status=job_pb2.JOB_STATUS_COMPLETED)
    for client in clients:
        assert await seqs(client) == [2, 3]


async def test_J7_an_upstream_that_stays_away_ends_the_stream_in_order(stack: AsyncExitStack) -> None:
    """J7: the client resumes; until the service is back that is 503. The last message of a WebSocket has the seq."""
    async with running_gateway(stream_reconnect_s=0.2) as gateway:
        clients = await opened(stack, gateway, after=0)
        await gateway.script.emit(1)
        for client in clients:
            assert (await client.event())[0] == 1
        await gateway.backends.stop()
        for client in clients:
            assert await seqs(client) == []
        socket = clients[-1]
        assert isinstance(socket, SocketClient)
        assert socket.last == {"seq": 1, "event": "end", "data": {"reason": "upstream_lost"}}
        assert await socket.close_code() == 1001
        for skin in SKINS.values():
            assert (await refusal(skin, gateway, ALICE, 1)).status == 503


async def test_O4_J7_draining_ends_streams_with_their_cursor(gateway: GatewayUnderTest, stack: AsyncExitStack) -> None:
    """O4: answers end properly, a WebSocket with 1001 and the seq to go on from; new streams are refused."""
    clients = await opened(stack, gateway, after=0)
    await gateway.script.emit(1)
    for client in clients:
        assert (await client.event())[0] == 1
    gateway.rest.drain()
    for client in clients:
        assert await seqs(client) == []
    socket = clients[-1]
    assert isinstance(socket, SocketClient)
    assert socket.last == {"seq": 1, "event": "end", "data": {"reason": "draining"}}
    assert await socket.close_code() == 1001
    for skin in SKINS.values():
        assert (await refusal(skin, gateway, ALICE, 1)).status == 503


@pytest.mark.parametrize("skin", SKINS)
async def test_J7_a_slow_reader_is_cut_off_and_holds_up_nobody(skin: str) -> None:
    """J7: who does not read falls out of the ring; who does gets every event, and the slow one can resume."""
    async with running_gateway(stream_ring_frames=16) as gateway, SKINS[skin](gateway, ALICE, 0) as fast:
        slow, writer = await _silent_reader(gateway, skin)
        await gateway.script.until(lambda: len(gateway.script.watches) >= 3)
        padding = "x" * 500_000
        for seq in range(1, 61):
            await gateway.script.emit(status=job_pb2.JOB_STATUS_PROCESSING, padding=padding)
            assert (await fast.event())[0] == seq
        await gateway.script.emit(status=job_pb2.JOB_STATUS_COMPLETED)
        assert await seqs(fast) == [61]
        received = await _rest(slow)
        assert b'"seq":1,' in received
        assert b'"seq":60,' not in received, "it was cut off in between"
        assert not received.endswith(b"0\r\n\r\n"), "an unfinished answer tells the client to resume"
        writer.close()


async def _silent_reader(gateway: GatewayUnderTest, skin: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client that asks, and reads nothing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1024)
    head = f"GET {SOCKET if skin == 'websocket' else EVENTS}?after_seq=0 HTTP/1.1\r\nHost: t\r\n"
    head += "Authorization: Bearer alice-token\r\n"
    if skin == "websocket":
        head += "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        head += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    if skin == "ndjson":
        head += "Accept: application/x-ndjson\r\n"
    writer.write((head + "\r\n").encode())
    return reader, writer


async def _rest(reader: asyncio.StreamReader) -> bytes:
    received = bytearray()
    async with asyncio.timeout(20):
        while chunk := await reader.read(1 << 20):
            received += chunk
    return bytes(received)

"""Live progress through the real server (J7): sharing, positions, restarts, limits; see test_gateway_skins, too."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest

from t2m.job.v1 import job_pb2
from tests.fakes.grpc_backends import JOB_ID
from tests.integration.gateway_harness import ALICE, EventStream, GatewayUnderTest, error_of, running_gateway, watch

EVENTS = f"/api/v1/jobs/{JOB_ID}/events"


@pytest.fixture
async def gateway() -> AsyncIterator[GatewayUnderTest]:
    async with running_gateway() as running:
        yield running


async def test_J7_a_position_is_resumed_without_loss_or_repeat(gateway: GatewayUnderTest) -> None:
    """J7: from Last-Event-ID or after_seq; the header wins, as an EventSource keeps its first URL."""
    for progress in range(5):
        await gateway.script.emit(progress)
    await gateway.script.emit(status=job_pb2.JOB_STATUS_FAILED)
    async with watch(gateway, after=2) as stream:
        assert await stream.seqs() == [3, 4, 5, 6]
    async with gateway.client.stream("GET", EVENTS + "?after_seq=0", headers=ALICE) as answer:
        assert await EventStream(answer).seqs() == [1, 2, 3, 4, 5, 6]
    headers = {**ALICE, "Last-Event-ID": "5"}
    async with gateway.client.stream("GET", EVENTS + "?after_seq=0", headers=headers) as answer:
        assert await EventStream(answer).seqs() == [6]


async def test_J7_resuming_after_the_terminal_event_is_204(gateway: GatewayUnderTest) -> None:
    """J7: 204 is what stops an EventSource from reconnecting for ever."""
    await gateway.script.emit(status=job_pb2.JOB_STATUS_COMPLETED)
    answer = await gateway.client.get(EVENTS, headers={**ALICE, "Last-Event-ID": "1"})
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize(
    ("position", "status"), [("soon", 422), ("1e3", 422), ("99999999999999999999", 422), ("99", 410)]
)
async def test_J7_O6_a_bad_position_is_a_clear_4xx(gateway: GatewayUnderTest, position: str, status: int) -> None:
    """J7, O6: malformed positions name the header; one that is not kept is 410 with the state to go on from."""
    await gateway.script.emit(1)
    answer = await gateway.client.get(EVENTS, headers={**ALICE, "Last-Event-ID": position})
    error = error_of(answer)
    assert answer.status_code == status
    if status == 422:
        assert error["details"]["violations"][0]["field"] == "Last-Event-ID"
    else:
        assert (error["error_code"], error["details"]["job_progress"]["revision"]) == ("POSITION_EXPIRED", 1)


async def test_J7_ndjson_for_who_asks(gateway: GatewayUnderTest) -> None:
    """J7: the same events, a line each."""
    await gateway.script.emit(1)
    await gateway.script.emit(status=job_pb2.JOB_STATUS_COMPLETED)
    headers = {**ALICE, "Accept": "application/x-ndjson"}
    answer = await gateway.client.get(EVENTS + "?after_seq=0", headers=headers)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [line[:8] for line in answer.text.splitlines()] == ['{"seq":1', '{"seq":2']


async def test_J7_subscribers_share_one_upstream(gateway: GatewayUnderTest) -> None:
    """J7: after the own call of each has authorised it, one stays; everybody gets everything from its position."""
    await gateway.script.emit(1)
    await gateway.script.emit(2)
    async with contextlib.AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(watch(gateway, after=after)) for after in (0, 2, 1, 2, None)]
        await gateway.script.until(lambda: gateway.script.watching == 1)
        await gateway.script.emit(3)
        await gateway.script.emit(status=job_pb2.JOB_STATUS_COMPLETED)
        assert [await stream.seqs() for stream in streams] == [[1, 2, 3, 4], [3, 4], [2, 3, 4], [3, 4], [2, 3, 4]]


async def test_J7_a_position_before_the_shared_stream_is_filled_from_an_own_one(
    gateway: GatewayUnderTest,
) -> None:
    """J7: the shared stream began at 3; who comes with 0 misses nothing."""
    for progress in range(3):
        await gateway.script.emit(progress)
    async with watch(gateway, after=3) as late, watch(gateway, after=0) as early:
        assert [(await early.event())[0] for _ in range(3)] == [1, 2, 3]
        await gateway.script.emit(status=job_pb2.JOB_STATUS_CANCELLED)
        assert await early.seqs() == [4]
        assert await late.seqs() == [4]


async def test_J7_a_head_request_asks_and_follows_nothing(gateway: GatewayUnderTest) -> None:
    """J7: RFC 9110 §9.3.2; the upstream that was asked is given up, and the connection can be used again."""
    answer = await gateway.client.head(EVENTS, headers=ALICE)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
    await gateway.script.until(lambda: gateway.script.watching == 0)
    assert (await gateway.client.head(EVENTS, headers={"Authorization": "Bearer bob-token"})).status_code == 404


async def test_A5_J7_a_shared_stream_is_no_way_around_permission(gateway: GatewayUnderTest) -> None:
    """A5, J7: another user is refused while the owner's stream runs, with and without a position."""
    await gateway.script.emit(1)
    bob = {"Authorization": "Bearer bob-token"}
    async with watch(gateway, after=0) as stream:
        await stream.event()
        for position in ({}, {"Last-Event-ID": "1"}, {"Last-Event-ID": "0"}):
            answer = await gateway.client.get(EVENTS, headers={**bob, **position})
            assert answer.status_code == 404
            error_of(answer)


async def test_J7_upstream_restart_is_not_noticed(gateway: GatewayUnderTest) -> None:
    """J7: the service goes away in the middle and comes back; every seq exactly once, on one connection."""
    async with watch(gateway, after=0) as stream, watch(gateway, after=0) as second:
        await gateway.script.emit(1)
        assert (await stream.event())[0] == 1
        await gateway.backends.stop()
        gateway.script.watching = 0
        await gateway.script.emit(2)
        await gateway.backends.start()
        await gateway.script.emit(3)
        assert [(await stream.event())[0] for _ in range(2)] == [2, 3]
        await gateway.script.emit(status=job_pb2.JOB_STATUS_COMPLETED)
        assert await stream.seqs() == [4]
        assert await second.seqs() == [1, 2, 3, 4]
    assert 1 in gateway.script.watches[2:], "reopened after the last seq"


async def test_J7_access_that_was_lost_ends_the_stream_at_the_next_reconnect() -> None:
    """A2, J7: the feed reopens under a subscriber's own credential and drops who is refused."""
    async with running_gateway(credential_cache_s=0) as gateway, watch(gateway, after=0) as stream:
        await gateway.script.emit(1)
        assert (await stream.event())[0] == 1
        del gateway.script.credentials["alice-token"]
        await gateway.backends.stop()
        await gateway.backends.start()
        assert await stream.seqs() == []


async def test_J7_a_reader_that_is_alone_is_waited_for(gateway: GatewayUnderTest) -> None:
    """J7: a long history reaches a slow client complete: the upstream feels its pace."""
    for _ in range(40):
        await gateway.script.emit(status=job_pb2.JOB_STATUS_PROCESSING, padding="x" * 200_000)
    await gateway.script.emit(status=job_pb2.JOB_STATUS_COMPLETED)
    async with watch(gateway, after=0) as stream:
        assert await stream.seqs() == list(range(1, 42))


async def test_J7_the_upstream_ends_with_its_last_subscriber(gateway: GatewayUnderTest) -> None:
    """J7: nothing is read for nobody."""
    async with watch(gateway, after=0), watch(gateway, after=0):
        await gateway.script.until(lambda: gateway.script.watching == 1)
    await gateway.script.until(lambda: gateway.script.watching == 0)


async def test_O4_J7_draining_ends_streams_and_readiness() -> None:
    """O4: on SIGTERM the answers end properly, new streams are refused, readiness says no."""
    async with running_gateway() as gateway, watch(gateway, after=0) as stream:
        await gateway.script.emit(1)
        assert (await stream.event())[0] == 1
        gateway.rest.drain()
        assert await stream.seqs() == []
        ready = await gateway.client.get("/health/ready")
        assert (ready.status_code, error_of(ready)["message"]) == (503, "shutting down")
        with contextlib.suppress(httpx.HTTPError):
            answer = await gateway.client.get(EVENTS, headers=ALICE)
            assert answer.status_code == 503


async def test_A7_a_user_has_so_many_streams_open_and_no_more() -> None:
    """A7: 429 for one too many; whoever closes one may open another; other users are others."""
    async with running_gateway(streams_per_user=2) as gateway:
        async with watch(gateway) as first, watch(gateway):
            await first.event()
            refused = await gateway.client.get(f"/api/v1/jobs/{JOB_ID}/events", headers=ALICE)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
            assert error_of(refused)["details"]["open_streams"] == 2
        assert len(gateway.script.watches) == 2
        async with asyncio.timeout(10):
            status = 429
            while status == 429:
                async with gateway.client.stream("GET", f"/api/v1/jobs/{JOB_ID}/events", headers=ALICE) as answer:
                    status = answer.status_code
        assert status == 200

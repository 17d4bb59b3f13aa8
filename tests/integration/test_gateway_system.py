"""What the gateway says of the whole (O1): health, figures, a WebSocket with both kinds of change."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fakes.grpc_backends import JOB_ID
from tests.integration.gateway_harness import ALICE, GatewayUnderTest, error_of, running_gateway
from tests.integration.stream_clients import Refused, SocketClient, seqs, socket

HEALTH = "/api/v1/system/health"
METRICS = "/api/v1/system/metrics"
SOCKET = "/ws/system/health"
ROOT = {"Authorization": "Bearer root-token"}
DOMAINS = {"auth", "job", "video_render", "storage"}


@pytest.fixture
async def gateway() -> AsyncIterator[GatewayUnderTest]:
    async with running_gateway(system_health_every_s=0.1, ready_deadline_s=0.5) as running:
        running.script.credentials["root-token"] = "root"
        running.script.admins.add("root")
        payload = base64.urlsafe_b64encode(b'{"sub":"root"}').decode()
        running.script.internal_tokens["root"] = f"h.{payload}.s"
        yield running


async def test_O1_health_of_every_part(gateway: GatewayUnderTest) -> None:
    """O1: each with status and latency, for whoever is authenticated; a part that is away is named, still 200."""
    assert error_of(await gateway.client.get(HEALTH))["error_code"] == "UNAUTHENTICATED"
    answer = await gateway.client.get(HEALTH, headers=ALICE)
    found = answer.json()
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert found["status"] == "healthy"
    assert set(found["parts"]) == DOMAINS | {"rate_limits", "revocations"}
    for domain in DOMAINS:
        assert found["parts"][domain]["status"] == "serving"
        assert found["parts"][domain]["latency_ms"] >= 0
    assert found["parts"]["rate_limits"] == {"status": "unused"}
    await gateway.backends.stop()
    async with asyncio.timeout(10):
        while (found := (await gateway.client.get(HEALTH, headers=ALICE)).json())["status"] == "healthy":
            pass  # A look serves everybody for a second.
    assert found["status"] == "degraded"
    assert {found["parts"][domain]["status"] for domain in DOMAINS} <= {"unreachable", "timeout"}


async def test_O1_A5_figures_for_admins(gateway: GatewayUnderTest) -> None:
    """O1, A5: a summary of this process; users get 403, nobody 401."""
    assert (await gateway.client.get(METRICS)).status_code == 401
    refused = await gateway.client.get(METRICS, headers=ALICE)
    assert (refused.status_code, error_of(refused)["error_code"]) == (403, "PERMISSION_DENIED")
    before = (await gateway.client.get(METRICS, headers=ROOT)).json()
    await gateway.client.get(f"/api/v1/jobs/{JOB_ID}", headers=ALICE)
    after = (await gateway.client.get(METRICS, headers=ROOT)).json()
    assert after["requests"]["total"] - before["requests"]["total"] == 2, "that call, and the one before it"
    assert after["requests"]["latency_ms"]["p99"] > 0
    assert after["process"]["resident_bytes"] > 0
    assert after["uptime_seconds"] >= 0


async def test_O1_a_websocket_tells_of_changes(gateway: GatewayUnderTest) -> None:
    """O1: the state at once, then when a part's status changes, to everybody who follows."""
    async with socket(gateway, SOCKET, ALICE) as one:
        first = SocketClient(one)
        seq, kind, state = await first.event()
        assert (seq, kind, state["status"]) == (1, "health", "healthy")
        async with socket(gateway, SOCKET) as two:
            await two.send(json.dumps({"authenticate": {"access_token": "bob-token"}}))
            second = SocketClient(two)
            assert (await second.event())[2]["status"] == "healthy"
            await gateway.backends.stop()
            for client in (first, second):
                assert await _until(client, "degraded")
            await gateway.backends.start()
            for client in (first, second):
                assert await _until(client, "healthy")
        gateway.rest.drain()
        assert await seqs(first) == []
        assert await first.close_code() == 1001
        assert first.last["data"] == {"reason": "draining"}


async def _until(client: SocketClient, status: str) -> dict[str, Any]:
    """The first state of this status; parts may change one after the other."""
    while (state := (await client.event())[2])["status"] != status:
        pass
    found: dict[str, Any] = state
    return found


async def test_O1_A5_the_websocket_asks_who_it_is(gateway: GatewayUnderTest) -> None:
    """O1, A5: as every other one; without upgrade 426."""
    with pytest.raises(Refused) as refusal:
        async with socket(gateway, SOCKET, {"X-API-Key": "nobody"}):
            pass
    assert refusal.value.status == 401
    assert (await gateway.client.get(SOCKET, headers=ALICE)).status_code == 426
    async with socket(gateway, SOCKET) as connection:
        await connection.send('{"authenticate": {"api_key": "nobody"}, "after_seq": 1}')
        client = SocketClient(connection)
        await seqs(client)
        assert (await client.close_code(), client.last["error"]["error_code"]) == (4422, "VALIDATION_ERROR")


async def test_O1_the_document_knows_them(gateway: GatewayUnderTest) -> None:
    """O1, O8: both, with their credential; and the rpc of job beside them."""
    paths = (await gateway.client.get("/openapi.json")).json()["paths"]
    assert paths[HEALTH]["get"]["security"]
    assert "403" in paths[METRICS]["get"]["responses"]
    assert paths["/api/v1/system/queue-status"]["get"]["security"]

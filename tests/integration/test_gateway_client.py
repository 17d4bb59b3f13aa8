"""The Python client against the real gateway (O8)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest

from gateway.client import T2MClient, T2MError
from t2m.job.v1 import job_pb2
from tests.fakes.grpc_backends import JOB_ID, OTHER_JOB_ID
from tests.integration.gateway_harness import GatewayUnderTest, running_gateway


def client_of(gateway: GatewayUnderTest, patience_s: float = 20) -> T2MClient:
    """A client with alice's key."""
    gateway.script.credentials["t2m_1_key"] = "alice"
    return T2MClient(f"http://127.0.0.1:{gateway.port}", "t2m_1_key", patience_s=patience_s)


async def test_O8_order_and_errors() -> None:
    """O8, V1: an order with an idempotency key; an error with its code and details."""
    async with running_gateway() as gateway:
        with client_of(gateway) as client:
            job = await asyncio.to_thread(client.generate, "Pythagoras", "prove it", quality="low")
            assert job["status"] == "queued"
            assert gateway.script.created[0].request_id
            with pytest.raises(T2MError) as missing:
                await asyncio.to_thread(client.job, OTHER_JOB_ID)
            assert (missing.value.status, missing.value.details["reason"]) == (404, "NOT_FOUND")
            with pytest.raises(T2MError) as invalid:
                await asyncio.to_thread(client.generate, "Pythagoras", "prove it", colour="red")
            assert invalid.value.details["violations"] == [{"field": "colour", "message": "unknown field"}]


async def test_O8_J7_a_watch_survives_a_service_that_is_away() -> None:
    """O8, J7: streams that end and answers of 503 in between; every event once."""
    async with running_gateway(stream_reconnect_s=0.1) as gateway:
        with client_of(gateway) as client:
            watching = asyncio.create_task(
                asyncio.to_thread(lambda: [event.seq for event in client.watch(JOB_ID, after=0)])
            )
            await gateway.script.until(lambda: gateway.script.watching == 1)
            await gateway.script.emit(1)
            await gateway.backends.stop()
            await gateway.script.emit(2)
            await gateway.backends.start()
            await gateway.script.emit(status=job_pb2.JOB_STATUS_COMPLETED)
            assert await asyncio.wait_for(watching, 30) == [1, 2, 3]


async def test_O8_V4_a_download_is_complete_or_not_there(tmp_path: Path) -> None:
    """O8, V4: the file appears under its name only when every byte is there."""
    content = bytes(range(256)) * 4000
    async with running_gateway() as gateway:
        gateway.backends.store(content)
        with client_of(gateway, patience_s=0) as client:
            target = tmp_path / "video.mp4"
            await asyncio.to_thread(client.download, JOB_ID, target)
            assert target.read_bytes() == content
            gateway.script.refusal = (grpc.StatusCode.FAILED_PRECONDITION, "STATE_CONFLICT", ())
            with pytest.raises(T2MError) as early:
                await asyncio.to_thread(client.download, JOB_ID, tmp_path / "early.mp4")
            assert early.value.status == 409
            assert not (tmp_path / "early.mp4").exists()


async def test_O8_V4_a_redirect_does_not_carry_the_key_away(tmp_path: Path) -> None:
    """O8, V4: the presigned URL is fetched without X-API-Key."""
    seen: list[bytes] = []

    async def store(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nbytes")
        await writer.drain()
        writer.close()

    async with running_gateway() as gateway, await asyncio.start_server(store, "127.0.0.1", 0) as elsewhere:
        gateway.script.location.redirect = True
        port = elsewhere.sockets[0].getsockname()[1]
        gateway.script.location.url = f"http://127.0.0.1:{port}/key?signature=x"
        with client_of(gateway) as client:
            await asyncio.to_thread(client.download, JOB_ID, tmp_path / "video.mp4")
    assert (tmp_path / "video.mp4").read_bytes() == b"bytes"
    assert b"t2m_1_key" not in seen[0]

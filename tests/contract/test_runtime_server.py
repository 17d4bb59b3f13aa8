"""The life of a server: what it refuses to start with, health, the end with open streams (O1, O4)."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

import grpc
import httpx
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.runtime.audit import AuditJournal
from services.runtime.authorization import ContractError
from services.runtime.errors import ErrorTable
from services.runtime.identity import current_drain
from services.runtime.server import BackgroundTask, ServiceServer
from services.runtime.settings import ServiceSettings
from services.runtime.tokens import StaticKeys, TokenVerifier
from tests.contract.runtime_probe import SERVICE, pb, running
from tests.fakes.audit import MemoryAudit

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def _server(names: list[str], settings: ServiceSettings | None = None) -> ServiceServer:
    return ServiceServer(
        settings or ServiceSettings(environment="test"),
        table=ErrorTable(),
        verifier=TokenVerifier(StaticKeys([])),
        add_services=lambda _: names,
        audit=AuditJournal("probe", MemoryAudit()),
    )


async def test_a_method_without_a_permission_stops_the_start() -> None:
    with pytest.raises(ContractError, match=r"CarelessService/Forget has no \(t2m.common.v1.permission\)"):
        await _server(["t2m.probe.v1.CarelessService"]).start()


async def test_an_unknown_service_stops_the_start() -> None:
    with pytest.raises(ContractError, match="not in the descriptor pool"):
        await _server(["t2m.probe.v1.NoService"]).start()


async def test_a_taken_port_stops_the_start() -> None:
    async with running() as first:
        settings = ServiceSettings(environment="test", bind=f"127.0.0.1:{first.server.port}")
        with pytest.raises(OSError, match="cannot listen"):
            await _server([SERVICE], settings).start()


@pytest.mark.parametrize("name", ["", SERVICE])
async def test_health_needs_no_credential(name: str) -> None:
    async with running() as server:
        answer = await health_pb2_grpc.HealthStub(server.channel).Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == SERVING


@pytest.mark.parametrize(("environment", "reflects"), [("dev", True), ("test", True), ("prod", False)])
async def test_reflection_only_while_developing(environment: Any, reflects: bool) -> None:
    async with running(settings=ServiceSettings(environment=environment, shutdown_grace_s=1)) as server:
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        stub = reflection_pb2_grpc.ServerReflectionStub(server.channel)
        call = stub.ServerReflectionInfo(iter([request]))
        if reflects:
            names = [service.name async for answer in call for service in answer.list_services_response.service]
            assert SERVICE in names
        else:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_the_end_with_an_open_stream_and_a_health_watcher() -> None:
    """Streams end after their cursor with OK, then the background and the rest."""
    order: list[str] = []

    async def background(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            order.append(name)

    async def close() -> None:
        order.append("closed")

    tasks = (
        BackgroundTask("dispatcher", lambda: background("dispatcher")),
        BackgroundTask("reader", lambda: background("reader"), outlives_calls=True),
    )
    async with running(background=tasks, on_close=close) as server:
        watch = health_pb2_grpc.HealthStub(server.channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        assert (await watch.read()).status == SERVING
        stream = server.stub.EchoStream(pb.EchoRequest(text="hold"), metadata=server.metadata())
        assert [(await stream.read()).text for _ in range(2)] == ["first", "1"]
        async with asyncio.timeout(4):  # below the grace period: nothing is cut off
            await server.server.stop()
        assert (await watch.read()).status == NOT_SERVING
        assert (await stream.read()).text == "cursor"
        assert await stream.read() is grpc.aio.EOF
        assert await stream.code() is grpc.StatusCode.OK
        assert order == ["dispatcher", "reader", "closed"]


async def test_a_call_in_flight_is_answered() -> None:
    async with running() as server:
        requests: asyncio.Queue[Any] = asyncio.Queue()

        async def each() -> Any:
            while (request := await requests.get()) is not None:
                yield request

        call = server.stub.Collect(each(), metadata=server.metadata())
        await requests.put(pb.EchoRequest(text="one"))
        await _until(lambda: server.server._active._count == 1)
        stopping = asyncio.create_task(server.server.stop())
        await server.server._drain.wait()
        await requests.put(pb.EchoRequest(text="two"))
        await requests.put(None)
        assert (await call).text == "one+two"
        await stopping


async def test_a_stream_that_ignores_the_drain_is_cut_off_after_the_grace() -> None:
    settings = ServiceSettings(environment="test", shutdown_grace_s=0.2)
    async with running(settings=settings) as server:
        chat = server.stub.Chat(metadata=server.metadata())
        await chat.write(pb.EchoRequest(text="hello"))
        assert (await chat.read()).text == "hello"
        async with asyncio.timeout(4):
            await server.server.stop()
        assert await chat.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


async def test_run_ends_on_sigterm() -> None:
    server = _server([SERVICE])
    run = asyncio.create_task(server.run())
    await _until(lambda: server.port != 0)
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(5):
        await run


async def test_a_failing_background_task_is_logged_and_restarted() -> None:
    runs = 0
    again = asyncio.Event()

    async def flaky() -> None:
        nonlocal runs
        runs += 1
        assert not current_drain().is_set()
        if runs == 1:
            raise RuntimeError("first run fails")
        again.set()

    with structlog.testing.capture_logs() as logs:
        async with running(background=(BackgroundTask("flaky", flaky),)), asyncio.timeout(5):
            await again.wait()
    assert any(line["event"] == "background task failed" and line["task"] == "flaky" for line in logs)


async def test_metrics_are_served() -> None:
    settings = ServiceSettings(environment="test", metrics_port=0)
    async with running(settings=settings) as server:
        await server.stub.Open(pb.EchoRequest(text="hi"))
        async with httpx.AsyncClient() as client:
            text = (await client.get(f"http://127.0.0.1:{server.server.metrics_port}/metrics")).text
    assert f't2m_rpc_server_calls_total{{code="OK",method="/{SERVICE}/Open"}}' in text
    assert f't2m_rpc_server_in_flight{{method="/{SERVICE}/Open"}}' in text


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the condition has no event of its own
            await asyncio.sleep(0.005)

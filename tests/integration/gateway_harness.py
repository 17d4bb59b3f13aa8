"""The real ASGI server over a real socket, in front of tests/fakes/grpc_backends.py."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from gateway.app import Gateway
from gateway.server import build_server
from gateway.settings import Settings
from tests.fakes.grpc_backends import JOB_ID, FakeBackends

ALICE = {"Authorization": "Bearer alice-token"}


class GatewayUnderTest:
    """A running gateway, its backends and a client."""

    def __init__(self, backends: FakeBackends, settings: Settings) -> None:
        self.backends = backends
        self.script = backends.script
        self._server = build_server(settings)
        self.rest = self._server.gateway.rest
        self._task: asyncio.Task[None] | None = None
        self.client: httpx.AsyncClient

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.servers[0].sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Return when it listens."""
        self._task = asyncio.create_task(self._server.serve())
        async with asyncio.timeout(20):
            await self._server.listening.wait()
        self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=20)

    async def stop(self) -> None:
        """Like SIGTERM."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        await self.client.aclose()


@asynccontextmanager
async def running_gateway(**overrides: Any) -> AsyncIterator[GatewayUnderTest]:
    """A gateway in front of started backends; settings may be overridden."""
    backends = FakeBackends()
    await backends.start()
    address = backends.address
    values: dict[str, Any] = {
        "environment": "test",
        "gateway_port": 0,
        "auth_address": address,
        "job_address": address,
        "video_render_address": address,
        "storage_address": address,
        "drain_s": 5,
        "drain_grace_s": 0,
        "rate_limits": "off",
    }
    gateway = GatewayUnderTest(backends, Settings(**(values | overrides)))
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()
        await backends.stop()


@asynccontextmanager
async def serving(settings: Settings, gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway with a contract of its own."""
    server = build_server(settings, gateway)
    running = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(20):
            await server.listening.wait()
        port = int(server.servers[0].sockets[0].getsockname()[1])
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as client:
            yield client
    finally:
        server.should_exit = True
        await running


class EventStream:
    """An SSE answer, event by event."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def block(self) -> dict[str, str]:
        """The next block: fields by name, a comment under "". Raises StopAsyncIteration at the end."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(15):
            while True:
                line = await anext(self._lines)
                if not line and fields:
                    return fields
                name, _, value = line.partition(":")
                if line:
                    fields[name] = value.removeprefix(" ")

    async def event(self) -> tuple[int, str, Any]:
        """The next event: id, kind, data."""
        while "data" not in (block := await self.block()):
            pass
        return int(block.get("id", 0)), block.get("event", ""), json.loads(block["data"])

    async def seqs(self) -> list[int]:
        """Ids of all events until the stream ends."""
        found = []
        try:
            while True:
                found.append((await self.event())[0])
        except StopAsyncIteration:
            return found


@asynccontextmanager
async def watch(
    gateway: GatewayUnderTest, *, after: int | str | None = None, headers: dict[str, str] | None = None
) -> AsyncIterator[EventStream]:
    """Follow the job; `after` goes out as Last-Event-ID."""
    sent = {**ALICE, **(headers or {})}
    if after is not None:
        sent["Last-Event-ID"] = str(after)
    async with gateway.client.stream("GET", f"/api/v1/jobs/{JOB_ID}/events", headers=sent) as answer:
        yield EventStream(answer)


def error_of(answer: httpx.Response) -> dict[str, Any]:
    """The error of an answer, whose O6 form is checked on the way."""
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "error_code", "details", "timestamp", "path", "request_id"}
    assert error["path"] == answer.request.url.path
    assert error["request_id"] == answer.headers["x-request-id"]
    assert error["details"]["reason"]
    return error

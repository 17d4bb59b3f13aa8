"""Channels of both makes, and the grpc.aio server that they call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
import uvloop

from gateway.backends import CHANNEL_OPTIONS
from gateway.h2 import Channel, parse_target

ECHO, FAIL, HOLD, BIG, FACTS = (
    "/test.Unary/Echo",
    "/test.Unary/Fail",
    "/test.Unary/Hold",
    "/test.Unary/Big",
    "/test.Unary/Facts",
)
MAKES: dict[str, Callable[[str], Any]] = {
    "grpc.aio": lambda address: grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS),
    "own": lambda address: Channel(parse_target(address)),
}


@pytest.fixture(scope="session")
def uvloop_policy() -> asyncio.AbstractEventLoopPolicy:
    """The gateway's loop, as its transports differ from asyncio's; modules call it `event_loop_policy`."""
    policy: asyncio.AbstractEventLoopPolicy = uvloop.EventLoopPolicy()
    return policy


@dataclass
class Unary:
    """A grpc.aio server of raw bytes, and what it has seen."""

    address: str = "127.0.0.1:0"
    options: list[tuple[str, Any]] = field(default_factory=list)
    seen: list[dict[str, Any]] = field(default_factory=list)
    remaining_s: list[float] = field(default_factory=list)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    _server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Listen; on the same port as before, when there was one."""
        limits = [("grpc.max_receive_message_length", 16 << 20), ("grpc.max_metadata_size", 128 << 10)]
        server = grpc.aio.server(options=[*limits, ("grpc.so_reuseport", 0), *self.options])
        methods = {"Echo": self._echo, "Fail": self._fail, "Hold": self._hold, "Big": self._big, "Facts": self._facts}
        handlers: dict[str, Any] = {
            name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Unary", handlers),))
        port = server.add_insecure_port(self.address)
        if not self.address.startswith("unix:"):
            self.address = f"{self.address.rpartition(':')[0]}:{port}"
        await server.start()
        self._server = server

    async def stop(self, grace_s: float | None = None) -> None:
        """End."""
        if self._server is not None:
            await self._server.stop(grace_s)
            self._server = None

    async def _echo(self, request: bytes, context: Any) -> bytes:
        return request

    async def _facts(self, request: bytes, context: Any) -> bytes:
        self.seen.append(dict(context.invocation_metadata()))
        self.remaining_s.append(context.time_remaining())
        await context.send_initial_metadata((("begins", "here"), ("raw-bin", b"\x00\xff")))
        context.set_trailing_metadata((("ends", "there"),))
        return request

    async def _fail(self, request: bytes, context: Any) -> bytes:
        code = next(code for code in grpc.StatusCode if code.value[0] == request[0])
        await context.abort(code, "100 % schön\n", (("grpc-status-details-bin", b"\x08\x05\xff"), ("why", "so")))
        raise AssertionError

    async def _hold(self, request: bytes, context: Any) -> bytes:
        self.entered.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return request

    async def _big(self, request: bytes, context: Any) -> bytes:
        return bytes(int(request))


@asynccontextmanager
async def serving(address: str = "127.0.0.1:0", *options: tuple[str, Any]) -> AsyncIterator[Unary]:
    """A server that listens."""
    server = Unary(address, list(options))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def channel_to(make: str, address: str) -> AsyncIterator[Any]:
    """A channel of that make."""
    channel = MAKES[make](address)
    try:
        yield channel
    finally:
        await channel.close()


async def failed(call: Any, deadline_s: float = 10) -> grpc.aio.AioRpcError:
    """How a call fails that must fail."""
    try:
        async with asyncio.timeout(deadline_s):
            answer = await call
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError(f"it did not fail: {answer!r}")

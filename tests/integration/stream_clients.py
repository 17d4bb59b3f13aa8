"""Clients of a stream in each of its skins, behind one face: SSE, NDJSON, WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.fakes.grpc_backends import JOB_ID
from tests.integration.gateway_harness import ALICE, EventStream, GatewayUnderTest

EVENTS = f"/api/v1/jobs/{JOB_ID}/events"
SOCKET = f"/ws/jobs/{JOB_ID}"
Event = tuple[int, str, Any]
DEADLINE_S = 15.0


@dataclass
class Refused(Exception):
    """The stream was not opened: status and error; no error for 204."""

    status: int
    error: dict[str, Any]


class Client(Protocol):
    """Reads one stream."""

    async def event(self) -> Event:
        """The next event: seq, kind, data. Raises StopAsyncIteration at the end."""
        ...

    async def heartbeat(self) -> None:
        """Wait for the next heartbeat; an event before it is an error."""
        ...


Open = Callable[[GatewayUnderTest, dict[str, str], int | None], AbstractAsyncContextManager[Client]]


async def seqs(client: Client) -> list[int]:
    """The seqs of all events until the stream ends."""
    found = []
    try:
        while True:
            found.append((await client.event())[0])
    except StopAsyncIteration:
        return found


def _check(answer: httpx.Response) -> None:
    if answer.status_code != 200:
        raise Refused(answer.status_code, json.loads(answer.content)["error"] if answer.content else {})


def _query(after: int | None) -> str:
    return "" if after is None else f"?after_seq={after}"


class SseClient(EventStream):
    """An event stream."""

    async def heartbeat(self) -> None:
        """A comment."""
        while (block := await self.block()) == {"retry": "1000"}:
            pass
        assert block == {"": "heartbeat"}


class LineClient:
    """Lines of JSON."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()

    async def event(self) -> Event:
        """A line that is not empty; its kind is the member beside what all have."""
        async with asyncio.timeout(DEADLINE_S):
            while not (line := await anext(self._lines)):
                pass
        data = json.loads(line)
        (kind,) = [name for name in ("snapshot", "progress", "status") if data.get(name) is not None]
        return data["seq"], kind, data

    async def heartbeat(self) -> None:
        """An empty line."""
        async with asyncio.timeout(DEADLINE_S):
            assert await anext(self._lines) == ""


class SocketClient:
    """Messages. `last` is the one that came at the end, of kind `end` or with an error."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.last: dict[str, Any] = {}

    async def message(self) -> dict[str, Any]:
        """The next message. Raises StopAsyncIteration when the connection is closed, in order or not."""
        async with asyncio.timeout(DEADLINE_S):
            try:
                content: dict[str, Any] = json.loads(await self.connection.recv(decode=True))
            except ConnectionClosed:
                raise StopAsyncIteration from None
        return content

    async def event(self) -> Event:
        """A message that is neither a heartbeat nor the last one."""
        while (message := await self.message()).get("event") in ("heartbeat", "end") or "error" in message:
            if message.get("event") != "heartbeat":
                self.last = message
        return message["seq"], message["event"], message["data"]

    async def heartbeat(self) -> None:
        """A message of that kind; a ping comes before it, which the library answers."""
        assert await self.message() == {"event": "heartbeat"}

    async def close_code(self) -> int | None:
        """What the server closes with, once it does."""
        async with asyncio.timeout(DEADLINE_S):
            await self.connection.wait_closed()
        return self.connection.close_code


@asynccontextmanager
async def sse(gateway: GatewayUnderTest, headers: dict[str, str], after: int | None) -> AsyncIterator[Client]:
    """Follow as Server-Sent Events."""
    async with gateway.client.stream("GET", EVENTS + _query(after), headers=headers) as answer:
        await _read_refusal(answer)
        yield SseClient(answer)


@asynccontextmanager
async def ndjson(gateway: GatewayUnderTest, headers: dict[str, str], after: int | None) -> AsyncIterator[Client]:
    """Follow as lines."""
    wanted = {**headers, "Accept": "application/x-ndjson"}
    async with gateway.client.stream("GET", EVENTS + _query(after), headers=wanted) as answer:
        await _read_refusal(answer)
        yield LineClient(answer)


async def _read_refusal(answer: httpx.Response) -> None:
    if answer.status_code != 200:
        await answer.aread()
        _check(answer)


@asynccontextmanager
async def websocket(gateway: GatewayUnderTest, headers: dict[str, str], after: int | None) -> AsyncIterator[Client]:
    """Follow over a WebSocket. What ends before the first event with 1000 counts as 204."""
    async with socket(gateway, SOCKET + _query(after), headers) as connection:
        yield SocketClient(connection)


@asynccontextmanager
async def socket(
    gateway: GatewayUnderTest, path: str = SOCKET, headers: dict[str, str] | None = None
) -> AsyncIterator[ClientConnection]:
    """An open WebSocket. Raises Refused."""
    opening = connect(
        f"ws://127.0.0.1:{gateway.port}{path}", additional_headers=headers, proxy=None, ping_interval=None
    )
    try:
        connection = await opening
    except InvalidStatus as refusal:
        raise Refused(refusal.response.status_code, json.loads(refusal.response.body)["error"]) from None
    async with connection:
        yield connection


SKINS: dict[str, Open] = {"sse": sse, "ndjson": ndjson, "websocket": websocket}


async def refusal(open_stream: Open, gateway: GatewayUnderTest, headers: dict[str, str], after: int | None) -> Refused:
    """How an opening is refused."""
    try:
        async with open_stream(gateway, headers, after):
            raise AssertionError("it was opened")
    except Refused as refused:
        return refused


async def opened(stack: Any, gateway: GatewayUnderTest, after: int | None = None) -> list[Client]:
    """One client of each skin."""
    return [await stack.enter_async_context(skin(gateway, ALICE, after)) for skin in SKINS.values()]

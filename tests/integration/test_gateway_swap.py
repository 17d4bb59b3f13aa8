"""One gateway takes over from another on the same port, under load, and nobody notices (O3, O4)."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway.listening import shared_listener, take_over
from t2m.job.v1 import job_pb2
from tests.fakes.grpc_backends import JOB_ID, FakeBackends
from tests.integration.gateway_harness import ALICE, EventStream
from tests.integration.stream_clients import EVENTS, SOCKET
from tests.integration.test_gateway_process import gateway_process, line_with
from tests.stack import free_port

JOB = f"/api/v1/jobs/{JOB_ID}"


class Load:
    """Clients of a port that never stop; what they have seen."""

    def __init__(self, port: int) -> None:
        self._host = f"127.0.0.1:{port}"
        self.answers: Counter[tuple[str, int]] = Counter()
        self.sse: list[int] = []
        self.websocket: list[int] = []
        self.closes: list[int | None] = []
        self.done = asyncio.Event()
        self.progress = asyncio.Condition()

    async def on_one_connection(self) -> None:
        """A request after the other, as pooled clients do."""
        async with self._client() as client:
            while not self.done.is_set():
                await self._ask("pooled", client)

    async def on_new_connections(self) -> None:
        """A connection for each request."""
        while not self.done.is_set():
            async with self._client() as client:
                await self._ask("fresh", client)

    async def _ask(self, kind: str, client: httpx.AsyncClient) -> None:
        answer = await client.get(JOB, headers=ALICE)
        self.answers[kind, answer.status_code] += 1
        async with self.progress:
            self.progress.notify_all()

    async def until_more(self, answers: int) -> None:
        """Wait for so many further answers of each kind."""
        goal = {key: count + answers for key, count in self.answers.items()}
        async with asyncio.timeout(20), self.progress:
            await self.progress.wait_for(lambda: all(self.answers[key] >= count for key, count in goal.items()))

    async def watch_events(self) -> None:
        """As an EventSource does: again after each end, from the last id, until 204."""
        async with self._client() as client:
            while True:
                headers = {**ALICE, "Last-Event-ID": str(self.sse[-1] if self.sse else 0)}
                async with client.stream("GET", EVENTS, headers=headers) as answer:
                    if answer.status_code == 204:
                        return
                    if answer.status_code == 200:
                        await self._take(EventStream(answer))

    async def _take(self, stream: EventStream) -> None:
        try:
            while True:
                self.sse.append((await stream.event())[0])
        except StopAsyncIteration:
            return

    async def watch_socket(self) -> None:
        """Again after each close but 1000, from the last seq; the gateway says it in its last message."""
        said = 0
        while True:
            url = f"ws://{self._host}{SOCKET}?after_seq={said}"
            async with connect(url, additional_headers=ALICE, proxy=None) as connection:
                try:
                    while True:
                        message = json.loads(await connection.recv())
                        said = message.get("seq", said)
                        if message["event"] not in ("end", "heartbeat"):
                            self.websocket.append(said)
                except ConnectionClosed:
                    self.closes.append(connection.close_code)
                    if connection.close_code != 1001:
                        return

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=f"http://{self._host}", trust_env=False, timeout=10, verify=False)


@asynccontextmanager
async def running(*work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run all of it meanwhile; an error of one ends the test."""
    async with asyncio.TaskGroup() as group:
        yield [group.create_task(each()) for each in work]


async def test_O3_O4_a_swap_of_processes_loses_nothing() -> None:
    """O3, O4: steady requests on old and new connections are all 200; each seq comes once to both watchers."""
    backends = FakeBackends()
    await backends.start()
    port = free_port()
    variables = {"T2M_GATEWAY_PORT": str(port), "T2M_REUSE_PORT": "true", "T2M_RATE_LIMITS": "off"}
    load = Load(port)
    try:
        async with gateway_process(backends, **variables) as old:
            await line_with(old, "gateway.listening")
            work = (load.on_one_connection, load.on_new_connections, load.watch_events, load.watch_socket)
            async with asyncio.timeout(60), running(*work) as tasks:
                await backends.script.emit(1)
                await backends.script.until(lambda: backends.script.watching == 1)
                async with gateway_process(backends, **variables) as new:
                    await line_with(new, "gateway.listening")
                    await load.until_more(20)
                    old.send_signal(signal.SIGHUP)  # Nothing to reload, and no reason to end.
                    old.send_signal(signal.SIGTERM)
                    while old.returncode is None:
                        await backends.script.emit(1)
                        await load.until_more(2)
                    assert old.returncode == 0
                    await load.until_more(20)
                    await backends.script.emit(status=job_pb2.JOB_STATUS_COMPLETED)
                    await asyncio.gather(*tasks[2:])
                    load.done.set()
                    await asyncio.gather(*tasks[:2])
    finally:
        await backends.stop()
    assert {status for _, status in load.answers} == {200}
    everything = list(range(1, len(backends.script.events) + 1))
    assert load.sse == everything
    assert load.websocket == everything
    assert load.closes == [1001, 1000], "one at each process"


def test_O3_the_newcomer_gets_every_new_connection() -> None:
    """O3: not its share of them; what the first one's queue holds stays there, and after its end so does nothing."""
    with closing(shared_listener("127.0.0.1", 0)) as first:
        first.listen()
        address = first.getsockname()
        assert take_over(first)
        with closing(socket.create_connection(address)):
            first.accept()[0].close()
        with closing(shared_listener(*address)) as second:
            second.listen()
            assert take_over(second)
            clients = [socket.create_connection(address) for _ in range(50)]
            for client in clients:
                second.accept()[0].close()
                client.close()
            first.close()
            with closing(socket.create_connection(address)):
                second.accept()[0].close()

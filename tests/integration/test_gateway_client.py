"""Both Python clients against the real gateway, with connections that break (O8). One suite: they are the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from gateway.client import (
    AsyncT2MClient,
    ChecksumError,
    ConflictError,
    ConnectionFailedError,
    InvalidRequestError,
    NotFoundError,
    NotLoggedInError,
    Policy,
    T2MClient,
    T2MError,
    UnavailableError,
)
from t2m.job.v1 import job_pb2
from tests.client_faces import Face
from tests.fakes.cutting_proxy import cutting_proxy
from tests.fakes.grpc_backends import JOB_ID, OTHER_JOB_ID
from tests.integration.gateway_harness import GatewayUnderTest, running_gateway

KEY = "t2m_1_key"


class Clients:
    """Makes clients of one kind, and closes them."""

    def __init__(self, kind: type[T2MClient | AsyncT2MClient]) -> None:
        self._kind = kind
        self._made: list[T2MClient | AsyncT2MClient] = []

    def of(self, url: str, patience_s: float = 20, key: str = KEY) -> Face:
        """A client with short pauses between its attempts."""
        client = self._kind(url, key, policy=Policy(patience_s=patience_s, base_s=0.05))
        self._made.append(client)
        return Face(client)

    async def close(self) -> None:
        """All of them."""
        for client in self._made:
            if isinstance(client, AsyncT2MClient):
                await client.close()
            else:
                client.close()


@pytest.fixture(params=[T2MClient, AsyncT2MClient], ids=["sync", "async"])
async def clients(request: pytest.FixtureRequest) -> AsyncIterator[Clients]:
    """Of either kind."""
    made = Clients(request.param)
    yield made
    await made.close()


def url_of(gateway: GatewayUnderTest) -> str:
    """Where alice's key is known."""
    gateway.script.credentials[KEY] = "alice"
    return f"http://127.0.0.1:{gateway.port}"


def names(folder: Path) -> list[str]:
    """Of what is in a folder."""
    return sorted(path.name for path in folder.iterdir())


async def test_O8_order_and_errors(clients: Clients) -> None:
    """O8, V1, O6: an order with an idempotency key; errors by their kind, with reason, fields and request id."""
    async with running_gateway() as gateway:
        client = clients.of(url_of(gateway))
        job = await client.call("generate", "Pythagoras", "prove it", quality="low")
        assert job["status"] == "queued"
        assert gateway.script.created[0].request_id
        with pytest.raises(NotFoundError) as missing:
            await client.call("job", OTHER_JOB_ID)
        assert (missing.value.status, missing.value.reason) == (404, "NOT_FOUND")
        assert missing.value.request_id
        with pytest.raises(InvalidRequestError) as invalid:
            await client.call("generate", "Pythagoras", "prove it", colour="red")
        assert [str(item) for item in invalid.value.violations] == ["colour: unknown field"]
        with pytest.raises(NotLoggedInError):
            await clients.of(url_of(gateway), key="t2m_2_unknown").call("job", JOB_ID)


async def test_O8_V1_an_order_whose_answer_was_lost_is_not_doubled(clients: Clients) -> None:
    """O8, V1: the connection breaks before the answer: the same order again, under the same key."""
    async with running_gateway() as gateway, cutting_proxy(int(url_of(gateway).rpartition(":")[2]), 20) as proxy:
        await clients.of(proxy.url).call("generate", "Pythagoras", "prove it")
        assert proxy.connections == 2
        assert len({order.request_id for order in gateway.script.created}) == 1


async def test_O8_what_may_not_be_done_twice_is_not_tried_twice(clients: Clients) -> None:
    """O8: a new key whose answer was lost is an error, not perhaps two keys."""
    async with running_gateway() as gateway, cutting_proxy(int(url_of(gateway).rpartition(":")[2]), 20) as proxy:
        with pytest.raises(ConnectionFailedError):
            await clients.of(proxy.url).call("create_key", "nightly")
        assert proxy.connections == 1


async def test_O8_J7_a_watch_survives_a_service_that_is_away(clients: Clients) -> None:
    """O8, J7: streams that end and answers of 503 in between; every event once."""
    async with running_gateway(stream_reconnect_s=0.1) as gateway:
        watching = asyncio.create_task(clients.of(url_of(gateway)).all("watch", JOB_ID, 0))
        await gateway.script.until(lambda: gateway.script.watching == 1)
        await gateway.script.emit(1)
        await gateway.backends.stop()
        await gateway.script.emit(2)
        await gateway.backends.start()
        await gateway.script.emit(status=job_pb2.JOB_STATUS_COMPLETED)
        events = await asyncio.wait_for(watching, 30)
        assert [event.seq for event in events] == [1, 2, 3]
        assert (events[0].kind, events[0].body["progress"]) == ("progress", 1)


async def test_O8_J7_a_watch_survives_connections_that_break(clients: Clients) -> None:
    """O8, J7: cut in the head, in the middle of an event and between events; none is lost, none comes twice."""
    async with running_gateway() as gateway:
        for percent in range(20):
            await gateway.script.emit(percent)
        await gateway.script.emit(status=job_pb2.JOB_STATUS_COMPLETED)
        async with cutting_proxy(int(url_of(gateway).rpartition(":")[2]), 100, 900, 1500, 1501, 1502) as proxy:
            events = await asyncio.wait_for(clients.of(proxy.url).all("watch", JOB_ID, 0), 30)
        assert [event.seq for event in events] == list(range(1, 22))
        assert proxy.connections == 6
        assert [event.body["progress"] for event in events[:20]] == list(range(20))


async def test_O8_V4_a_download_goes_on_where_it_was_cut(clients: Clients, tmp_path: Path) -> None:
    """O8, V4: only what is missing is asked for again, and the whole has the checksum of the metadata."""
    content = bytes(range(256)) * 4000
    async with running_gateway() as gateway:
        gateway.backends.store(content)
        async with cutting_proxy(int(url_of(gateway).rpartition(":")[2]), 300_000, 200_000, 10) as proxy:
            seen: list[tuple[int, int | None]] = []
            target = tmp_path / "video.mp4"
            client = clients.of(proxy.url)
            assert await client.call("download", JOB_ID, target, progress=lambda *now: seen.append(now)) == target
        assert target.read_bytes() == content
        assert names(tmp_path) == ["video.mp4"]
        assert seen[-1] == (len(content), len(content))
        assert seen == sorted(seen), "it began anew"
        starts = [offset for offset, _ in gateway.script.reads]
        assert starts[0] == 0
        assert all(start > 100_000 for start in starts[1:])
        assert len(starts) >= 3


async def test_O8_V4_a_download_goes_on_in_another_process(clients: Clients, tmp_path: Path) -> None:
    """O8, V4: what had arrived when patience ended is kept for the next call, unless the file has changed."""
    async with running_gateway() as gateway:
        for content in (b"first" * 100_000, b"other" * 100_000):
            gateway.backends.store(b"first" * 100_000)
            gateway.script.reads.clear()
            target = tmp_path / f"{content[:5].decode()}.mp4"
            port = int(url_of(gateway).rpartition(":")[2])
            async with cutting_proxy(port, 300_000) as proxy:
                with pytest.raises(ConnectionFailedError):
                    await clients.of(proxy.url, patience_s=0).call("download", JOB_ID, target)
            assert not target.exists()
            gateway.backends.store(content)
            await clients.of(url_of(gateway)).call("download", JOB_ID, target)
            assert target.read_bytes() == content
            assert (gateway.script.reads[-1][0] > 0) == (content[:5] == b"first")


async def test_O8_V4_a_file_that_is_not_what_it_should_be_is_not_kept(clients: Clients, tmp_path: Path) -> None:
    """O8, V4: another checksum than the metadata's, or a refusal: no file, under any name."""
    async with running_gateway() as gateway:
        gateway.backends.store(b"bytes" * 1000)
        gateway.script.checksum = "0" * 64
        client = clients.of(url_of(gateway), patience_s=0)
        with pytest.raises(ChecksumError):
            await client.call("download", JOB_ID, tmp_path / "video.mp4")
        gateway.script.refusal = (grpc.StatusCode.FAILED_PRECONDITION, "STATE_CONFLICT", ())
        with pytest.raises(ConflictError) as early:
            await client.call("download", JOB_ID, tmp_path / "early.mp4")
        assert early.value.status == 409
        assert names(tmp_path) == []


async def test_O8_V4_a_redirect_does_not_carry_the_key_away(clients: Clients, tmp_path: Path) -> None:
    """O8, V4: the presigned URL is fetched without X-API-Key, and with its signature as it is."""
    seen: list[bytes] = []

    async def store(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nbytes")
        await writer.drain()
        writer.close()

    async with running_gateway() as gateway, await asyncio.start_server(store, "127.0.0.1", 0) as elsewhere:
        gateway.backends.store(b"bytes")
        gateway.script.location.redirect = True
        port = elsewhere.sockets[0].getsockname()[1]
        gateway.script.location.url = f"http://127.0.0.1:{port}/key?signature=a%2Fb%3D"
        await clients.of(url_of(gateway)).call("download", JOB_ID, tmp_path / "video.mp4", quality="")
    assert (tmp_path / "video.mp4").read_bytes() == b"bytes"
    assert seen[0].startswith(b"GET /key?signature=a%2Fb%3D ")
    assert KEY.encode() not in seen[0]


async def test_O8_patience_ends(clients: Clients) -> None:
    """O8: a service that stays away, and a server that was never there, end in an error that says so."""
    async with running_gateway() as gateway:
        url = url_of(gateway)
        await gateway.backends.stop()
        with pytest.raises(UnavailableError) as away:
            await clients.of(url, patience_s=0).all("jobs")
        assert away.value.status == 503
        assert away.value.retry_after_s
    with pytest.raises(ConnectionFailedError) as nobody:
        await clients.of(url, patience_s=0.1).call("alive")
    assert nobody.value.unsent


def test_O8_an_error_is_a_t2m_error() -> None:
    """O8: whoever caught T2MError before catches all of them now."""
    assert issubclass(ConnectionFailedError, T2MError)
    assert issubclass(ChecksumError, T2MError)

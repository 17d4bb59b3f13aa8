"""What only WebSockets have (J7): who calls, what a client may say, how they close."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection

from t2m.auth.v1 import token_service_pb2 as pb
from t2m.job.v1 import job_pb2
from tests.fakes.grpc_backends import JOB_ID
from tests.integration.gateway_harness import ALICE, GatewayUnderTest, error_of, running_gateway, watch
from tests.integration.stream_clients import DEADLINE_S, SOCKET, Refused, SocketClient, seqs, socket

TOKEN = {"authenticate": {"access_token": "alice-token"}}


@pytest.fixture
async def gateway() -> AsyncIterator[GatewayUnderTest]:
    async with running_gateway(session_cookies="insecure", cors_origins=("https://app.example",)) as running:
        yield running


async def refused(gateway: GatewayUnderTest, path: str = SOCKET, **headers: str) -> Refused:
    """How an opening is refused."""
    try:
        async with socket(gateway, path, headers):
            raise AssertionError("it was opened")
    except Refused as refusal:
        return refusal


async def last_words(connection: ClientConnection, *messages: Any) -> tuple[int | None, dict[str, Any]]:
    """Say these, and wait for the close: its code, and the error before it."""
    for message in messages:
        await connection.send(message if isinstance(message, (str, bytes)) else json.dumps(message))
    client = SocketClient(connection)
    await seqs(client)
    return await client.close_code(), client.last.get("error", {})


async def test_J7_a_browser_says_who_it_is_in_the_first_message(gateway: GatewayUnderTest) -> None:
    """J7: token or key, and where to go on; before it nothing is asked of any service."""
    for progress in range(2):
        await gateway.script.emit(progress)
    await gateway.script.emit(status=job_pb2.JOB_STATUS_COMPLETED)
    gateway.script.credentials["alice-key"] = "alice"
    for message, expected in (
        (TOKEN | {"after_seq": 1}, [2, 3]),
        ({"authenticate": {"api_key": "alice-key"}, "after_seq": 0}, [1, 2, 3]),
    ):
        async with socket(gateway) as connection:
            await connection.send(json.dumps(message))
            client = SocketClient(connection)
            assert await seqs(client) == expected
            assert client.last == {"seq": 3, "event": "end", "data": {"reason": "complete"}}
            assert await client.close_code() == 1000
    async with socket(gateway, f"{SOCKET}?after_seq=1") as connection:
        await connection.send(json.dumps(TOKEN))
        assert await seqs(SocketClient(connection)) == [2, 3], "the position may stand in the URL"


WRONG = [
    ("hello", 4400, "MALFORMED_REQUEST"),
    ("[]", 4400, "MALFORMED_REQUEST"),
    (b"\x00\x01", 4400, "MALFORMED_REQUEST"),
    ({}, 4422, "VALIDATION_ERROR"),
    ({"authenticate": {"access_token": "a", "api_key": "b"}}, 4422, "VALIDATION_ERROR"),
    ({"authenticate": {"password": "a"}}, 4422, "VALIDATION_ERROR"),
    ({"authenticate": {"access_token": 7}}, 4422, "VALIDATION_ERROR"),
    (TOKEN | {"after_seq": True}, 4422, "VALIDATION_ERROR"),
    (TOKEN | {"after_seq": 1 << 63}, 4422, "VALIDATION_ERROR"),
    (TOKEN | {"job_id": JOB_ID}, 4422, "VALIDATION_ERROR"),
    ({"authenticate": {"access_token": "nobody"}}, 4401, "UNAUTHENTICATED"),
    ({"authenticate": {"access_token": "ü"}}, 4401, "UNAUTHENTICATED"),
    ({"authenticate": {"access_token": "bob-token"}}, 4404, "NOT_FOUND"),
    (TOKEN | {"after_seq": 99}, 4410, "POSITION_EXPIRED"),
]
"""A first message, the close code and the error code."""


async def test_J7_O6_what_is_wrong_after_the_upgrade_is_a_message_and_a_code(gateway: GatewayUnderTest) -> None:
    """J7, O6: the ordinary error, and 4000 + its status."""
    for first, code, error_code in WRONG:
        async with socket(gateway) as connection:
            closed, error = await last_words(connection, first)
        assert (closed, error["error_code"]) == (code, error_code), first
        assert set(error) == {"message", "error_code", "details", "timestamp", "path", "request_id"}
        assert error["path"] == SOCKET


async def test_J7_who_says_nothing_is_closed() -> None:
    """J7: a stranger cannot hold a connection."""
    async with running_gateway(ws_first_message_s=0.1) as gateway, socket(gateway) as connection:
        code, error = await last_words(connection)
        assert (code, error["error_code"]) == (4408, "REQUEST_TIMEOUT")


async def test_O4_a_gateway_that_stops_closes_whom_it_does_not_know_yet() -> None:
    """O4: with 1012; who is known gets 1001 and the seq to go on from. Neither waits for the drain's end."""
    async with (
        running_gateway(drain_s=30) as gateway,
        socket(gateway) as stranger,
        socket(gateway, headers=ALICE) as known,
    ):
        followed = SocketClient(known)
        await followed.event()
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.gather(gateway.stop(), stranger.wait_closed(), known.wait_closed())
        assert (stranger.close_code, known.close_code) == (1012, 1001)
        assert await seqs(followed) == []
        assert followed.last["data"] == {"reason": "draining"}


async def test_A7_strangers_count_for_their_address() -> None:
    """A7: opening without a credential is charged to the address, then to the user as well."""
    limits = '{"address": {"stream": "1/minute"}}'
    async with running_gateway(rate_limits=limits) as gateway:
        async with socket(gateway) as connection:
            await connection.send(json.dumps(TOKEN))
            await SocketClient(connection).event()
        refusal = await refused(gateway)
        assert (refusal.status, refusal.error["details"]["scope"]) == (429, "address")


async def test_A7_sockets_count_among_the_streams_of_a_user() -> None:
    """A7: beside an event stream there is room for one."""
    async with (
        running_gateway(streams_per_user=2) as gateway,
        watch(gateway, after=0),
        socket(gateway, f"{SOCKET}?after_seq=0", ALICE),
    ):
        assert (await refused(gateway, **ALICE)).status == 429
        async with socket(gateway) as connection:
            assert (await last_words(connection, TOKEN))[0] == 4429


async def test_A2_a_cookie_is_taken_from_pages_of_ours_only(gateway: GatewayUnderTest) -> None:
    """A2: any page can open a WebSocket with its reader's cookies, and read it; Origin says which page it is."""
    cookie = {"Cookie": "t2m-access=alice-token"}
    for origin in ("https://evil.example", "null", None):
        headers = cookie if origin is None else {**cookie, "Origin": origin}
        refusal = await refused(gateway, **headers)
        assert (refusal.status, refusal.error["details"]["reason"]) == (403, "CSRF_REFUSED")
    assert gateway.script.exchanges == []
    for origin in ("https://app.example", f"http://127.0.0.1:{gateway.port}"):
        async with socket(gateway, headers={**cookie, "Origin": origin}) as connection:
            assert (await SocketClient(connection).event())[1] == "snapshot"


async def test_A2_the_url_carries_no_credential(gateway: GatewayUnderTest) -> None:
    """A2: it would stand in logs; a parameter of that name is unknown like any other."""
    for name in ("access_token", "token", "api_key", "authorization"):
        refusal = await refused(gateway, f"{SOCKET}?{name}=alice-token", **ALICE)
        assert refusal.status == 422
        assert refusal.error["details"]["violations"][0]["field"] == name


async def test_J7_a_client_has_nothing_to_say_later(gateway: GatewayUnderTest) -> None:
    """J7: text is refused, too much is 1009, and a ping is answered."""
    async with socket(gateway, headers=ALICE) as connection:
        await SocketClient(connection).event()
        async with asyncio.timeout(DEADLINE_S):
            await (await connection.ping())
        code, error = await last_words(connection, "and another thing")
        assert (code, error["error_code"]) == (4400, "MALFORMED_REQUEST")
    async with socket(gateway, headers=ALICE) as connection:
        await SocketClient(connection).event()
        assert (await last_words(connection, "x" * (17 << 10)))[0] == 1009
    async with socket(gateway) as connection:
        assert (await last_words(connection, "x" * (17 << 10)))[0] == 1009
    await gateway.script.until(lambda: gateway.script.watching == 0)


async def test_J7_a_client_that_does_not_answer_a_ping_is_given_up() -> None:
    """J7: after two heartbeats; a live one goes on."""
    async with running_gateway(stream_heartbeat_s=0.2) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        lines = (
            f"GET {SOCKET}?after_seq=0 HTTP/1.1", "Host: t", "Authorization: Bearer alice-token", "Upgrade: websocket",
            "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", "",
        )  # fmt: skip
        writer.write("\r\n".join(lines).encode())
        async with asyncio.timeout(DEADLINE_S):
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert answer.count(b"\x89\x00") == 1
        writer.close()


async def test_J7_the_upgrade_is_followed_where_a_websocket_is(gateway: GatewayUnderTest) -> None:
    """J7, O6: 426 without it; elsewhere, and of other methods, it is ignored; an unreadable opening is 400."""
    plain = await gateway.client.get(SOCKET, headers=ALICE)
    assert (plain.status_code, plain.headers["upgrade"]) == (426, "websocket")
    assert error_of(plain)["error_code"] == "UPGRADE_REQUIRED"
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", **ALICE}
    assert (await gateway.client.get(f"/api/v1/jobs/{JOB_ID}", headers=upgrade)).status_code == 200
    assert (await refused(gateway, "/ws/nothing", **ALICE)).status == 404
    assert (await gateway.client.post(SOCKET, headers=upgrade)).status_code == 405
    long = {**upgrade, "X-Padding": "x" * 9000}
    assert (await gateway.client.get(SOCKET, headers=long)).status_code == 400


async def test_O2_a_socket_has_its_request_id_and_one_line_in_the_log(
    gateway: GatewayUnderTest, capfd: pytest.CaptureFixture[str]
) -> None:
    """O2: on the answer and in the log, with the close code, without credentials."""
    await gateway.script.emit(status=job_pb2.JOB_STATUS_COMPLETED)
    headers = {**ALICE, "X-Request-Id": "a-request-of-mine"}
    async with socket(gateway, f"{SOCKET}?after_seq=0", headers) as connection:
        assert connection.response is not None
        assert connection.response.headers["x-request-id"] == "a-request-of-mine"
        assert await seqs(SocketClient(connection)) == [1]
    metrics: httpx.Response = await gateway.client.get("/metrics")
    assert "gateway_stream_subscribers 0.0" in metrics.text
    (line,) = [line for line in capfd.readouterr().out.splitlines() if "a-request-of-mine" in line]
    assert "/ws/jobs/{job_id}" in line
    assert "101" in line
    assert "close_code=1000" in line or '"close_code":1000' in line
    assert "alice-token" not in line


async def test_A2_revocation_ends_a_socket(gateway: GatewayUnderTest) -> None:
    """A2: with 4401, at once."""
    async with socket(gateway, headers=ALICE) as connection:
        await SocketClient(connection).event()
        _revoke_alice(gateway)
        code, error = await last_words(connection)
        assert (code, error["error_code"]) == (4401, "UNAUTHENTICATED")


def _revoke_alice(gateway: GatewayUnderTest) -> None:
    message = pb.WatchRevocationsResponse(revocations=[pb.Revocation(subject_id="alice")])
    assert gateway.rest.revocations.learn(message)
    gateway.rest.hub.dismiss()

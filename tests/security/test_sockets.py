"""WebSockets and the gateway's own endpoints keep to the rules of all others (rows A5, J7, O1): by every caller."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from gateway.http_rules import compile_template
from tests.e2e.local_stack import LocalStack
from tests.security.belongings import Belongings
from tests.security.routes import ROUTES

SOCKETS = tuple(route.rpc.extras.event_stream.websocket for route in ROUTES if route.rpc.extras.event_stream.websocket)
HEALTH_SOCKET = "/ws/system/health"
METRICS = "/api/v1/system/metrics"
UNKNOWN = "01a1fb85-4555-748c-b96c-e00eee985b99"
CREDENTIALS = ("x-api-key", "authorization")


def path_of(template: str, ids: dict[str, str] | None) -> str:
    """The path with these ids; with one that nobody has, without."""
    for variable in compile_template(template).variables:
        value = UNKNOWN if ids is None else ids[variable.field_path]
        template = template.replace(f"{{{variable.field_path}}}", value)
    return template


def opening(client: httpx.Client, path: str) -> int:
    """What the opening is answered; of one that succeeds, after its first message has come."""
    headers = {name: value for name, value in client.headers.items() if name in CREDENTIALS}
    url = f"ws://{client.base_url.host}:{client.base_url.port}{path}"
    try:
        with connect(url, additional_headers=headers, proxy=None) as connection:
            assert json.loads(connection.recv(timeout=20))
    except InvalidStatus as refused:
        refusal = refused.response
    else:
        return 101
    assert json.loads(refusal.body)["error"]["error_code"], "not an error of ours"
    return refusal.status_code


def closing(client: httpx.Client, path: str, first: Any) -> int:
    """The close code of a socket that begins with this message."""
    with connect(f"ws://{client.base_url.host}:{client.base_url.port}{path}", proxy=None) as connection:
        connection.send(json.dumps(first))
        assert json.loads(connection.recv(timeout=20))["error"]["error_code"]
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(timeout=20)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


def test_a5_j7_every_socket_asks_whose_it_is(
    nobody: httpx.Client,
    eve: httpx.Client,
    reader: httpx.Client,
    ada: httpx.Client,
    admin: httpx.Client,
    belongings: Belongings,
) -> None:
    """404 for who may not see it, as for what does not exist; a stranger gets no further than the first message."""
    assert len(SOCKETS) >= 3
    for template in SOCKETS:
        own = path_of(template, belongings.ids)
        assert [opening(client, own) for client in (eve, reader)] == [404, 404], template
        assert opening(eve, path_of(template, None)) == 404, template
        assert [opening(client, own) for client in (ada, admin)] == [101, 101], template
        wrong = {"authenticate": {"access_token": "a.b.c"}}
        assert closing(nobody, own, wrong) == 4401, template


def test_a5_a_narrow_key_opens_no_socket_and_reads_no_figures(
    ada: httpx.Client, admin: httpx.Client, stack: LocalStack, belongings: Belongings
) -> None:
    """403 on one's own things; an admin's key that is restricted is no admin's."""
    for owner, path in ((ada, path_of(SOCKETS[0], belongings.ids)), (admin, METRICS)):
        made = owner.post("/api/v1/api-keys", json={"name": "narrow", "scopes": ["webhooks:read"]}).json()
        try:
            with stack.client(made["secret"]) as narrow:
                status = opening(narrow, path) if path.startswith("/ws/") else narrow.get(path).status_code
        finally:
            assert owner.delete(f"/api/v1/api-keys/{made['api_key']['api_key_id']}").status_code == 204
        assert status == 403, path


def test_a5_o1_figures_are_for_admins_and_health_for_everybody_who_is_somebody(
    nobody: httpx.Client, eve: httpx.Client, reader: httpx.Client, admin: httpx.Client
) -> None:
    """O1, A5."""
    callers = (nobody, eve, reader, admin)
    assert [client.get(METRICS).status_code for client in callers] == [401, 403, 403, 200]
    for path in ("/api/v1/system/health", "/api/v1/system/queue-status"):
        assert [client.get(path).status_code for client in callers] == [401, 200, 200, 200], path
    assert [opening(client, HEALTH_SOCKET) for client in (eve, reader, admin)] == [101, 101, 101]
    health = eve.get("/api/v1/system/health").json()
    assert {part["status"] for part in health["parts"].values()} <= {"serving", "followed", "unused"}, health

"""Headers and fields that a client has no business to send (rows A5, O6; OWASP API3, API8)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.e2e.local_stack import SAMPLE, LocalStack
from tests.security.belongings import Belongings
from tests.security.raw import raw_exchange
from tests.security.routes import ROUTES, Route

IDENTITY_HEADERS = (
    "X-User-Id", "X-User", "X-Role", "X-Roles", "X-Scope", "X-Plan", "X-Principal", "X-Internal-Token",
    "X-Forwarded-User", "X-Auth-Request-User", "X-Original-User", "X-Client-Cert", "X-Forwarded-Client-Cert",
    "X-T2m-User", "X-Service-Id", "X-Admin", "Remote-User", "From", "Grpc-Metadata-Authorization",
    "Grpc-Metadata-X-User-Id", "Grpc-Metadata-Role", "Authorization-Bin", "X-Client-Address",
)  # fmt: skip


@pytest.mark.parametrize("header", IDENTITY_HEADERS)
def test_a5_identity_headers_from_outside_mean_nothing(
    eve: httpx.Client, nobody: httpx.Client, admin: httpx.Client, belongings: Belongings, header: str
) -> None:
    """Neither does a stranger become somebody, nor Eve an admin or Ada."""
    claims = [belongings.ids["user_id"], "admin", "job", f"Bearer {admin.headers['X-API-Key']}"]
    for claim in claims:
        headers = {header: claim}
        assert nobody.get("/api/v1/users/profile", headers=headers).status_code == 401
        assert eve.get("/api/v1/admin/queue", headers=headers).status_code == 403
        assert eve.get(f"/api/v1/jobs/{belongings.ids['job_id']}", headers=headers).status_code == 404


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "_method"])
def test_a5_the_method_is_the_methods(ada: httpx.Client, belongings: Belongings, header: str) -> None:
    path = f"/api/v1/jobs/{belongings.ids['job_id']}"
    assert ada.get(path, headers={header: "DELETE"}, params={"_ignored": ""}).status_code in (200, 422)
    assert ada.post(path, json={}, headers={header: "DELETE"}).status_code == 405
    assert ada.get(path).status_code == 200


@pytest.mark.parametrize("header", ["X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "X-Forwarded-Path"])
def test_a5_the_path_is_the_path(eve: httpx.Client, header: str) -> None:
    answer = eve.get("/api/v1/jobs", headers={header: "/api/v1/admin/queue"})
    assert set(answer.json()) <= {"jobs", "next_page_token", "total_count", "total_size"}


FORBIDDEN_FIELDS: dict[str, Any] = {
    "user_id": "01a1fb85-4555-748c-b96c-e00eee985b36",
    "owner_id": "01a1fb85-4555-748c-b96c-e00eee985b36",
    "role": "admin",
    "is_admin": True,
    "admin": True,
    "plan": "studio",
    "credits": 1_000_000,
    "scope": "users:write",
    "status": "completed",
    "email_verified": True,
    "created_at": "2000-01-01T00:00:00Z",
    "password_hash": "x",
    "__proto__": {"admin": True},
    "constructor": {"prototype": {"admin": True}},
    "@type": "type.googleapis.com/t2m.auth.v1.User",
}
_BODIES = [route for route in ROUTES if route.binding.body == "*" and route.access in ("READ", "WRITE", "PUBLIC")]


@pytest.mark.parametrize("route", _BODIES, ids=str)
def test_a5_mass_assignment_is_refused_by_name(
    ada: httpx.Client, nobody: httpx.Client, belongings: Belongings, route: Route
) -> None:
    """A field that the request does not have is refused with its name, on every route that takes a body (API3)."""
    client = nobody if route.access == "PUBLIC" else ada
    own = set(route.rpc.input.fields_by_name) - set(route.variables)
    arguments = route.request(belongings.ids)
    for name, value in FORBIDDEN_FIELDS.items():
        if name in own:
            continue
        answer = client.request(**{**arguments, "json": {**arguments["json"], name: value}})
        assert answer.status_code == 422, f"{name}: {answer.status_code} {answer.text}"
        fields = {violation["field"] for violation in answer.json()["error"]["details"]["violations"]}
        assert name in fields


def test_a5_a_field_that_the_path_fills_is_not_taken_from_elsewhere(
    eve: httpx.Client, ada: httpx.Client, belongings: Belongings
) -> None:
    """Two places for one id, one of them checked: the classic. The path alone counts."""
    own = ada.post("/api/v1/videos/generate", json=SAMPLE).json()["job_id"]
    theirs = belongings.ids["job_id"]
    assert eve.get(f"/api/v1/jobs/{own}", params={"job_id": theirs}).status_code in (404, 422)
    body = ada.post(f"/api/v1/jobs/{own}/cancel", json={"job_id": theirs})
    assert body.status_code == 422
    query = ada.post(f"/api/v1/jobs/{own}/cancel", params={"job_id": theirs}, json={})
    assert query.status_code in (200, 422)
    assert ada.get(f"/api/v1/jobs/{theirs}").json()["status"] == "completed"
    ada.post(f"/api/v1/jobs/{own}/cancel", json={})


def test_a5_repeated_and_odd_authorization_headers(stack: LocalStack, admin: httpx.Client) -> None:
    """Two credentials in one request: never the stronger one by surprise, never a crash."""
    key = stack.api_key("twice@t2m.example")
    good, bad = f"X-API-Key: {key}", f"X-API-Key: {admin.headers['X-API-Key']}"
    for first, second in ((good, bad), (bad, good)):
        status, _ = raw_exchange(stack.url, "GET /api/v1/users/profile HTTP/1.1", first, second)
        assert status in (400, 401), "an ambiguous request must not be guessed at"


REQUEST_SMUGGLING = {
    "two lengths": (["POST /api/v1/users/login HTTP/1.1", "Content-Length: 2", "Content-Length: 30"], b"{}"),
    "length and chunks": (
        ["POST /api/v1/users/login HTTP/1.1", "Content-Length: 4", "Transfer-Encoding: chunked"],
        b"0\r\n\r\nGET /api/v1/admin/queue HTTP/1.1\r\n\r\n",
    ),
    "an odd coding": (["POST /api/v1/users/login HTTP/1.1", "Transfer-Encoding: xchunked"], b"0\r\n\r\n"),
    "a space before the colon": (["GET /health HTTP/1.1", "X-API-Key : x"], b""),
    "a folded header": (["GET /health HTTP/1.1", "X-A: b", " c: d"], b""),
    "a bare line feed": (["GET /health HTTP/1.1", "X-A: b\nX-User-Id: root"], b""),
    "a zero byte": (["GET /health HTTP/1.1", "X-A: b\0c"], b""),
    "a negative length": (["POST /api/v1/users/login HTTP/1.1", "Content-Length: -1"], b"{}"),
    "no HTTP": (["\x16\x03\x01\x02\x00\x01\x00"], b""),
    "HTTP/9.9": (["GET /health HTTP/9.9"], b""),
    "an absolute target": (["GET http://169.254.169.254/latest HTTP/1.1"], b""),
    "CONNECT": (["CONNECT 169.254.169.254:80 HTTP/1.1"], b""),
    "a header of a megabyte": (["GET /health HTTP/1.1", "X-A: " + "a" * (1 << 20)], b""),
    "ten thousand headers": (["GET /health HTTP/1.1", *(f"X-{n}: a" for n in range(10_000))], b""),
}


@pytest.mark.parametrize("name", list(REQUEST_SMUGGLING))
def test_requests_that_two_readers_could_read_differently(stack: LocalStack, nobody: httpx.Client, name: str) -> None:
    """RFC 9112 §11.2: refused or answered once, never two answers; the gateway goes on."""
    lines, body = REQUEST_SMUGGLING[name]
    try:
        status, answer = raw_exchange(stack.url, *lines, body=body)
    except ConnectionError:
        status, answer = 0, b""
    assert status < 500 or status == 501, answer
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert b"queue" not in answer
    assert nobody.get("/health").status_code == 200

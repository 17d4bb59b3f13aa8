"""Malicious values in every place that takes one (rows O6, S5; OWASP API4, API8): a clear 4xx or plain data, no 5xx."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest

from gateway.binding import query_leaves
from tests.e2e.local_stack import SAMPLE, LocalStack
from tests.security.belongings import Belongings
from tests.security.raw import raw_exchange
from tests.security.routes import ROUTES, Route

META = (
    "' OR '1'='1",
    "'; DROP TABLE users; --",
    '" OR ""="',
    "1) UNION SELECT password_hash FROM users --",
    "\\'; SELECT pg_sleep(9); --",
    "%' AND 1=cast(version() as int) --",
    "$where: 1",
    '{"$gt": ""}',
    "[$ne]=1",
    "*)(uid=*))(|(uid=*",
    "$(touch /tmp/pwned)",
    "`id`",
    "| cat /etc/passwd",
    "{{7*7}}",
    "${jndi:ldap://127.0.0.1/a}",
    "#set($x=7*7)${x}",
    "<script>alert(1)</script>",
    "\r\nSet-Cookie: a=b",
    "\u0000",
    "a\u202eb\u2066c",
    "\U0001f600" * 50,
    "../../../../etc/passwd",
    "..\\..\\windows\\win.ini",
    "file:///etc/passwd",
    "http://169.254.169.254/latest/meta-data/",
    "-1",
    "9" * 40,
    "1e309",
    "NaN",
    "\x7f\x1b[31m",
)
_READS = [route for route in ROUTES if route.binding.verb == "GET" and route.access in ("READ", "WRITE", "PUBLIC")]


@pytest.mark.parametrize("route", [route for route in _READS if route.variables], ids=str)
def test_metacharacters_in_paths(ada: httpx.Client, belongings: Belongings, route: Route) -> None:
    """An id that is no id: 404 or 422, and never another resource's answer."""
    for text in META:
        for name in route.variables:
            path = route.path({**belongings.ids, "read_ticket": "x", name: text})
            answer = ada.get(path)
            assert answer.status_code in (400, 401, 403, 404, 422), f"{path}: {answer.status_code} {answer.text[:200]}"
            error = answer.json()["error"]
            del error["path"]  # What was sent comes back there.
            assert not any(word in str(error).lower() for word in ("sqlstate", "asyncpg", "syntax", "traceback"))


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/v1/files", "/api/v1/videos/batch", "/api/v1/users/me/audit"])
def test_metacharacters_in_queries(ada: httpx.Client, path: str) -> None:
    """In every parameter that the route takes."""
    route = next(route for route in _READS if route.template.source == path)
    names = list(query_leaves(route.rpc.input, ()))
    assert names
    for name in names:
        for text in META:
            answer = ada.get(path, params={name: text})
            assert answer.status_code in (200, 400, 422), f"{name}={text!r}: {answer.status_code} {answer.text[:200]}"


def test_metacharacters_are_plain_data_in_a_job(ada: httpx.Client) -> None:
    """What is stored is what was sent, and it is shown as JSON that nobody takes for a page."""
    for text in META:
        answer = ada.post("/api/v1/videos/generate", json={**SAMPLE, "topic": f"x {text}"})
        assert answer.status_code in (201, 422), answer.text
        if answer.status_code == 422:
            assert "\u0000" in text
            continue
        job_id = answer.json()["job_id"]
        found = ada.get(f"/api/v1/jobs/{job_id}")
        assert found.json()["topic"] == f"x {text}".strip()
        assert found.headers["content-type"].startswith("application/json")
        assert found.headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in found.headers
        ada.post(f"/api/v1/jobs/{job_id}/cancel", json={})
        assert ada.get("/api/v1/jobs", params={"search": text}).status_code in (200, 422)


def _nested(depth: int, opening: str, closing: str) -> bytes:
    return (opening * depth + closing * depth).encode()


BODIES: dict[str, bytes] = {
    "lists in lists": _nested(200_000, "[", "]"),
    "objects in objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "lists in a field": b'{"configuration":' + _nested(100_000, "[", "]") + b"}",
    "objects in a field": b'{"configuration":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}",
    "unclosed": b"[" * 500_000,
    "a number of a megabyte": b'{"max_retries":' + b"9" * 900_000 + b"}",
    "a huge exponent": b'{"max_retries":1e999999999}',
    "NaN": b'{"max_retries":NaN}',
    "Infinity": b'{"max_retries":-Infinity}',
    "a lone surrogate": b'{"topic":"\\ud800","context":"x"}',
    "an overlong byte sequence": b'{"topic":"\xc0\xaf","context":"x"}',
    "a byte order mark": b'\xef\xbb\xbf{"topic":"x"}',
    "UTF-16": json.dumps({"topic": "x"}).encode("utf-16"),
    "fifty thousand keys": json.dumps({f"k{n}": n for n in range(50_000)}).encode(),
    "a key of half a megabyte": b'{"' + b"k" * 500_000 + b'":1}',
    "the same key twice": b'{"topic":"a","topic":"","context":"x"}',
    "comments": b'{"topic":"x"/* y */}',
    "a trailing comma": b'{"topic":"x",}',
    "single quotes": b"{'topic':'x'}",
    "null": b"null",
    "nothing": b"",
    "a zero byte": b'{"topic":"a\\u0000b","context":"x"}',
    "XML": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    "two megabytes": b'{"topic":"' + b"x" * 2_000_000 + b'"}',
}


@pytest.mark.parametrize("name", list(BODIES))
def test_hostile_json(ada: httpx.Client, name: str) -> None:
    """Refused with a 4xx in the usual form; the next request is served."""
    for path in ("/api/v1/videos/generate", "/api/v1/storyboards:validate", "/api/v1/users/login"):
        answer = ada.post(path, content=BODIES[name], headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 401, 413, 415, 422), f"{path}: {answer.status_code} {answer.text[:200]}"
        assert answer.json()["error"]["error_code"]
        assert len(answer.content) < 200_000, "an answer that is larger than it needs to be"
    assert ada.get("/api/v1/jobs", params={"page_size": 1}).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/grpc", "multipart/form-data", ""])
def test_other_content_types(ada: httpx.Client, kind: str) -> None:
    answer = ada.post("/api/v1/videos/generate", content=b'{"topic":"x"}', headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert answer.headers["accept-post"] == "application/json"


PATHS = (
    "/api/v1/jobs/..%2f..%2fadmin%2fqueue", "/api/v1/jobs/%2e%2e/admin/queue", "/api/v1/jobs/../admin/queue",
    "/api/v1/jobs/%252e%252e%252fadmin", "/api/v1//admin//queue", "//api/v1/admin/queue", "/api/v1/admin/queue/",
    "/api/v1/admin/queue;x=y", "/api/v1/admin/queue%00", "/api/v1/admin/queue%0d%0a", "/API/V1/ADMIN/QUEUE",
    "/api/v1/admin/queue%3f", "/api/v1/admin%2fqueue", "/api/v1/./admin/queue", "/api/v1/users/..;/admin/queue",
    "/api/v1/admin/queue.json", "/api/v1/admin/queue/.", "/api/v1/jobs/%c0%ae%c0%ae/x", "/api/v1/jobs/\u2024\u2024/x",
    "/t2m.job.v1.JobAdminService/GetQueue", "/api/v1/files/..%5c..%5csecrets.json", "/api/v1/objects/..%2f..%2fkeys",
    "/docs/../metrics", "/openapi.json/..%2fmetrics", "/schemas/..%2f..%2fsettings.py", "/static/../../etc/passwd",
    "/.git/config", "/.env", "/api/v1/videos/jobs/x:remix:remix", "/api/v1/storyboards:plan:validate",
    "/api/v1/jobs/:cancel", "/api/v1/jobs/%3acancel",
)  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_tricks_with_paths_lead_nowhere(eve: httpx.Client, path: str) -> None:
    """No path leads a user to what only an admin may see, or to a file."""
    line = f"GET {path} HTTP/1.1".encode().decode("latin-1")
    status, answer = raw_exchange(str(eve.base_url), line, f"X-API-Key: {eve.headers['X-API-Key']}")
    assert status in (400, 401, 403, 404, 405, 422), answer[:300]
    assert not any(word in answer for word in (b"queued", b"root:", b"service_job", b"T2M_", b"[core]", b"# HELP"))


HEADER_VALUES = (
    b"a\r\nX-Injected: 1",
    b"a\nX-Injected: 1",
    b"a\rX-Injected: 1",
    b"a%0d%0aX-Injected:%201",
    "é".encode(),
)


@pytest.mark.parametrize("header", [b"X-Request-Id", b"Idempotency-Key", b"Accept-Language", b"Origin", b"traceparent"])
def test_line_breaks_in_headers(stack: LocalStack, ada: httpx.Client, header: bytes) -> None:
    """What comes in by one header does not go out as two (CWE-113)."""
    for value in HEADER_VALUES:
        line = (header + b": " + value).decode("latin-1")
        own = f"X-API-Key: {ada.headers['X-API-Key']}"
        status, answer = raw_exchange(stack.url, "GET /api/v1/jobs HTTP/1.1", own, line)
        assert status < 500
        assert b"\r\nx-injected" not in answer.lower()


@pytest.mark.parametrize(
    "name", ['a"; filename="evil.exe', "a\r\nX-Injected: 1", "../../evil.sh", "a\u202etxt.exe", "CON"]
)
def test_line_breaks_in_file_names(ada: httpx.Client, name: str) -> None:
    """A name comes back as a name, in one header that says attachment."""
    answer = ada.post("/api/v1/files", params={"filename": name}, content=b"Some words of text.\n")
    if answer.status_code != 201:
        assert answer.status_code == 422, answer.text
        return
    file_id = answer.json()["file_id"]
    got = ada.get(f"/api/v1/files/{file_id}/content")
    assert got.status_code == 200
    assert "x-injected" not in got.headers
    assert got.headers["content-disposition"].startswith("attachment")
    # RFC 6266: a plain name without quotes inside, and the exact one in the extended form; nothing else.
    form = r"attachment; filename=\"[^\"\\\\/]*\"(; filename\*=UTF-8''[A-Za-z0-9%!#$&+.^_`|~-]+)?"
    assert re.fullmatch(form, got.headers["content-disposition"]), got.headers["content-disposition"]
    assert ada.delete(f"/api/v1/files/{file_id}").status_code == 204


def test_no_answer_sends_a_browser_elsewhere(nobody: httpx.Client, ada: httpx.Client, belongings: Belongings) -> None:
    """Open redirects (CWE-601): a Host or X-Forwarded-Host of the attacker's is in no link and no Location."""
    evil = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    job = belongings.ids["job_id"]
    for path in ("//evil.example/", "/\\evil.example", "/https://evil.example", "/docs", "/docs/", "/health/"):
        _, raw = raw_exchange(str(nobody.base_url), f"GET {path} HTTP/1.1")
        assert b"\r\nlocation" not in raw.lower()
    for path in (f"/api/v1/videos/jobs/{job}/download", f"/api/v1/videos/jobs/{job}/stream", f"/api/v1/jobs/{job}"):
        answer = ada.get(path, headers=evil, params={"redirect": "https://evil.example"} if "stream" in path else None)
        assert "evil.example" not in answer.headers.get("location", "")
        assert "evil.example" not in answer.text
    for fields in ({"next": "https://evil.example"}, {"redirect_uri": "https://evil.example"}):
        answer = nobody.post("/api/v1/users/register", json={"email": "a@b.example", "password": "x" * 20, **fields})
        assert answer.status_code == 422


def test_cors_lets_no_unknown_origin_read_with_credentials(ada: httpx.Client) -> None:
    """No wildcard, no echo of whoever asks (OWASP API8)."""
    for origin in ("https://evil.example", "null", "https://t2m.example.evil.example", "http://localhost:1"):
        for answer in (
            ada.get("/api/v1/jobs", headers={"Origin": origin}),
            ada.options(
                "/api/v1/jobs",
                headers={"Origin": origin, "Access-Control-Request-Method": "DELETE"},
            ),
        ):
            assert "access-control-allow-origin" not in answer.headers
            assert "access-control-allow-credentials" not in answer.headers


CONFUSABLE = (
    "ad\u0430@t2m.example", "\uff41da@t2m.example", "ada@t2m.ex\u0430mple", "ada\u200b@t2m.example",
    "ada@t2m\u3002example", "ADA\u0130@t2m.example", "ada\u0000@t2m.example", "ada@t2m.example\r\nBcc: x@y.example",
    "ada@t2m.example, x@y.example", "<ada@t2m.example>", "ada@[127.0.0.1]", "ada@localhost", '"a b"@t2m.example',
    "ada+\u202e@t2m.example", "a" * 300 + "@t2m.example", "ada@@t2m.example", "ada@t2m..example", "@t2m.example",
)  # fmt: skip


@pytest.mark.parametrize("address", CONFUSABLE)
def test_a1_addresses_that_look_like_another(nobody: httpx.Client, address: str) -> None:
    """No account can have an address that a person, or a mail server, takes for another one's."""
    body: dict[str, Any] = {"email": address, "password": "correct horse battery staple 9"}
    answer = nobody.post("/api/v1/users/register", json=body)
    if answer.status_code == 202:
        # A domain in another script is a domain of its own, stored under its ASCII name, which looks like no other; the
        # ideographic full stop is a full stop in domains (RFC 3490 §3.1): that one is the very same address.
        assert address in ("ada@t2m.ex\u0430mple", "ada@t2m\u3002example")
        return
    assert answer.status_code == 422, answer.text
    assert [violation["field"] for violation in answer.json()["error"]["details"]["violations"]] == ["email"]

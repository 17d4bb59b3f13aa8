"""Unary calls through the real server: success, every kind of bad input, faults of backends (O1, O6, O7, V1)."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import grpc
import orjson
import pytest

from tests.fakes.grpc_backends import JOB_ID, OTHER_JOB_ID, bad_request, retry_info
from tests.integration.gateway_harness import ALICE, GatewayUnderTest, error_of, running_gateway

GENERATE = "/api/v1/videos/generate"
ORDER = {"topic": "Pythagorean theorem", "context": "prove it visually"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def gateway() -> AsyncIterator[GatewayUnderTest]:
    async with running_gateway() as running:
        yield running


async def test_V1_an_order_reaches_the_service_as_the_contract_says(gateway: GatewayUnderTest) -> None:
    """V1: body, enum, struct and Idempotency-Key are bound; 201 with the bare job; internal metadata stay inside."""
    order = {**ORDER, "quality": "low", "configuration": {"theme": "light"}, "max_retries": 0}
    answer = await gateway.client.post(GENERATE, json=order, headers={**ALICE, "Idempotency-Key": "once"})
    assert answer.status_code == 201, answer.text
    job = answer.json()
    assert (job["job_id"], job["status"], job["topic"]) == (JOB_ID, "queued", ORDER["topic"])
    (created,) = gateway.script.created
    assert (created.request_id, created.quality, created.configuration["theme"]) == ("once", 1, "light")
    assert created.HasField("max_retries")
    assert "x-internal-hint" not in answer.headers


async def test_V1_identity_comes_from_the_exchange_only(gateway: GatewayUnderTest) -> None:
    """A2: metadata that pose as internal ones are dropped; the request id and the trace go through."""
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    forged = {"x-t2m-user": "root", "x-internal-token": "root", "X-Request-ID": "request-0001", "traceparent": trace}
    answer = await gateway.client.post(GENERATE, json=ORDER, headers={**ALICE, **forged})
    assert answer.headers["x-request-id"] == "request-0001"
    (metadata,) = gateway.script.metadata
    assert metadata["authorization"] == "Bearer internal-alice"
    assert (metadata["x-request-id"], metadata["traceparent"]) == ("request-0001", trace)
    assert not {"x-t2m-user", "x-internal-token"} & set(metadata)


async def test_A2_a_credential_is_exchanged_once(gateway: GatewayUnderTest) -> None:
    """A2: concurrent requests share one exchange, later ones the cache; an API key works alike."""
    await asyncio.gather(*(gateway.client.post(GENERATE, json=ORDER, headers=ALICE) for _ in range(8)))
    assert gateway.script.exchanges == ["alice-token"]
    gateway.script.credentials["t2m_1_key"] = "alice"
    answer = await gateway.client.post(GENERATE, json=ORDER, headers={"X-API-Key": "t2m_1_key"})
    assert answer.status_code == 201
    assert gateway.script.exchanges == ["alice-token", "t2m_1_key"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "code", "field"),
    [
        (b'{"topic": 3}', JSON, 422, "VALIDATION_ERROR", "topic"),
        (b'{"nope": 1}', JSON, 422, "VALIDATION_ERROR", "nope"),
        (b'{"configuration": []}', JSON, 422, "VALIDATION_ERROR", "configuration"),
        (b'{"quality_levels": ["720p", 3]}', JSON, 422, "VALIDATION_ERROR", "quality_levels[1]"),
        (b'{"request_id": "x"}', JSON, 422, "VALIDATION_ERROR", "request_id"),
        (b"[1]", JSON, 422, "VALIDATION_ERROR", "body"),
        (b'{"topic": ', JSON, 400, "MALFORMED_REQUEST", None),
        (b'{"topic": "\xff"}', JSON, 400, "MALFORMED_REQUEST", None),
        (
            b'{"configuration": ' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}",
            JSON,
            422,
            "VALIDATION_ERROR",
            "configuration",
        ),
        (b"[" * 100_000, JSON, 400, "MALFORMED_REQUEST", None),
        (b"topic=x", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "UNSUPPORTED_MEDIA_TYPE", None),
        (b"{}", {"Content-Type": "application/json; charset=latin-1"}, 415, "UNSUPPORTED_MEDIA_TYPE", None),
        (b"{}", {}, 415, "UNSUPPORTED_MEDIA_TYPE", None),
        (b" " * (1 << 20) + b"{}", JSON, 413, "REQUEST_TOO_LARGE", None),
    ],
)
async def test_O6_a_bad_body_is_named_and_reaches_nobody(
    gateway: GatewayUnderTest, body: bytes, headers: dict[str, str], status: int, code: str, field: str | None
) -> None:
    """O6: unknown field, wrong type, malformed JSON, wrong content type, oversized body."""
    answer = await gateway.client.post(GENERATE, content=body, headers={**ALICE, **headers})
    error = error_of(answer)
    assert (answer.status_code, error["error_code"]) == (status, code)
    if field is not None:
        assert [violation["field"] for violation in error["details"]["violations"]] == [field]
    assert gateway.script.created == []


async def test_O6_all_violations_come_at_once(gateway: GatewayUnderTest) -> None:
    """O6: one round trip shows every mistake."""
    answer = await gateway.client.post(GENERATE, json={"topic": 1, "use_rag": "yes", "x": 0}, headers=ALICE)
    fields = {violation["field"] for violation in error_of(answer)["details"]["violations"]}
    assert fields == {"topic", "use_rag", "x"}


async def test_O7_a_chunked_body_is_limited_too(gateway: GatewayUnderTest) -> None:
    """O7: no Content-Length to refuse by."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 65536

    answer = await gateway.client.post(GENERATE, content=endless(), headers={**ALICE, **JSON})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "CREDENTIAL_MISSING"),
        ({"Authorization": "Bearer nobody"}, "CREDENTIAL_INVALID"),
        ({"Authorization": "Basic YTpi"}, "CREDENTIAL_INVALID"),
        ({"Authorization": "Bearer"}, "CREDENTIAL_INVALID"),
        ({"X-API-Key": "t2m_nobody_secret"}, "CREDENTIAL_INVALID"),
        ({"Authorization": "Bearer expired-token"}, "CREDENTIAL_EXPIRED"),
    ],
)
async def test_A2_O6_a_bad_credential_is_401(gateway: GatewayUnderTest, headers: dict[str, str], reason: str) -> None:
    """O6: 401 with WWW-Authenticate, whatever the body."""
    answer = await gateway.client.post(GENERATE, content=b"garbage", headers=headers)
    assert answer.status_code == 401
    assert error_of(answer)["details"]["reason"] == reason
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_A2_a_refusal_is_remembered_for_a_moment(gateway: GatewayUnderTest) -> None:
    """A2: guessing costs auth one call, not one per guess of the same."""
    for _ in range(3):
        assert (await gateway.client.get("/api/v1/jobs", headers={"X-API-Key": "x"})).status_code == 401
    assert gateway.script.exchanges == ["x"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/nothing", 404, "NOT_FOUND"),
        ("GET", "/api/v1/jobs/", 404, "NOT_FOUND"),
        ("GET", "/api/v1/jobs//events", 404, "NOT_FOUND"),
        ("GET", "/api/v1/jobs/%ff", 400, "MALFORMED_REQUEST"),
        ("PUT", GENERATE, 405, "METHOD_NOT_ALLOWED"),
        ("GET", f"/api/v1/jobs/{OTHER_JOB_ID}", 404, "NOT_FOUND"),
        ("GET", "/api/v1/jobs?page_size=many", 422, "VALIDATION_ERROR"),
        ("GET", "/api/v1/jobs?page_size=1&page_size=2", 422, "VALIDATION_ERROR"),
        ("GET", "/api/v1/jobs?sort=desc", 422, "VALIDATION_ERROR"),
        ("GET", "/api/v1/jobs?status=lost", 422, "VALIDATION_ERROR"),
        ("GET", "/api/v1/jobs?created_after=yesterday", 422, "VALIDATION_ERROR"),
        ("GET", "/api/v1/jobs?topic=%ff", 400, "MALFORMED_REQUEST"),
        ("GET", "/api/v1/jobs?" + "&".join(["status=queued"] * 101), 400, "MALFORMED_REQUEST"),
    ],
)
async def test_O6_bad_paths_and_queries(
    gateway: GatewayUnderTest, method: str, path: str, status: int, code: str
) -> None:
    """O6: unknown route, wrong verb, unknown job, bad, repeated and unknown parameters."""
    answer = await gateway.client.request(method, path, headers=ALICE)
    assert (answer.status_code, error_of(answer)["error_code"]) == (status, code), answer.text
    if status == 405:
        assert answer.headers["allow"] == "OPTIONS, POST"


async def test_A5_another_owners_job_is_404(gateway: GatewayUnderTest) -> None:
    """A5: indistinguishable from one that does not exist."""
    answer = await gateway.client.get(f"/api/v1/jobs/{JOB_ID}", headers={"Authorization": "Bearer bob-token"})
    assert (answer.status_code, error_of(answer)["error_code"]) == (404, "NOT_FOUND")


async def test_J2_a_query_is_bound(gateway: GatewayUnderTest) -> None:
    """J2: repeated enums, numbers, text with escapes, timestamps."""
    path = "/api/v1/jobs?status=queued&status=JOB_STATUS_FAILED&page_size=7&topic=a%20%26+b"
    answer = await gateway.client.get(path + "&created_after=2030-01-31T12:00:00%2B01:00", headers=ALICE)
    body = answer.json()
    assert [job["status"] for job in body["jobs"]] == ["queued", "failed"]
    assert (body["next_page_token"], body["jobs"][0]["topic"]) == ("7", "a & b")


async def test_J3_delete_is_204_without_a_body(gateway: GatewayUnderTest) -> None:
    """J3: 204."""
    answer = await gateway.client.delete(f"/api/v1/jobs/{JOB_ID}", headers=ALICE)
    assert (answer.status_code, answer.content) == (204, b"")


async def test_O7_head_and_compression(gateway: GatewayUnderTest) -> None:
    """O7: HEAD is GET without the body; a long answer is compressed for who can read it; headers that protect."""
    path = f"/api/v1/jobs/{JOB_ID}"
    request = gateway.client.build_request("GET", path, headers={**ALICE, "Accept-Encoding": "gzip"})
    answer = await gateway.client.send(request, stream=True)
    raw = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "accept-encoding"
    assert len(raw) < 500
    assert orjson.loads(gzip.decompress(raw))["job_id"] == JOB_ID
    assert answer.headers["x-content-type-options"] == "nosniff"
    head = await gateway.client.head(path, headers={**ALICE, "Accept-Encoding": "identity"})
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 2000


@pytest.mark.parametrize(
    ("code", "reason", "details", "status", "error_code"),
    [
        (
            grpc.StatusCode.INVALID_ARGUMENT,
            "VALIDATION_FAILED",
            (bad_request("topic", "too long"),),
            422,
            "VALIDATION_ERROR",
        ),
        (grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_CONFLICT", (), 409, "CONFLICT"),
        (grpc.StatusCode.FAILED_PRECONDITION, "STATE_CONFLICT", (), 409, "CONFLICT"),
        (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED", (), 403, "PERMISSION_DENIED"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", (retry_info(7),), 429, "RATE_LIMIT_EXCEEDED"),
        (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE", (retry_info(3),), 503, "SERVICE_UNAVAILABLE"),
        (grpc.StatusCode.INTERNAL, "INTERNAL", (), 500, "INTERNAL_ERROR"),
    ],
)
async def test_O6_refusals_of_services(
    gateway: GatewayUnderTest, code: grpc.StatusCode, reason: str, details: Any, status: int, error_code: str
) -> None:
    """O6: status, error_code, reason, violations and Retry-After arrive over the wire."""
    gateway.script.refusal = (code, reason, details)
    answer = await gateway.client.post(GENERATE, json=ORDER, headers=ALICE)
    error = error_of(answer)
    assert (answer.status_code, error["error_code"], error["details"]["reason"]) == (status, error_code, reason)
    if status == 422:
        assert error["details"]["violations"] == [{"field": "topic", "message": "too long"}]
    if status in (429, 503):
        assert answer.headers["retry-after"] == ("7" if status == 429 else "3")


async def test_O1_O6_a_service_that_is_down_is_503_and_readiness_says_which(gateway: GatewayUnderTest) -> None:
    """O1, O6: 503 with Retry-After that tells nothing of addresses; alive all the same; back again afterwards."""
    ready = await gateway.client.get("/health/ready")
    assert ready.status_code == 200
    assert ready.json()["dependencies"]["job"]["status"] == "serving"
    assert ready.json()["dependencies"]["job"]["latency_ms"] > 0
    await gateway.client.get("/api/v1/jobs", headers=ALICE)
    await gateway.backends.stop()
    answer = await gateway.client.get("/api/v1/jobs", headers=ALICE)
    error = error_of(answer)
    assert (answer.status_code, error["error_code"]) == (503, "SERVICE_UNAVAILABLE")
    assert int(answer.headers["retry-after"]) >= 1
    assert "127.0.0.1" not in answer.text
    ready = await gateway.client.get("/health/ready")
    assert ready.status_code == 503
    assert set(error_of(ready)["details"]["unavailable"]) == {"auth", "job", "video_render", "storage"}
    assert (await gateway.client.get("/health")).json() == {"status": "alive"}
    await gateway.backends.start()
    async with asyncio.timeout(10):
        while (await gateway.client.get("/health/ready")).status_code != 200:
            pass
    assert (await gateway.client.get("/api/v1/jobs", headers=ALICE)).status_code == 200


async def test_a_call_is_cancelled_when_its_client_leaves(gateway: GatewayUnderTest) -> None:
    """The service stops working for nobody."""
    path = f"/api/v1/videos/jobs/{JOB_ID}/status"
    call = asyncio.create_task(gateway.client.get(path, headers=ALICE))
    async with asyncio.timeout(10):
        await gateway.script.held.wait()
        call.cancel()
        await gateway.script.cancelled.wait()


async def test_a_slow_call_is_504() -> None:
    """O6: the gateway's own deadline."""
    async with running_gateway(call_deadline_s=0.5) as gateway:
        answer = await gateway.client.get(f"/api/v1/videos/jobs/{JOB_ID}/status", headers=ALICE)
        assert (answer.status_code, error_of(answer)["error_code"]) == (504, "DEADLINE_EXCEEDED")


async def test_O6_the_clients_deadline_is_of_everything() -> None:
    """O6: also of the exchange of its credential, here with an auth that takes connections and says nothing."""
    silent = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    host, port = silent.sockets[0].getsockname()
    async with silent, running_gateway(auth_address=f"{host}:{port}", call_deadline_s=60) as gateway:
        async with asyncio.timeout(15):
            answer = await gateway.client.get("/api/v1/jobs", headers={**ALICE, "Grpc-Timeout": "200m"})
    assert (answer.status_code, error_of(answer)["error_code"]) == (504, "DEADLINE_EXCEEDED")


async def test_O7_cors_by_configuration() -> None:
    """O7: only the configured origin may read; without configuration nobody."""
    origin = {"Origin": "https://app.example"}
    async with running_gateway(cors_origins="https://app.example, https://b.example") as gateway:
        preflight = {**origin, "Access-Control-Request-Method": "POST"}
        answer = await gateway.client.options(GENERATE, headers=preflight)
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        preflight["Access-Control-Request-Method"] = "GET"
        for wanted, status in (("x-api-key", 200), ("range", 200), ("if-range,range", 200), ("x-other", 400)):
            preflight["Access-Control-Request-Headers"] = wanted
            assert (await gateway.client.options(GENERATE, headers=preflight)).status_code == status, wanted
        answer = await gateway.client.get("/health", headers=origin)
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert {"content-length", "content-range", "etag", "retry-after"} <= set(exposed)
        answer = await gateway.client.get("/health", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in answer.headers
    async with running_gateway() as gateway:
        assert "access-control-allow-origin" not in (await gateway.client.get("/health", headers=origin)).headers


async def test_O2_metrics_name_the_route_not_the_path(gateway: GatewayUnderTest) -> None:
    """O2: no label that grows with the number of jobs."""
    await gateway.client.get(f"/api/v1/jobs/{JOB_ID}", headers=ALICE)
    text = (await gateway.client.get("/metrics")).text
    assert 'api_request_duration_seconds_count{method="GET",route="/api/v1/jobs/{job_id}",status="200"}' in text
    assert JOB_ID not in text


async def test_O8_document_and_page_are_served(gateway: GatewayUnderTest) -> None:
    """O8: OpenAPI with an ETag; a page that needs nothing from elsewhere."""
    document = await gateway.client.get("/openapi.json")
    assert document.json()["openapi"] == "3.1.0"
    again = await gateway.client.get("/openapi.json", headers={"If-None-Match": document.headers["etag"]})
    assert again.status_code == 304
    page = await gateway.client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "https://" not in page.text
    assert "script-src 'sha256-" in page.headers["content-security-policy"]


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
async def test_O2_metrics_are_not_for_the_outside(gateway: GatewayUnderTest, header: str) -> None:
    """O2, A5: what an ingress passes on finds no metrics."""
    assert (await gateway.client.get("/metrics")).status_code == 200
    assert (await gateway.client.get("/metrics", headers={header: "203.0.113.7"})).status_code == 404

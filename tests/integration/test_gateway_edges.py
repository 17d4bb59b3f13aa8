"""What surrounds a transcoded call: validators and caches, codings, deadlines, metadata, other origins (O6, O7)."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from gateway.app import Gateway
from gateway.settings import Settings
from tests.fakes.contracts import modules
from tests.fakes.echo_backend import EchoBackend
from tests.integration.gateway_harness import error_of, serving

PAGE = "https://app.example"
JSON = {"Content-Type": "application/json"}
LONG = "long " * 400
MAX_BODY_BYTES = 65536

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Edges:
    """A gateway of the test contract, and what stands behind it."""

    def __init__(self, client: httpx.AsyncClient, backend: EchoBackend) -> None:
        self.client, self.backend = client, backend
        self.get, self.post, self.head = client.get, client.post, client.head


@asynccontextmanager
async def edges_with(**overrides: Any) -> AsyncIterator[Edges]:
    """With settings of its own."""
    backend = EchoBackend()
    await backend.start()
    values: dict[str, Any] = {"environment": "test", "gateway_port": 0, "rate_limits": "off"} | overrides
    settings = Settings(**values, job_address=backend.address)
    try:
        async with serving(settings, Gateway(settings, [modules()["transcoding"]])) as client:
            yield Edges(client, backend)
    finally:
        await backend.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edges() -> AsyncIterator[Edges]:
    async with edges_with(cors_origins=PAGE, max_body_bytes=MAX_BODY_BYTES) as running:
        yield running


async def test_O7_a_get_has_a_strong_etag_and_is_the_callers_alone(edges: Edges) -> None:
    """O7, RFC 9110 section 8.8.3: the same for the same, another for another; a change is not kept at all."""
    first, again, other = [await edges.get(f"/v1/shown?text={text}") for text in ("a", "a", "b")]
    assert first.headers["etag"] == again.headers["etag"] != other.headers["etag"]
    assert first.headers["etag"].startswith('"')
    assert first.headers["cache-control"] == "private, no-cache"
    changed = await edges.post("/v1/shown", json={"text": "a"})
    assert "etag" not in changed.headers
    assert changed.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ("{etag}", 304),
        ("W/{etag}", 304),
        ('"other", {etag}', 304),
        ("*", 304),
        ('"other"', 200),
        ("{bare}", 200),
        ("", 200),
    ],
)
async def test_O7_a_copy_that_is_still_good_is_304(edges: Edges, condition: str, status: int) -> None:
    """O7, RFC 9110 section 13.1.2: compared weakly; HEAD says the same as GET."""
    etag = (await edges.get("/v1/shown?text=a")).headers["etag"]
    sent = {"If-None-Match": condition.format(etag=etag, bare=etag.strip('"'))}
    answers = [await ask("/v1/shown?text=a", headers=sent) for ask in (edges.get, edges.head)]
    assert [answer.status_code for answer in answers] == [status, status]
    for answer in answers:
        assert (answer.headers["etag"], answer.headers["cache-control"]) == (etag, "private, no-cache")
        assert "x-request-id" in answer.headers
        if status == 304:
            assert answer.content == b""
            assert "content-type" not in answer.headers


async def test_O7_a_coding_has_an_etag_of_its_own(edges: Edges) -> None:
    """O7: other bytes, another strong validator; the answers and their 304 vary by Accept-Encoding."""
    path = f"/v1/shown?text={LONG}"
    plain = await edges.get(path, headers={"Accept-Encoding": "gzip;q=0"})
    packed = await edges.get(path, headers={"Accept-Encoding": "br;q=1, gzip;q=0.5"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.json() == packed.json()
    assert plain.headers["etag"] != packed.headers["etag"]
    for answer, coding in ((plain, "identity"), (packed, "gzip")):
        assert answer.headers["vary"] == "accept-encoding, Origin"
        known = {"Accept-Encoding": coding, "If-None-Match": answer.headers["etag"]}
        kept = await edges.get(path, headers=known)
        assert (kept.status_code, kept.headers["vary"]) == (304, "accept-encoding, Origin")
        known["If-None-Match"] = (packed if answer is plain else plain).headers["etag"]
        assert (await edges.get(path, headers=known)).status_code == 200


async def test_O7_a_file_has_an_etag_and_is_packed_only_when_that_helps(edges: Edges) -> None:
    """O7: text is, and what is packed already is not."""
    answer = await edges.get(f"/v1/shown/file?text={LONG}", headers={"Accept-Encoding": "gzip"})
    assert (answer.headers["content-type"], answer.headers["content-encoding"]) == ("text/csv", "gzip")
    same = {"Accept-Encoding": "gzip", "If-None-Match": answer.headers["etag"]}
    assert (await edges.get(f"/v1/shown/file?text={LONG}", headers=same)).status_code == 304
    posted = await edges.post("/v1/shown/file", json={"text": LONG}, headers=same)
    assert (posted.status_code, posted.text) == (200, LONG), "RFC 9110 section 13.1.2: of a POST nobody has a copy"
    assert (posted.headers["cache-control"], posted.headers.get("etag")) == ("no-store", None)


@pytest.mark.parametrize("condition", ["If-Match", "If-Unmodified-Since"])
async def test_O6_a_change_under_a_condition_is_not_made(edges: Edges, condition: str) -> None:
    """O6: what cannot be checked is not taken for true (RFC 9110 section 13.1.1)."""
    answer = await edges.post("/v1/shown", json={}, headers={condition: '"x"'})
    assert (answer.status_code, error_of(answer)["error_code"]) == (412, "PRECONDITION_FAILED")


async def test_O7_a_get_under_a_condition_is_answered_only_when_it_holds(edges: Edges) -> None:
    """O7, RFC 9110 section 13.1.1: compared strongly, and before If-None-Match."""
    etag = (await edges.get("/v1/shown")).headers["etag"]
    for wanted, status in ((etag, 200), ("*", 200), (f'"x", {etag}', 200), ('"x"', 412), (f"W/{etag}", 412)):
        assert (await edges.get("/v1/shown", headers={"If-Match": wanted})).status_code == status, wanted
    both = await edges.get("/v1/shown", headers={"If-Match": '"x"', "If-None-Match": etag})
    assert (both.status_code, error_of(both)["error_code"]) == (412, "PRECONDITION_FAILED")


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        pytest.param("gzip", gzip.compress(b'{"text": "a"}'), 200, id="packed"),
        pytest.param("X-GZIP", gzip.compress(b'{"text": "a"}'), 200, id="its old name"),
        pytest.param("identity", b'{"text": "a"}', 200, id="as it is"),
        pytest.param("gzip", b'{"text": "a"}', 400, id="said to be packed"),
        pytest.param("gzip", gzip.compress(b'{"text": "a"}')[:-4], 400, id="cut off"),
        pytest.param("gzip", gzip.compress(b'{"text": "a"}') + gzip.compress(b" "), 400, id="two members"),
        pytest.param("gzip", gzip.compress(b" " * (MAX_BODY_BYTES + 1)), 413, id="a bomb"),
        pytest.param("gzip, gzip", gzip.compress(gzip.compress(b"{}")), 415, id="packed twice"),
        pytest.param("br", b"{}", 415, id="a coding nobody offered"),
    ],
)
async def test_O7_a_body_may_come_packed(edges: Edges, coding: str, body: bytes, status: int) -> None:
    """O7: within the bound of one that does not; 415 says what is understood (RFC 9110 section 12.5.3)."""
    answer = await edges.post("/v1/shown", content=body, headers={**JSON, "Content-Encoding": coding})
    assert answer.status_code == status
    if status == 200:
        assert answer.json()["text"] == "a"
    if status == 415:
        assert answer.headers["accept-encoding"] == "gzip, identity"


@pytest.mark.parametrize(("method", "hint"), [("POST", "accept-post"), ("PATCH", "accept-patch")])
async def test_O6_a_body_of_another_type_is_told_which(edges: Edges, method: str, hint: str) -> None:
    """O6: 415 with the field of the method (RFC 5789, LDP)."""
    path = "/v1/dishes" if method == "POST" else "/v1/dishes/soup"
    answer = await edges.client.request(method, path, content=b"a: b", headers={"Content-Type": "application/yaml"})
    assert (answer.status_code, answer.headers[hint]) == (415, "application/json")


async def test_O6_the_clients_deadline_goes_along(edges: Edges) -> None:
    """O6: to the service, and back as 504; the gateway's own stays the longest."""
    answer = await edges.get("/v1/waiting", headers={"Grpc-Timeout": "300m"})
    assert (answer.status_code, error_of(answer)["error_code"]) == (504, "DEADLINE_EXCEEDED")
    assert edges.backend.deadline_s is not None
    assert edges.backend.deadline_s <= 0.3
    async with edges_with(call_deadline_s=0.3) as short:
        assert (await short.get("/v1/waiting", headers={"Grpc-Timeout": "1H"})).status_code == 504
        assert (await short.get("/v1/waiting", headers={"Grpc-Timeout": "0n"})).status_code == 504


async def test_O6_who_leaves_is_not_worked_for(edges: Edges) -> None:
    """O6: the rpc is cancelled at the service."""
    edges.backend.waiting.clear()
    edges.backend.left.clear()
    call = asyncio.create_task(edges.get("/v1/waiting"))
    async with asyncio.timeout(10):
        await edges.backend.waiting.wait()
        call.cancel()
        await edges.backend.left.wait()


async def test_O6_metadata_go_by_a_list_both_ways(edges: Edges) -> None:
    """O6: what is not on it stays where it is; a request id may be brought, a trace goes through."""
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    sent = {"X-Request-ID": "order-0001", "traceparent": trace, "tracestate": "a=b", "Accept-Language": "de"}
    refused = {"Grpc-Metadata-Role": "admin", "x-client-address": "1.2.3.4", "grpc-tags-bin": "AAAA", "te": "trailers"}
    answer = await edges.get("/v1/shown/metadata", headers={**sent, **refused})
    got = edges.backend.metadata
    assert (got["x-request-id"], got["traceparent"], got["tracestate"]) == ("order-0001", trace, "a=b")
    assert got["x-client-address"] != "1.2.3.4"
    assert got["accept-language"] == "de"
    assert not {"grpc-metadata-role", "grpc-tags-bin", "cookie", "host"} & set(got)
    assert (answer.headers["x-request-id"], answer.headers["retry-after"]) == ("order-0001", "7")
    assert "x-internal-hint" not in answer.headers
    await edges.get("/v1/shown/metadata", headers=[(b"tracestate", b"\xfc")])
    assert "tracestate" not in edges.backend.metadata, "gRPC takes no such value"


@pytest.mark.parametrize("given", ["short", "x" * 129, "a b c d e f", "line\tbreak", "<script>alert", ""])
async def test_O6_a_request_id_that_could_do_harm_is_replaced(edges: Edges, given: str) -> None:
    """O6: the new one is in the answer, the metadata and the log."""
    with capture_logs() as logs:
        answer = await edges.get("/v1/shown/metadata", headers={"X-Request-ID": given})
    ids = {answer.headers["x-request-id"], edges.backend.metadata["x-request-id"]}
    ids |= {entry["request_id"] for entry in logs if entry["event"] == "request"}
    assert len(ids) == 1
    assert given not in ids


async def test_O7_what_is_allowed_is_said(edges: Edges) -> None:
    """O7, RFC 9110 section 9.3.7: OPTIONS without CORS, and 405."""
    allowed = "GET, HEAD, OPTIONS, POST"
    told = await edges.client.options("/v1/shown")
    assert (told.status_code, told.headers["allow"], told.content) == (204, allowed, b"")
    refused = await edges.client.put("/v1/shown", json={})
    assert (refused.status_code, refused.headers["allow"]) == (405, allowed)
    assert (await edges.client.options("/v1/nothing")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/shown", 200),
        ("GET", "/v1/shown/file?text=a", 200),
        ("GET", "/v1/nothing", 404),
        ("PUT", "/v1/shown", 405),
        ("OPTIONS", "/v1/shown", 204),
        ("GET", "/v1/failures/13", 500),
        ("GET", "/v1/failures/0", 500),
    ],
)
async def test_O7_every_answer_protects_and_is_readable_by_our_page(
    edges: Edges, method: str, path: str, status: int
) -> None:
    """O7: also what fails, and what nobody foresaw; to pages of the configured origin and no other."""
    for origin in (PAGE, "https://app.example.evil", "null", None):
        sent = {} if origin is None else {"Origin": origin}
        answer = await edges.client.request(method, path, headers=sent)
        assert answer.status_code == status
        assert answer.headers.get("access-control-allow-origin") == (PAGE if origin == PAGE else None)
        assert "origin" in answer.headers["vary"].lower().split(", ")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["referrer-policy"] == "no-referrer"
        if status >= 400:
            assert error_of(answer)["request_id"]
            assert answer.headers["cache-control"] == "no-store"


async def test_O7_a_preflight_is_answered_before_anybody_is_asked(edges: Edges) -> None:
    """O7: methods and fields by list, to be kept for a while and by origin; cookies only where there are sessions."""
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "grpc-timeout,content-encoding"}
    answer = await edges.client.options("/v1/whatever/x", headers={"Origin": PAGE, **asked})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, PAGE)
    assert answer.headers["access-control-max-age"] == "600"
    assert "origin" in answer.headers["vary"].lower()
    assert answer.headers["access-control-allow-credentials"] == "true"
    other = await edges.client.options("/v1/whatever/x", headers={"Origin": "https://evil.example", **asked})
    assert "access-control-allow-origin" not in other.headers
    async with edges_with(cors_origins=PAGE, session_cookies="off") as without:
        answer = await without.client.options("/v1/whatever/x", headers={"Origin": PAGE, **asked})
        assert "access-control-allow-credentials" not in answer.headers


async def test_O6_deep_nesting_is_a_422_never_a_crash(edges: Edges) -> None:
    """O6: recursive messages, Structs and Any, from what fits to what no parser takes."""
    for levels in (150, 250, 900):
        nested = b'{"parts":[' * levels + b"{}" + b"]}" * levels
        answer = await edges.post("/v1/shown", content=b'{"nested":%b}' % nested, headers=JSON)
        assert answer.status_code in (400, 422), levels
    kind = b'{"@type":"type.googleapis.com/google.protobuf.Any","value":'
    packed = kind * 90 + b"{}" + b"}" * 90
    answer = await edges.post("/v1/shown/parcel", content=b'{"content":%b}' % packed, headers=JSON)
    assert answer.status_code in (200, 422)
    fits = b'{"parts":[' * 40 + b"{}" + b"]}" * 40
    answer = await edges.post("/v1/shown", content=b'{"nested":%b}' % fits, headers=JSON)
    assert answer.status_code == 200
    assert orjson.loads(answer.content)["nested"]["parts"]

"""Bad input over the whole stack: a clear 4xx in the O6 form with the field's path, and nothing stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.local_stack import SAMPLE, LocalStack, Watch

GENERATE = "/api/v1/videos/generate"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def stranger(stack: LocalStack) -> Iterator[httpx.Client]:
    """A user who never had a job."""
    with stack.client(stack.api_key("mallory@t2m.example")) as client:
        yield client
        assert client.get("/api/v1/jobs").json()["jobs"] == [], "bad input left a job behind"


def violations(answer: httpx.Response) -> set[str]:
    """The fields that an answer complains about; checks its form on the way (O6)."""
    error = answer.json()["error"]
    assert set(error) >= {"message", "error_code", "details", "timestamp", "path", "request_id"}
    assert error["path"] == answer.request.url.path
    details = error["details"] or {}
    return {violation["field"] for violation in details.get("violations", [])}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"topic": None}, "topic"),
        ({"topic": ""}, "topic"),
        ({"topic": "x" * 501}, "topic"),
        ({"context": ""}, "context"),
        ({"context": "x" * 2001}, "context"),
        ({"topic": 7}, "topic"),
        ({"max_retries": 11}, "max_retries"),
        ({"max_retries": "many"}, "max_retries"),
        ({"quality": "gigantic"}, "quality"),
        ({"quality_levels": ["8k"]}, "quality_levels[0]"),
        ({"colour": "red"}, "colour"),
        ({"configuration": [1]}, "configuration"),
        ({"narration": "loudly"}, "narration"),
        ({"use_rag": True}, "use_rag"),
        ({"model": "nobody/nothing"}, "model"),
        ({"webhook_url": "ftp://example.com"}, "webhook_url"),
    ],
)
def test_V1_O6_a_bad_field_is_named(stranger: httpx.Client, change: dict[str, Any], field: str) -> None:
    """V1, O6: 422 VALIDATION_ERROR with the field's path."""
    answer = stranger.post(GENERATE, json={**SAMPLE, **change})
    assert answer.status_code == 422, answer.text
    assert field in violations(answer)
    assert answer.json()["error"]["error_code"] == "VALIDATION_ERROR"


def test_O6_several_bad_fields_are_all_named(stranger: httpx.Client) -> None:
    """O6: one round trip shows every mistake."""
    assert violations(stranger.post(GENERATE, json={"topic": "", "max_retries": 99})) >= {
        "topic",
        "context",
        "max_retries",
    }


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b'{"topic": ', JSON, 400),
        (b"[1, 2]", JSON, 422),
        (b"\xff\xfe", JSON, 400),
        (b"topic=x", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b'{"topic": "' + b"x" * 2_000_000 + b'"}', JSON, 413),
    ],
    ids=["cut", "not-an-object", "not-utf-8", "form", "too-large"],
)
def test_O6_a_bad_body(stranger: httpx.Client, content: bytes, headers: dict[str, str], status: int) -> None:
    """O6, O7: unreadable, of another type, or too large."""
    answer = stranger.post(GENERATE, content=content, headers=headers)
    assert answer.status_code == status, answer.text
    violations(answer)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/jobs/01890000-0000-7000-8000-000000000000", 404),
        ("/api/v1/jobs/not-an-id", 422),
        ("/api/v1/jobs?page_size=1000", 422),
        ("/api/v1/jobs?page_token=forged", 422),
        ("/api/v1/jobs?sort=desc", 422),
        ("/api/v1/nothing", 404),
        ("/api/v1/objects/forged-ticket", 401),
    ],
)
def test_O6_bad_reads(stranger: httpx.Client, path: str, status: int) -> None:
    """O6: unknown job, malformed id, bad page, unknown parameter, unknown route, forged ticket."""
    answer = stranger.get(path)
    assert answer.status_code == status, answer.text
    violations(answer)


def test_O6_a_wrong_verb_is_405(stranger: httpx.Client) -> None:
    """O6: with the verbs that would work in Allow (RFC 9110 §15.5.6)."""
    answer = stranger.put(GENERATE, json=SAMPLE)
    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": "t2m_nobody_secret"},
        {"X-API-Key": "garbage"},
        {"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."},
        {"Authorization": "Basic YTpi"},
    ],
    ids=["none", "unknown-key", "garbage-key", "alg-none", "basic"],
)
def test_A4_O6_a_bad_credential_is_401(stack: LocalStack, headers: dict[str, str]) -> None:
    """A4, O6: 401 with WWW-Authenticate (RFC 9110 §11.6.1)."""
    with stack.client() as client:
        answer = client.post(GENERATE, json=SAMPLE, headers=headers)
    assert answer.status_code == 401, answer.text
    assert "www-authenticate" in answer.headers
    violations(answer)


@pytest.mark.parametrize("position", ["soon", "-1", "1e3", "99999999"])
def test_J7_a_bad_position_is_a_clear_4xx(api: httpx.Client, finished: tuple[str, Watch], position: str) -> None:
    """J7: a malformed, negative or future Last-Event-ID."""
    answer = api.get(f"/api/v1/jobs/{finished[0]}/events", headers={"Last-Event-ID": position})
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["error"]["message"]


def test_V4_a_malformed_range_is_416(api: httpx.Client, finished: tuple[str, Watch]) -> None:
    """V4: the error form, not a silent whole file."""
    answer = api.get(f"/api/v1/videos/jobs/{finished[0]}/download", headers={"Range": "bytes=9-1"})
    assert answer.status_code == 416
    violations(answer)

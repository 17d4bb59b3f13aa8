"""Who uses the stack, and a job that has run on it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.local_stack import SAMPLE, LocalStack, Watch, watch


@pytest.fixture(scope="session")
def key(stack: LocalStack) -> str:
    """An API key of an ordinary user."""
    return stack.api_key("ada@t2m.example")


@pytest.fixture
def api(stack: LocalStack, key: str) -> Iterator[httpx.Client]:
    """An HTTP client of that user."""
    with stack.client(key) as client:
        yield client


@pytest.fixture(scope="session")
def finished(stack: LocalStack, key: str) -> tuple[str, Watch]:
    """A job that ran to its end once for every test that only reads: (job id, what a watcher saw)."""
    with stack.client(key) as client:
        # No other test has had these scenes drawn: it is about a job that did all of its work.
        context = SAMPLE["context"].replace("straight", "as straight as can be").replace("2 x + 1", "2 x + 3")
        job_id = client.post("/api/v1/videos/generate", json={**SAMPLE, "context": context}).json()["job_id"]
    seen = watch(lambda: stack.client(key), job_id)
    assert seen.ended == "completed", seen.events[-1]
    return job_id, seen

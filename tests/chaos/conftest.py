"""A stack of its own: these tests break it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.local_stack import LocalStack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Up and ready, two workers."""
    stack = LocalStack(tmp_path_factory.mktemp("chaos"), T2M_WORKER_CONCURRENCY="2")
    stack.up()
    try:
        yield stack
    finally:
        stack.down()


@pytest.fixture(scope="module")
def key(stack: LocalStack) -> str:
    """An API key of an ordinary user."""
    return stack.api_key("ada@t2m.example")

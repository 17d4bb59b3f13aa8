"""Fixtures that every test may use: real servers, started on first use (see ``stack.py``)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import structlog

from tests import stack

# Structlog's default draws every traceback with its local variables: seconds of CPU, and secrets in the output.
structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()])


@pytest.fixture
def postgres(request: pytest.FixtureRequest) -> Callable[[], str]:
    """A factory: each call creates an empty database and returns its URL ``postgresql+asyncpg://…``."""
    return lambda: stack.postgres_url(request.module.__name__.rpartition(".")[2])


@pytest.fixture(scope="session")
def redis_server() -> str:
    """The URL ``redis://…`` of the session's Redis, database 0; shared, so tests use keys of their own."""
    return stack.redis_url()

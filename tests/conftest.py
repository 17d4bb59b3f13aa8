"""Fixtures that every test may use: real servers, started on first use (see ``stack.py``)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
import structlog

from tests import stack as servers
from tests.e2e.local_stack import LocalStack

# At its full cost (see tests/bench/auth), a password takes a tenth of a second of every core, thousands of times.
os.environ.update(T2M_PASSWORD_MEMORY_KIB="64", T2M_PASSWORD_PASSES="1", T2M_PASSWORD_LANES="1")

# Structlog's default draws every traceback with its local variables: seconds of CPU, and secrets in the output.
structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()])


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are named by their argument unless they read as text: what gzip packs holds the time, and pytest's workers
    must collect the same names."""
    readable = not isinstance(val, bytes) or (len(val) <= 40 and val.isascii() and val.decode().isprintable())
    return None if readable else argname


@pytest.fixture
def postgres(request: pytest.FixtureRequest) -> Callable[[], str]:
    """A factory: each call creates an empty database and returns its URL ``postgresql+asyncpg://…``."""
    return lambda: servers.postgres_url(request.module.__name__.rpartition(".")[2])


@pytest.fixture(scope="session")
def redis_server() -> str:
    """The URL ``redis://…`` of the session's Redis, database 0; shared, so tests use keys of their own."""
    return servers.redis_url()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """The whole embedded stack, up and ready; one for all tests that only use it."""
    # Receivers of webhooks listen on loopback, which is refused otherwise.
    local = LocalStack(tmp_path_factory.mktemp("stack"), T2M_WEBHOOK_ALLOWED_NETWORKS='["127.0.0.0/8"]')
    local.up()
    try:
        yield local
    finally:
        local.down()

"""Real Postgres and Redis for tests: one of each per pytest session, started on first use.

Fixtures for tests are in ``conftest.py``; this module is for session-wide code such as a stack of processes.
"""

from __future__ import annotations

import atexit
import itertools
import re
import shutil
import socket
import tempfile
from functools import cache
from pathlib import Path

from deploy.local.postgres import EmbeddedPostgres
from deploy.local.redis import EmbeddedRedis
from services.runtime.db import run_migrations

CHECKOUT = Path(__file__).resolve().parents[1]
_ASYNC_SCHEME = "postgresql+asyncpg://"
_numbers = itertools.count(1)


@cache
def data_folder() -> Path:
    """The session's own folder; removed when Python ends."""
    folder = Path(tempfile.mkdtemp(prefix="t2m-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def embedded_postgres() -> EmbeddedPostgres:
    """The session's Postgres, started; not durable, because a test cluster never outlives a power cut."""
    postgres = EmbeddedPostgres(data_folder() / "postgres", durable=False)
    postgres.start()
    atexit.register(postgres.kill)
    return postgres


@cache
def embedded_redis() -> EmbeddedRedis:
    """The session's Redis, started; with its append-only file, so tests may restart it."""
    redis = EmbeddedRedis(data_folder() / "redis")
    redis.start()
    atexit.register(redis.kill)
    return redis


def postgres_url(name: str = "test") -> str:
    """The URL (``postgresql+asyncpg://``) of a fresh empty database; ``name`` only makes it recognisable."""
    readable = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:40]
    url = embedded_postgres().create_database(f"t_{readable}_{next(_numbers)}")
    return url.replace("postgresql://", _ASYNC_SCHEME, 1)


def redis_url(database: int = 0) -> str:
    """The URL of the session's Redis, database 0 to 15.

    Shared by all tests: use unique keys, do not FLUSHALL.
    """
    return embedded_redis().url.removesuffix("/0") + f"/{database}"


async def migrate(service: str, url: str) -> None:
    """Bring the database at `url` to the newest revision of `services/<service>`."""
    await run_migrations(CHECKOUT / "services" / service, url)


def free_port() -> int:
    """A port of the loopback address that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""The embedded Postgres and Redis.

Real servers that keep their data and address over stops, crashes and leftovers.
"""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis as redis_client

from deploy.local.errors import ProcessFailedError, StackError
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.redis import EmbeddedRedis

ROOT = Path(__file__).parents[2]
DEADLINE = 20.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    postgres = EmbeddedPostgres(tmp_path / "data" / "postgres", durable=False)
    yield postgres
    postgres.kill()


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    redis = EmbeddedRedis(tmp_path / "data" / "redis")
    yield redis
    redis.kill()


async def _query(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""), timeout=10)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_postgres_survives_kill_with_its_data_and_address(server: EmbeddedPostgres) -> None:
    url = server.start()
    database = server.create_database("t2m_job")
    await _query(database, "CREATE TABLE note AS SELECT 'kept' AS text")
    server.kill()
    assert server.pid is None
    assert server.start() == url
    assert await _query(database, "SELECT text FROM note") == "kept"
    server.stop()


async def test_creating_a_database_twice_is_one_database(server: EmbeddedPostgres) -> None:
    server.start()
    assert server.create_database("t2m_auth") == server.create_database("t2m_auth")
    with pytest.raises(ValueError, match="not a database name"):
        server.create_database('x"; DROP DATABASE postgres; --')


async def test_postgres_asks_for_its_password(server: EmbeddedPostgres) -> None:
    server.start()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(host="127.0.0.1", port=server.port, user="t2m", password="t2m", database="postgres")
    for name in ("secret.json", "ports.json"):
        assert stat.S_IMODE((server.data_dir / name).stat().st_mode) == 0o600


async def test_postgres_starts_over_the_pid_file_of_a_stranger(server: EmbeddedPostgres) -> None:
    server.start()
    server.kill()
    pid_file = server.data_dir / "cluster" / "postmaster.pid"
    lines = pid_file.read_text(encoding="utf-8").split("\n")
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]), encoding="utf-8")
    server.start()
    assert await _query(server.url, "SELECT 1") == 1


async def test_postgres_under_a_private_folder(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    postgres = EmbeddedPostgres(private / ("long-" * 20) / "postgres", durable=False)
    try:
        assert await _query(postgres.start(), "SELECT 1") == 1
    finally:
        postgres.kill()


def test_a_cluster_of_another_major_version_is_named(server: EmbeddedPostgres) -> None:
    server.start()
    server.stop()
    (server.data_dir / "cluster" / "PG_VERSION").write_text("9\n", encoding="ascii")
    with pytest.raises(StackError, match="made by Postgres 9"):
        server.start()


def test_a_start_that_fails_shows_the_log(server: EmbeddedPostgres) -> None:
    server.start()
    server.stop()
    (server.data_dir / "cluster" / "postgresql.conf").write_text("no_such_setting = 1\n", encoding="ascii")
    with pytest.raises(ProcessFailedError, match="no_such_setting"):
        server.start()


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGKILL])
def test_servers_end_with_their_starter_and_start_again(tmp_path: Path, signal_number: signal.Signals) -> None:
    """A crash of the supervisor leaves a data folder that the next start recovers."""
    script = (
        "import sys, pathlib\n"
        "from deploy.local.postgres import EmbeddedPostgres\nfrom deploy.local.redis import EmbeddedRedis\n"
        "data = pathlib.Path(sys.argv[1])\n"
        "p, r = EmbeddedPostgres(data / 'postgres', durable=False), EmbeddedRedis(data / 'redis')\n"
        "p.start(); r.start(); print(p.pid, r.pid, flush=True); sys.stdin.read()\n"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdout is not None
    children = [psutil.Process(int(pid)) for pid in starter.stdout.readline().split()]
    assert len(children) == 2
    starter.send_signal(signal_number)
    starter.communicate(timeout=DEADLINE)
    again = EmbeddedPostgres(tmp_path / "postgres", durable=False), EmbeddedRedis(tmp_path / "redis")
    try:
        for part in again:
            part.start()
        assert not any(child.is_running() for child in psutil.wait_procs(children, timeout=DEADLINE)[1])
    finally:
        for part in again:
            part.kill()


def test_redis_keeps_its_queue_over_a_restart(queue: EmbeddedRedis) -> None:
    url = queue.start()
    client = redis_client.Redis.from_url(url)
    client.rpush("queue", "one", "two")
    client.close()
    queue.stop()
    assert queue.start() == url
    assert redis_client.Redis.from_url(url).lrange("queue", 0, -1) == [b"one", b"two"]


def test_redis_asks_for_its_password(queue: EmbeddedRedis) -> None:
    queue.start()
    with pytest.raises(redis_client.AuthenticationError):
        redis_client.Redis(host="127.0.0.1", port=queue.port).ping()


async def test_the_fixtures_give_fresh_databases(postgres: Callable[[], str], redis_server: str) -> None:
    first, second = postgres(), postgres()
    assert first != second
    assert first.startswith("postgresql+asyncpg://")
    tables, _ = await asyncio.gather(
        _query(first, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"),
        _query(second, "SELECT 1"),
    )
    assert tables == 0
    assert redis_client.Redis.from_url(redis_server).ping()

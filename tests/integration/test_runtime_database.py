"""Outbox, migrations and the engine on a real Postgres: at least once, side by side, and through a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import sqlalchemy as sa
from google.rpc import error_details_pb2
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.local.postgres import EmbeddedPostgres
from services.runtime import db
from services.runtime.background import end_tasks
from services.runtime.errors import ErrorTable, is_dependency_away, status_from_exception
from services.runtime.outbox import Outbox, outbox_table, put
from services.runtime.wake import PgListener

METADATA = db.metadata()
TABLE = outbox_table(METADATA)


@pytest.fixture
async def engine(postgres: Callable[[], str]) -> AsyncIterator[AsyncEngine]:
    engine = db.create_engine(postgres())
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    yield engine
    await engine.dispose()


async def fill(engine: AsyncEngine, *topics: str) -> None:
    async with engine.begin() as connection:
        for topic in topics:
            await put(connection, TABLE, topic, {"n": 1}, notify_channel="probe_outbox")


async def left(engine: AsyncEngine) -> list[str]:
    async with engine.connect() as connection:
        return list(await connection.scalars(sa.select(TABLE.c.topic).order_by(TABLE.c.id)))


class Publisher:
    """Keeps what was published; topics in `broken` raise what they say."""

    def __init__(self) -> None:
        self.published: list[str] = []
        self.broken: dict[str, Exception] = {}

    async def __call__(self, row: sa.RowMapping) -> None:
        if row["topic"] in self.broken:
            raise self.broken[row["topic"]]
        assert row["payload"] == {"n": 1}
        self.published.append(row["topic"])


async def test_rows_are_published_in_order_and_deleted(engine: AsyncEngine) -> None:
    publish = Publisher()
    outbox = Outbox(engine, TABLE, publish, batch=2)
    await fill(engine, "a", "b", "c")
    assert await outbox.drain_once()
    assert not await outbox.drain_once()
    assert publish.published == ["a", "b", "c"]
    assert await left(engine) == []


async def test_nothing_is_published_of_a_transaction_that_failed(engine: AsyncEngine) -> None:
    publish = Publisher()

    async def fail() -> None:
        async with engine.begin() as connection:
            await put(connection, TABLE, "a", {"n": 1})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert not await Outbox(engine, TABLE, publish).drain_once()
    assert publish.published == []


async def test_a_bad_row_holds_nobody_up(engine: AsyncEngine) -> None:
    publish = Publisher()
    publish.broken = {"bad": ValueError("cannot be published")}
    await fill(engine, "a", "bad", "b")
    await Outbox(engine, TABLE, publish).drain_once()
    assert publish.published == ["a", "b"]
    assert await left(engine) == ["bad"]


async def test_a_lost_broker_keeps_the_rest_in_order(engine: AsyncEngine) -> None:
    publish = Publisher()
    publish.broken = {"b": ConnectionRefusedError()}
    await fill(engine, "a", "b", "c")
    outbox = Outbox(engine, TABLE, publish)
    with pytest.raises(ConnectionRefusedError):
        await outbox.drain_once()
    assert await left(engine) == ["b", "c"]
    publish.broken = {}
    await outbox.drain_once()
    assert publish.published == ["a", "b", "c"]


async def test_a_crash_after_publishing_publishes_again(engine: AsyncEngine) -> None:
    publish = Publisher()
    publish.broken = {"crash": asyncio.CancelledError()}  # type: ignore[dict-item]
    await fill(engine, "a", "crash")
    outbox = Outbox(engine, TABLE, publish)
    with pytest.raises(asyncio.CancelledError):
        await outbox.drain_once()
    publish.broken = {}
    await outbox.drain_once()
    assert publish.published == ["a", "a", "crash"]


async def test_two_drains_share_the_rows(engine: AsyncEngine) -> None:
    held = asyncio.Event()
    release = asyncio.Event()

    async def slow(row: sa.RowMapping) -> None:
        held.set()
        await release.wait()

    await fill(engine, *(f"t{number}" for number in range(4)))
    first = asyncio.create_task(Outbox(engine, TABLE, slow, batch=2).drain_once())
    publish = Publisher()
    async with asyncio.timeout(10):
        await held.wait()
        await Outbox(engine, TABLE, publish, batch=2).drain_once()
        release.set()
        await first
    assert publish.published == ["t2", "t3"]
    assert await left(engine) == []


async def test_a_notification_wakes_the_drain(engine: AsyncEngine) -> None:
    done = asyncio.Event()

    async def publish(row: sa.RowMapping) -> None:
        done.set()

    outbox = Outbox(engine, TABLE, publish, sweep_s=3600)
    url = engine.url.render_as_string(hide_password=False)
    listening = asyncio.Event()

    def on_notify() -> None:
        listening.set()
        outbox.wake()

    tasks = [
        asyncio.create_task(outbox.run()),
        asyncio.create_task(PgListener(url, {"probe_outbox": on_notify}).run()),
    ]
    async with asyncio.timeout(10):
        await listening.wait()
        await fill(engine, "a")
        await done.wait()
    await end_tasks(tasks)


ENV = "from services.runtime.db import run_env\n\nrun_env()\n"
REVISION = '''
"""One table, slowly."""
import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table("thing", sa.Column("id", sa.Integer, primary_key=True))
    op.execute("SELECT pg_sleep(0.2)")
    op.execute("INSERT INTO thing VALUES (1)")
'''


async def test_migrations_started_side_by_side_run_once(postgres: Callable[[], str], tmp_path: Path) -> None:
    folder = tmp_path / "migrations" / "versions"
    folder.mkdir(parents=True)
    (folder.parent / "env.py").write_text(ENV)
    (folder / "0001_thing.py").write_text(REVISION)
    url = postgres()
    await asyncio.gather(*(db.run_migrations(tmp_path, url) for _ in range(4)))
    await db.run_migrations(tmp_path, url)
    engine = db.create_engine(url)
    async with engine.connect() as connection:
        assert await connection.scalar(sa.text("SELECT count(*) FROM thing")) == 1
        assert await connection.scalar(sa.text("SELECT version_num FROM alembic_version")) == "0001"
    await engine.dispose()


async def test_constraint_names_are_predictable() -> None:
    table = sa.Table("t", db.metadata(), sa.Column("a", sa.Integer, primary_key=True), sa.Column("b", sa.Integer))
    index = sa.Index(None, table.c.b)
    assert (table.primary_key.name, index.name) == ("pk_t", "ix_t_b")


async def test_a_statement_that_takes_too_long_is_cancelled(postgres: Callable[[], str]) -> None:
    engine = db.create_engine(postgres(), statement_timeout_s=0.1)
    with pytest.raises(sa.exc.DBAPIError, match="statement timeout"):
        async with engine.connect() as connection:
            await connection.execute(sa.text("SELECT pg_sleep(5)"))
    await engine.dispose()


async def test_O6_who_loses_a_deadlock_is_told_to_try_again(postgres: Callable[[], str]) -> None:
    """O6: ABORTED with CONCURRENT_UPDATE, no fault of the server."""
    engine = db.create_engine(postgres())
    async with engine.begin() as connection:
        await connection.execute(sa.text("CREATE TABLE things AS SELECT generate_series(1, 2) AS n"))
    lock = sa.text("SELECT n FROM things WHERE n = :n FOR UPDATE")
    both = asyncio.Barrier(2)

    async def cross(first: int, second: int) -> None:
        async with engine.begin() as connection:
            await connection.execute(lock, {"n": first})
            await both.wait()
            await connection.execute(lock, {"n": second})

    results = await asyncio.gather(cross(1, 2), cross(2, 1), return_exceptions=True)
    await engine.dispose()
    (lost,) = [result for result in results if isinstance(result, BaseException)]
    status = status_from_exception(lost, ErrorTable())
    assert grpc.StatusCode.ABORTED.value[0] == status.code
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.reason == "CONCURRENT_UPDATE"


async def test_the_engine_survives_a_restart_of_postgres(tmp_path: Path) -> None:
    """While Postgres is away the error says so; after its return the first statement succeeds."""
    server = EmbeddedPostgres(tmp_path / "postgres", durable=False)
    url = await asyncio.to_thread(server.start)
    engine = db.create_engine(url)

    async def one(*_: Any) -> int:
        async with engine.connect() as connection:
            return int(await connection.scalar(sa.text("SELECT 1")) or 0)

    try:
        assert await asyncio.gather(*(one() for _ in range(4))) == [1] * 4
        await asyncio.to_thread(server.stop)
        with pytest.raises(Exception) as caught:
            await one()
        assert is_dependency_away(caught.value)
        await asyncio.to_thread(server.start)
        assert await asyncio.gather(*(one() for _ in range(4))) == [1] * 4
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
        assert await one() == 1
    finally:
        await engine.dispose()
        await asyncio.to_thread(server.kill)


async def test_a_lost_redis_is_recognised() -> None:
    redis = Redis.from_url("redis://127.0.0.1:1/0", socket_connect_timeout=1)
    with pytest.raises(Exception) as caught:
        await redis.ping()
    assert is_dependency_away(caught.value)
    await redis.aclose()

"""Postgres: the engine, and migrations that are safe to start in parallel."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zlib import crc32

import orjson
from sqlalchemy import Connection, MetaData, event, make_url, pool, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def metadata() -> MetaData:
    """Table metadata with predictable constraint names, which migrations need."""
    return MetaData(naming_convention=NAMING)


def driver_url(url: str) -> str:
    """The same database by the asyncpg driver, whatever driver (or none) the URL names."""
    return make_url(url).set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)


def asyncpg_dsn(url: str) -> str:
    """The URL in the form that asyncpg itself takes, for LISTEN and other single connections."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def create_engine(
    url: str,
    *,
    application_name: str = "t2m",
    pool_size: int = 10,
    max_overflow: int = 10,
    statement_timeout_s: float = 15.0,
    **options: Any,
) -> AsyncEngine:
    """An engine over asyncpg.

    A statement that runs longer than the timeout is cancelled by Postgres. No ping is sent before use: a
    connection whose socket Postgres has closed is noticed locally and replaced, so that the first call after
    a restart succeeds.
    """
    engine = create_async_engine(
        driver_url(url),
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=5.0,
        pool_use_lifo=True,
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
        connect_args={
            "timeout": 5.0,
            "command_timeout": statement_timeout_s + 5.0,
            "server_settings": {
                "application_name": application_name,
                "statement_timeout": str(int(statement_timeout_s * 1000)),
                "idle_in_transaction_session_timeout": "60000",
            },
        },
        **options,
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def _refuse_closed(connection: Any, _record: Any, _proxy: Any) -> None:
    if connection.driver_connection.is_closed():
        raise DisconnectionError("Postgres closed the connection")


async def run_migrations(package_dir: Path, url: str) -> None:
    """Bring the database to the newest revision of `package_dir`/migrations.

    An advisory lock makes processes that start together take turns; all but the first find nothing to do. The
    folder's env.py is one line: `services.runtime.db.run_env()`.
    """
    from alembic import command  # a tenth of every service's start, which only this command should pay
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(package_dir / "migrations").replace("%", "%%"))
    engine = create_async_engine(driver_url(url), poolclass=pool.NullPool)
    key = crc32(b"t2m migrations")
    try:
        async with engine.connect() as lock, engine.connect() as connection:
            await lock.execution_options(isolation_level="AUTOCOMMIT")
            await lock.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})

            def upgrade(sync_connection: Connection) -> None:
                config.attributes["connection"] = sync_connection
                command.upgrade(config, "head")

            await connection.run_sync(upgrade)
            await connection.commit()
    finally:
        await engine.dispose()  # closes the session that holds the lock


def run_env(target: MetaData | None = None) -> None:
    """What an Alembic env.py does here: migrate on the connection that `run_migrations` opened, in one
    transaction.
    """
    from alembic import context

    connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=target, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()

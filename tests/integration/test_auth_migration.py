"""Migrations of auth on databases with people in them (rows A1, A2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.auth.adapters.postgres import people_tables
from services.auth.adapters.postgres.tables import META
from services.auth.domain.errors import AuthError
from services.runtime.db import create_engine
from services.runtime.ids import new_id
from tests import stack
from tests.fakes.auth import START, FakeSecrets
from tests.integration.people_harness import People, emptied


@pytest.fixture
async def engine() -> AsyncIterator[AsyncEngine]:
    """On empty tables."""
    made = await emptied()
    yield made
    await made.dispose()


class TestMigration:
    """0003 on a database with people in it."""

    async def test_accounts_count_as_verified_and_sessions_go_on(self, postgres: Callable[[], str]) -> None:
        engine = create_engine(await asyncio.to_thread(postgres))
        await migrated(engine, "0002")
        secrets, user_id, session_id = FakeSecrets(), new_id(), new_id()
        chain = [secrets.digest("refresh", name) for name in ("first", "second", "third")]
        async with engine.begin() as connection:
            values = {"user": user_id, "session": session_id, "now": START, "later": START + timedelta(days=7)}
            await connection.execute(
                text(
                    "INSERT INTO users (user_id, email, display_name, role, password_hash, created_at, updated_at) "
                    "VALUES (:user, 'ada@example.com', '', 'user', '1:x', :now, :now)"
                ),
                values,
            )
            insert_session = "INSERT INTO sessions (session_id, user_id, created_at) VALUES (:session, :user, :now)"
            await connection.execute(text(insert_session), values)
            for number, digest in enumerate(chain):
                await connection.execute(
                    text("INSERT INTO refresh_tokens VALUES (:digest, :session, :issued, :later, :used)"),
                    {
                        **values,
                        "digest": digest,
                        "issued": START + timedelta(hours=number),
                        "used": START + timedelta(hours=number + 1) if number < 2 else None,
                    },
                )
        await migrated(engine, "head")
        people = People(engine)
        async with people.units() as unit:
            found = await unit.users.get(user_id)
            assert found is not None
            assert found.verified_at == START
            generations = [row[1].generation for digest in chain if (row := await unit.sessions.lock_by_token(digest))]
        assert generations == [0, 1, 2]
        people.clock.advance(timedelta(hours=3))
        await people.sessions.refresh("third")
        with pytest.raises(AuthError):
            await people.sessions.refresh("second")
        await migrated(engine, "0002", down=True)
        await engine.dispose()

    async def test_the_migration_makes_the_tables_that_the_code_uses(self, engine: AsyncEngine) -> None:
        mine = {"users", "sessions", "refresh_tokens", "user_preferences", "registrations", "email_tokens", "mails"}
        mine |= {"login_attempts", "known_clients"}

        def compare(sync: Connection) -> list[Any]:
            options = {
                "compare_type": True,
                "include_object": lambda thing, name, kind, *_: (
                    kind in {"table", "column"} and (name if kind == "table" else thing.table.name) in mine
                ),
            }
            return list(compare_metadata(MigrationContext.configure(sync, opts=options), META))

        async with engine.connect() as connection:
            difference = await connection.run_sync(compare)
        assert people_tables.MAILS.metadata is META
        assert mine <= META.tables.keys()
        assert [item for item in difference if _of_columns(item)] == []


def _of_columns(item: Any) -> bool:
    """Whether a difference is about tables and columns; indexes are the migration's alone."""
    first = item[0] if isinstance(item, list) else item
    return not str(first[0]).endswith(("index", "constraint", "fk"))


async def migrated(engine: AsyncEngine, revision: str, *, down: bool = False) -> None:
    """Bring auth's database to a revision."""
    config = Config()
    config.set_main_option("script_location", str(stack.CHECKOUT / "services" / "auth" / "migrations"))

    def run(sync: Connection) -> None:
        config.attributes["connection"] = sync
        (command.downgrade if down else command.upgrade)(config, revision)

    async with engine.connect() as connection:
        await connection.run_sync(run)
        await connection.commit()

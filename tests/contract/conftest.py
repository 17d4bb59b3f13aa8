"""What several suites of the tier run on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from functools import cache

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.auth.adapters.postgres.unit_of_work import postgres_units
from services.auth.application.ports import UnitsOfWork
from services.runtime.db import create_engine
from tests import stack
from tests.fakes.auth import FakeUnits

_AUTH_TABLES = "users, registrations, mails, login_attempts, known_clients, forgotten_identities, revocations"


@cache
def _auth_database() -> str:
    """One migrated database for all of them."""
    url = stack.postgres_url("auth_units")
    asyncio.run(stack.migrate("auth", url))
    return url


@pytest.fixture(params=["fake", "postgres"])
async def units(request: pytest.FixtureRequest) -> AsyncGenerator[UnitsOfWork]:
    """Empty repositories of auth, of both makes."""
    if request.param == "fake":
        yield FakeUnits()
        return
    engine = create_engine(await asyncio.to_thread(_auth_database))
    async with engine.begin() as connection:
        await connection.execute(text(f"TRUNCATE {_AUTH_TABLES} CASCADE"))
    yield postgres_units(engine)
    await engine.dispose()


@pytest.fixture
async def engine(postgres: Callable[[], str]) -> AsyncGenerator[AsyncEngine]:
    """An empty database of job."""
    url = postgres()
    await stack.migrate("job", url)
    engine = create_engine(url)
    yield engine
    await engine.dispose()

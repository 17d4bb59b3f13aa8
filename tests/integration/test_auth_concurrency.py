"""Two transactions on the same rows, interleaved on purpose: the second meets the first before its commit (A2, A5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.auth.adapters.postgres.unit_of_work import postgres_units
from services.auth.application.accounts import Accounts
from services.auth.application.passwords import Passwords
from services.auth.domain.errors import LastAdmin
from services.auth.domain.session import Client, RefreshToken, Session, Trade
from services.auth.domain.user import Role, User
from services.runtime.db import create_engine
from services.runtime.ids import new_id
from tests import stack
from tests.fakes.auth import START, CountingIds, FakeClock, FakeHasher
from tests.fakes.auth_people import FakePolicy

DEADLINE_S = 30
WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


@pytest.fixture
async def engine(postgres: Callable[[], str]) -> AsyncIterator[AsyncEngine]:
    """On an empty, migrated database."""
    url = await asyncio.to_thread(postgres)
    await stack.migrate("auth", url)
    made = create_engine(url)
    yield made
    await made.dispose()


async def stuck_or_done(engine: AsyncEngine, task: asyncio.Task[object]) -> None:
    """Return once the task has ended or waits for a row lock: it has then read all that it reads before."""
    async with asyncio.timeout(DEADLINE_S), engine.connect() as watcher:
        await watcher.execution_options(isolation_level="AUTOCOMMIT")
        while not task.done() and not await watcher.scalar(WAITING):
            pass  # the query itself lets the task run


async def stored(engine: AsyncEngine, email: str, role: Role, password_hash: str | None = None) -> User:
    """A committed account."""
    user = User(new_id(), email, "", role, password_hash, START)
    async with postgres_units(engine)() as unit:
        assert await unit.users.add(user)
        await unit.commit()
    return user


async def opened(engine: AsyncEngine, user: User) -> Session:
    """A committed session of the user, whose first token has the digest `digest`."""
    session = Session(new_id(), user.user_id, START)
    async with postgres_units(engine)() as unit:
        token = RefreshToken(b"digest", session.session_id, START, START + timedelta(days=7))
        await unit.sessions.add(session, token)
        await unit.commit()
    return session


async def test_a_second_refresh_waits_for_the_first_and_sees_what_it_left(engine: AsyncEngine) -> None:
    units = postgres_units(engine)
    session = await opened(engine, await stored(engine, "ada@example.com", Role.USER))

    async def trade() -> Trade:
        async with units() as unit:
            found = await unit.sessions.lock_by_token(b"digest")
            assert found is not None
            return found[0].trade(found[1], START, timedelta(seconds=-1))

    async with units() as first:
        found = await first.sessions.lock_by_token(b"digest")
        assert found is not None
        assert found[0] == session
        second = asyncio.create_task(trade())
        await stuck_or_done(engine, second)
        after = session.traded(Trade.NEXT, Client(), START)
        issued = RefreshToken(b"next", session.session_id, START, START + timedelta(days=7), generation=1)
        await first.sessions.trade(after, found[1], issued)
        await first.commit()
    assert await asyncio.wait_for(second, DEADLINE_S) is Trade.REUSED


async def test_a_token_can_be_used_when_the_first_use_was_undone(engine: AsyncEngine) -> None:
    units = postgres_units(engine)
    session = await opened(engine, await stored(engine, "ada@example.com", Role.USER))
    async with units() as lost:  # the process dies before its commit
        found = await lost.sessions.lock_by_token(b"digest")
        assert found is not None
        issued = RefreshToken(b"next", session.session_id, START, START + timedelta(days=7), generation=1)
        await lost.sessions.trade(session.traded(Trade.NEXT, Client(), START), found[1], issued)
    async with units() as retry:
        assert await retry.sessions.lock_by_token(b"digest") == found


async def test_a_login_with_the_old_password_does_not_survive_its_change(engine: AsyncEngine) -> None:
    units = postgres_units(engine)
    ada = await stored(engine, "ada@example.com", Role.USER, "old")

    async def change() -> list[str]:
        async with units() as unit:
            assert await unit.users.set_password(ada.user_id, "new", START)
            closed = await unit.sessions.revoke_all(ada.user_id, START)
            await unit.commit()
        return closed

    async with units() as login:
        assert await login.users.holds_password(ada.user_id, "old")
        changing = asyncio.create_task(change())
        await stuck_or_done(engine, changing)
        session = Session(new_id(), ada.user_id, START)
        token = RefreshToken(b"digest", session.session_id, START, START + timedelta(days=7))
        await login.sessions.add(session, token)
        await login.commit()
    assert await asyncio.wait_for(changing, DEADLINE_S) == [session.session_id]
    async with units() as late:
        assert not await late.users.holds_password(ada.user_id, "old")


async def test_two_admins_who_demote_each_other_at_once_leave_one(engine: AsyncEngine) -> None:
    units = postgres_units(engine)
    ada = await stored(engine, "ada@example.com", Role.ADMIN)
    bob = await stored(engine, "bob@example.com", Role.ADMIN)
    accounts = Accounts(units, Passwords(FakePolicy(), FakeHasher()), FakeClock(), CountingIds())
    async with units() as first:
        assert await first.users.lock_admins() == {ada.user_id, bob.user_id}
        await first.users.set_role(ada.user_id, Role.USER, START)
        second = asyncio.create_task(accounts.change_role(bob.user_id, Role.USER))
        await stuck_or_done(engine, second)
        await first.commit()
    with pytest.raises(LastAdmin):
        await asyncio.wait_for(second, DEADLINE_S)


async def test_admins_can_log_in_while_a_role_is_changed(engine: AsyncEngine) -> None:
    units = postgres_units(engine)
    ada = await stored(engine, "ada@example.com", Role.ADMIN)
    async with units() as changing:
        await changing.users.lock_admins()
        await asyncio.wait_for(opened(engine, ada), DEADLINE_S)

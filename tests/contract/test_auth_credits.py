"""Credits on the fake and on Postgres: never twice, never lost, and the ledger explains every balance (A6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.auth.adapters.postgres.credits import PostgresCredits
from services.auth.adapters.postgres.ledger import PostgresLedger
from services.auth.adapters.postgres.tables import USERS
from services.auth.application.credits import Credits
from services.auth.domain.credits import ReservationState
from services.auth.domain.errors import (
    CreditsExhausted,
    GrantConflict,
    ReservationConflict,
    ReservationEnded,
    ReservationNotFound,
    UserNotFound,
)
from services.auth.domain.plans import Plan, Plans
from services.runtime.db import create_engine
from tests import stack
from tests.fakes.auth import START, FakeClock
from tests.fakes.auth_credits import FakeCreditStore

PLANS = Plans(Plan("trial", metered=True, signup_credits=20))


@dataclass
class Bench:
    """The use cases over the store under test; `ada` has plan trial, `bob` the default one."""

    credits: Credits
    clock: FakeClock
    ada: str
    bob: str

    async def balance(self, user_id: str) -> tuple[int, int, int]:
        """Available, reserved, spent."""
        balance = await self.credits.balance(user_id)
        return (balance.available, balance.reserved, balance.spent)


@pytest.fixture
async def engine(postgres: Callable[[], str]) -> AsyncGenerator[AsyncEngine]:
    url = postgres()
    await stack.migrate("auth", url)
    engine = create_engine(url)
    yield engine
    assert await PostgresLedger(engine).faults() == []
    await engine.dispose()


@pytest.fixture(params=["fake", "postgres"])
async def bench(request: pytest.FixtureRequest, engine: AsyncEngine) -> Bench:
    clock, plans = FakeClock(), {str(uuid4()): "trial", str(uuid4()): "free"}
    ada, bob = plans
    if request.param == "fake":
        return Bench(Credits(FakeCreditStore(plans), PLANS, clock), clock, ada, bob)
    async with engine.begin() as connection:
        common = {"display_name": "", "role": "user", "created_at": START, "updated_at": START}
        rows = [{"user_id": user, "email": f"{plan}@a.example", "plan": plan, **common} for user, plan in plans.items()]
        await connection.execute(insert(USERS), rows)
    return Bench(Credits(PostgresCredits(engine), PLANS, clock), clock, ada, bob)


def job() -> str:
    return str(uuid4())


async def test_A6_a_reservation_is_spent_or_given_back_once(bench: Bench) -> None:
    """A6: every step may be repeated; what has ended stays so."""
    await bench.credits.welcome(bench.ada)
    await bench.credits.welcome(bench.ada)
    spent, freed = job(), job()
    for _ in range(2):
        made = await bench.credits.reserve(bench.ada, spent, 3)
        await bench.credits.reserve(bench.ada, freed, 4)
    assert (made.state, made.expires_at) == (ReservationState.RESERVED, START + timedelta(minutes=15))
    assert await bench.balance(bench.ada) == (13, 7, 0)
    assert (await bench.credits.confirm(spent)).state is ReservationState.CONFIRMED
    for _ in range(2):
        await bench.credits.settle(spent)
        await bench.credits.release(freed)
    assert (await bench.credits.confirm(spent)).state is ReservationState.SETTLED
    assert await bench.balance(bench.ada) == (17, 0, 3)
    with pytest.raises(ReservationEnded):
        await bench.credits.release(spent)
    with pytest.raises(ReservationEnded):
        await bench.credits.settle(freed)
    with pytest.raises(ReservationNotFound):
        await bench.credits.confirm(job())
    await bench.credits.release(job())


async def test_A6_two_hundred_at_once_get_what_twenty_credits_buy(bench: Bench) -> None:
    """A6: exactly that."""
    await bench.credits.welcome(bench.ada)
    results = await asyncio.gather(
        *(bench.credits.reserve(bench.ada, job(), 1) for _ in range(200)), return_exceptions=True
    )
    assert sum(not isinstance(result, BaseException) for result in results) == 20
    assert {type(result) for result in results if isinstance(result, BaseException)} == {CreditsExhausted}
    assert await bench.balance(bench.ada) == (0, 20, 0)


async def test_A6_a_plan_without_a_meter_counts_and_refuses_nothing(bench: Bench) -> None:
    """A6."""
    made = job()
    await bench.credits.reserve(bench.bob, made, 5)
    await bench.credits.settle(made)
    assert await bench.balance(bench.bob) == (-5, 0, 5)


async def test_A6_what_nobody_confirms_lapses(bench: Bench) -> None:
    """A6: after fifteen minutes; confirmed after all, it is kept, even below zero."""
    await bench.credits.welcome(bench.ada)
    dead, slow, alive = job(), job(), job()
    for each in (dead, slow, alive):
        await bench.credits.reserve(bench.ada, each, 5)
    await bench.credits.confirm(alive)
    bench.clock.advance(timedelta(minutes=15))
    assert await bench.credits.lapse() == 2
    assert await bench.credits.lapse() == 0
    assert await bench.balance(bench.ada) == (15, 5, 0)
    await bench.credits.reserve(bench.ada, job(), 15)
    await bench.credits.confirm(slow)
    assert await bench.balance(bench.ada) == (-5, 25, 0)
    await bench.credits.settle(slow)
    assert await bench.balance(bench.ada) == (-5, 20, 5)


async def test_A6_a_job_has_one_reservation(bench: Bench) -> None:
    """A6: not of another amount, not of another user; none of nobody's."""
    made = job()
    await bench.credits.reserve(bench.bob, made, 5)
    with pytest.raises(ReservationConflict):
        await bench.credits.reserve(bench.bob, made, 6)
    with pytest.raises(ReservationConflict):
        await bench.credits.reserve(bench.ada, made, 5)
    with pytest.raises(UserNotFound):
        await bench.credits.reserve(str(uuid4()), job(), 1)


async def test_A6_grants_are_made_once(bench: Bench) -> None:
    """A6: by request id; negative ones take away."""
    for _ in range(2):
        assert (await bench.credits.grant(bench.ada, 7, "sorry", "g1")).available == 7
    with pytest.raises(GrantConflict):
        await bench.credits.grant(bench.ada, 8, "sorry", "g1")
    with pytest.raises(GrantConflict):
        await bench.credits.grant(bench.bob, 7, "sorry", "g1")
    assert (await bench.credits.grant(bench.ada, -2, "oops", "g2")).available == 5


@pytest.mark.parametrize("statement", ["UPDATE credit_entries SET amount = 9", "DELETE FROM credit_entries"])
async def test_A6_the_ledger_cannot_be_changed(engine: AsyncEngine, statement: str) -> None:
    """A6: and entries that do not sum to zero are refused at the commit."""
    values = "gen_random_uuid(), gen_random_uuid(), 'available', 1, 'forged', '', ''"
    forge = text(
        "INSERT INTO credit_entries (transaction_id, user_id, book, amount, kind, job_id, request_id)"
        f" VALUES ({values})"
    )
    with pytest.raises(DBAPIError, match="sum to zero"):
        async with engine.begin() as connection:
            await connection.execute(forge)
    twice = text(
        "WITH t AS (SELECT gen_random_uuid() AS id) INSERT INTO credit_entries"
        " (transaction_id, user_id, book, amount, kind, job_id, request_id)"
        " SELECT id, id, book, amount, 'k', '', '' FROM t, (VALUES ('issued', -1), ('available', 1)) v(book, amount)"
    )
    async with engine.begin() as connection:
        await connection.execute(twice)
    with pytest.raises(DBAPIError, match="only ever added"):
        async with engine.begin() as connection:
            await connection.execute(text(statement))

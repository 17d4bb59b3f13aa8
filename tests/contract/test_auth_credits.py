"""Credits on the fake and on Postgres: never twice, never lost, and the ledger explains every balance (A6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from uuid import uuid4

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.auth.adapters.postgres.credits import PostgresCredits
from services.auth.adapters.postgres.ledger import PostgresLedger
from services.auth.adapters.postgres.tables import USERS
from services.auth.application.credits import Credits, Wish
from services.auth.domain.credits import Reservation, ReservationState
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
    fake: bool = False

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
        return Bench(Credits(FakeCreditStore(plans), PLANS, clock), clock, ada, bob, fake=True)
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


async def test_A6_several_at_once_are_judged_one_by_one(bench: Bench) -> None:
    """A6: in their order; who cannot pay, is unknown or contradicts an earlier reservation is refused alone."""
    await bench.credits.welcome(bench.ada)
    taken, doubled = job(), job()
    await bench.credits.reserve(bench.bob, taken, 1)
    wishes = [
        Wish(bench.ada, job(), 15),
        Wish(bench.ada, job(), 6),
        Wish(str(uuid4()), job(), 1),
        Wish(bench.bob, taken, 1),
        Wish(bench.ada, taken, 1),
        Wish(bench.bob, doubled, 2),
        Wish(bench.bob, doubled, 2),
        Wish(bench.bob, doubled, 3),
        Wish(bench.ada, job(), 5),
    ]
    outcomes = await bench.credits.reserve_all(wishes)
    made = Reservation
    assert [type(outcome) for outcome in outcomes] == [
        *(made, CreditsExhausted, UserNotFound, made, ReservationConflict),
        *(made, made, ReservationConflict, made),
    ]
    kept = [outcome for outcome in outcomes if isinstance(outcome, Reservation)]
    assert [each.job_id for each in kept] == [wishes[n].job_id for n in (0, 3, 5, 6, 8)]
    assert await bench.balance(bench.ada) == (0, 20, 0)
    assert await bench.balance(bench.bob) == (-3, 3, 0)
    again = await bench.credits.reserve_all(wishes)
    assert [type(outcome) for outcome in again] == [type(outcome) for outcome in outcomes]
    assert await bench.balance(bench.ada) == (0, 20, 0)


async def test_A6_several_are_confirmed_each_on_its_own(bench: Bench) -> None:
    """A6: those that wait for it at once, the others as one by one; credits stay where they are."""
    await bench.credits.welcome(bench.ada)
    waiting, lapsed, spent, freed = (job() for _ in range(4))
    for each in (lapsed, spent, freed):
        await bench.credits.reserve(bench.ada, each, 2)
    await bench.credits.settle(spent)
    await bench.credits.release(freed)
    bench.clock.advance(timedelta(minutes=15))
    assert await bench.credits.lapse() == 1
    await bench.credits.reserve(bench.ada, waiting, 3)
    outcomes = await bench.credits.confirm_all([waiting, lapsed, job(), spent, freed, waiting])
    states = [outcome.state if isinstance(outcome, Reservation) else type(outcome) for outcome in outcomes]
    confirmed = ReservationState.CONFIRMED
    assert states == [
        *(confirmed, confirmed, ReservationNotFound, ReservationState.SETTLED, ReservationEnded, confirmed)
    ]
    assert await bench.balance(bench.ada) == (13, 5, 2)
    bench.clock.advance(timedelta(hours=1))
    assert await bench.credits.lapse() == 0


async def test_A6_batches_at_once_never_spend_a_credit_twice(bench: Bench) -> None:
    """A6: ten batches of two users' orders in different orders: exactly what the balance buys, no deadlock."""
    await bench.credits.welcome(bench.ada)
    batches = [[Wish(user, job(), 1) for user in (bench.ada, bench.bob) * 4] for _ in range(10)]
    for number, batch in enumerate(batches):
        if number % 2:
            batch.reverse()
    results = await asyncio.gather(*(bench.credits.reserve_all(batch) for batch in batches))
    made = [each for outcomes in results for each in outcomes if isinstance(each, Reservation)]
    assert sum(each.user_id == bench.ada for each in made) == 20
    assert sum(each.user_id == bench.bob for each in made) == 40
    assert await bench.balance(bench.ada) == (0, 20, 0)
    assert await bench.balance(bench.bob) == (-40, 40, 0)
    confirmed = await asyncio.gather(
        *(bench.credits.confirm_all([wish.job_id for wish in reversed(batch)]) for batch in batches),
        *(bench.credits.settle(each.job_id) for each in made[:20]),
    )
    assert len(confirmed) == 30
    assert sum(await bench.balance(bench.bob)) == 0


async def test_A6_one_statement_and_the_rules_of_the_domain_agree(bench: Bench, engine: AsyncEngine) -> None:
    """A6: what is drawn at random ends alike on the store under test and on a fake with the same past."""
    plans = {bench.ada: "trial", bench.bob: "free"}
    model = Credits(FakeCreditStore(plans), PLANS, bench.clock)
    draw, jobs = Random(7), [job() for _ in range(25)]
    for both in (bench.credits, model):
        await both.grant(bench.ada, 40, "start", "start")
    for _ in range(15):
        wishes = [
            Wish(draw.choice([bench.ada, bench.bob]), draw.choice(jobs), draw.randint(1, 4))
            for _ in range(draw.randint(1, 6))
        ]
        some = draw.sample(jobs, draw.randint(1, 5))
        advance = timedelta(minutes=draw.randint(0, 6))
        seen = []
        for both in (bench.credits, model):
            outcomes = [*await both.reserve_all(wishes), *await both.confirm_all(some)]
            ended = await asyncio.gather(both.release(some[0]), return_exceptions=True)
            balances = [await both.balance(user) for user in plans]
            seen.append(([_plain(each) for each in (*outcomes, *ended)], balances))
        assert seen[0] == seen[1]
        bench.clock.advance(advance)
        assert await bench.credits.lapse() == await model.lapse()


def _plain(outcome: object) -> object:
    return type(outcome) if isinstance(outcome, BaseException) else outcome


async def test_A6_a_plan_without_a_meter_counts_and_refuses_nothing(bench: Bench) -> None:
    """A6."""
    made = job()
    await bench.credits.reserve(bench.bob, made, 5)
    await bench.credits.settle(made)
    assert await bench.balance(bench.bob) == (-5, 0, 5)


async def test_A6_a_plan_that_is_gone_is_the_default_one(bench: Bench, engine: AsyncEngine) -> None:
    """A6: and when that has a meter, nobody orders without credits."""
    store = FakeCreditStore({bench.ada: "gone"}) if bench.fake else PostgresCredits(engine)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE users SET plan = 'gone'"))
    strict = Credits(store, Plans(Plan("free", metered=True), Plan("pro")), bench.clock)
    with pytest.raises(CreditsExhausted):
        await strict.reserve(bench.ada, job(), 1)


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

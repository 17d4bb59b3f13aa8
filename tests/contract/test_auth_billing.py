"""Subscriptions, charges and the ledger on the fake and on Postgres: each period paid and granted once (A6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from uuid import uuid4

import pytest
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.auth.adapters.postgres.billing import PostgresBilling
from services.auth.adapters.postgres.credits import PostgresCredits
from services.auth.adapters.postgres.ledger import PostgresLedger
from services.auth.adapters.postgres.tables import USERS
from services.auth.application.billing_ports import BillingStore, LedgerReader, UsageDay
from services.auth.application.credits import Credits, CreditStore
from services.auth.application.payments import CLAIM, PAUSE, Payments
from services.auth.application.subscriptions import Subscriptions
from services.auth.application.usage import Usage
from services.auth.domain.billing import BillingRules
from services.auth.domain.billing_errors import (
    AlreadySubscribed,
    BillingRequestConflict,
    NotRefundable,
    ProviderAway,
    SubscriptionNotFound,
)
from services.auth.domain.charges import Charge, ChargeState, Outcome, Result
from services.auth.domain.credits import ReservationState
from services.auth.domain.errors import InvalidValue, ReservationNotFound, UserNotFound
from services.auth.domain.plans import Plan, Plans
from services.auth.domain.subscription import SubscriptionState
from services.runtime.db import create_engine
from services.runtime.ids import new_id
from tests import stack
from tests.fakes.auth import START, FakeClock
from tests.fakes.auth_billing import FakeBillingStore, FakeLedger
from tests.fakes.auth_credits import FakeCreditStore

DAY = timedelta(days=1)
RULES = BillingRules(grace=14 * DAY, retries=(1 * DAY, 3 * DAY), provider="teller")
PLANS = Plans(
    Plan(metered=True, signup_credits=5),
    Plan("pro", price=3100, credits=100, rollover_credits=10, metered=True),
    Plan("studio", price=9300, credits=400, metered=True),
)


@cache
def database() -> str:
    """One migrated database for the module; users are never the same."""
    url = stack.postgres_url("auth_billing")
    asyncio.run(stack.migrate("auth", url))
    return url


@dataclass
class Teller:
    """A provider that pays at once, unless it is told otherwise; money moves once for each name of an attempt."""

    script: list[Result | type[BaseException]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    moved: dict[str, int] = field(default_factory=dict)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event | None = None
    away: bool = False

    async def customer(self, user_id: str) -> str:
        """A name."""
        return f"customer of {user_id}"

    async def collect(self, charge: Charge, customer_id: str) -> Outcome:
        """As scripted."""
        assert customer_id == f"customer of {charge.user_id}"
        self.asked.append(charge.attempt_id)
        self.reached.set()
        if self.gate is not None:
            await self.gate.wait()
        result = self.script.pop(0) if self.script else Result.PAID
        if not isinstance(result, Result):
            raise result("as scripted")
        if result is Result.PAID:
            self.moved[charge.attempt_id] = charge.amount
        if result is Result.DECLINED:
            return Outcome(result, charge.attempt, reason="no")
        return Outcome(result, charge.attempt, f"ref {charge.attempt_id}", page_url="https://pay.example/1")

    async def void(self, charge: Charge, customer_id: str) -> Outcome:
        """Withdrawn."""
        if self.away:
            raise ProviderAway
        return Outcome(Result.VOIDED, charge.attempt)

    async def refund(self, charge: Charge) -> Outcome:
        """Paid back."""
        return Outcome(Result.REFUNDED, charge.attempt)


@dataclass
class Bench:
    """The use cases over the stores under test, and one user."""

    store: BillingStore
    payments: Payments
    subscriptions: Subscriptions
    credits: Credits
    usage: Usage
    teller: Teller
    clock: FakeClock
    ada: str

    async def state(self) -> tuple[str, str, int]:
        """State, plan, available credits."""
        current, balance = await self.subscriptions.current(self.ada), await self.credits.balance(self.ada)
        state = current.subscription.state.value if current.subscription else "none"
        return state, current.plan, balance.available

    async def pass_time(self, by: timedelta) -> None:
        """And do what is due then."""
        self.clock.advance(by)
        await self.subscriptions.on_time()
        await self.payments.run()

    async def charge(self) -> Charge:
        """The newest one."""
        [newest, *_] = await self.subscriptions.charges_of(self.ada, "", 1)
        return newest


@pytest.fixture(params=["fake", "postgres"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    ada, clock, teller = str(uuid4()), FakeClock(), Teller()
    engine: AsyncEngine | None = None
    accounts: CreditStore
    store: BillingStore
    ledger: LedgerReader
    if request.param == "fake":
        accounts = fake = FakeCreditStore({ada: "free"})
        store, ledger = FakeBillingStore(fake, PLANS, RULES, new_id), FakeLedger(fake)
    else:
        engine = create_engine(await asyncio.to_thread(database))
        await _add_user(engine, ada)
        accounts, ledger = PostgresCredits(engine), PostgresLedger(engine)
        store = PostgresBilling(engine, PLANS, RULES, new_id)
    payments = Payments(store, {"teller": teller}, clock)
    usage = Usage(ledger, clock)
    subscriptions = Subscriptions(store, payments, PLANS, clock)
    yield Bench(store, payments, subscriptions, Credits(accounts, PLANS, clock), usage, teller, clock, ada)
    assert await usage.check() == []
    if engine is not None:
        await subscriptions.end(ada)  # so that nothing of it is due in another test
        await engine.dispose()


async def _add_user(engine: AsyncEngine, user_id: str) -> None:
    row = {"user_id": user_id, "email": f"{user_id}@a.example", "display_name": "", "role": "user", "plan": "free"}
    async with engine.begin() as connection:
        await connection.execute(insert(USERS), [{**row, "created_at": START, "updated_at": START}])


async def test_A6_subscribe_upgrade_cancel(bench: Bench) -> None:
    """A6: the plan and the credits follow the payments, each charge is kept."""
    assert await bench.state() == ("none", "free", 0)
    await bench.subscriptions.subscribe(bench.ada, "pro")
    assert await bench.state() == ("active", "pro", 100)
    bench.clock.advance(10 * DAY)
    current = await bench.subscriptions.upgrade(bench.ada, "studio")
    assert current.charge is not None
    assert (current.charge.amount, current.charge.credits, current.charge.state) == (4200, 203, ChargeState.PAID)
    assert await bench.state() == ("active", "studio", 303)
    current = await bench.subscriptions.cancel(bench.ada)
    assert current.subscription is not None
    assert current.subscription.cancel_at_period_end
    await bench.pass_time(21 * DAY)
    assert await bench.state() == ("none", "free", 0)
    subscriptions, charges = await bench.subscriptions.records_of(bench.ada)
    assert [each.state for each in subscriptions] == [SubscriptionState.CANCELLED]
    assert [charge.amount for charge in charges] == [4200, 3100]
    assert sum(bench.teller.moved.values()) == 7300


async def test_A6_a_call_that_is_repeated_changes_nothing(bench: Bench) -> None:
    """A6: by its request id; another call must have another one."""
    for _ in range(3):
        await bench.subscriptions.subscribe(bench.ada, "pro", "one")
        await bench.subscriptions.cancel(bench.ada, "two")
    assert await bench.state() == ("active", "pro", 100)
    assert len(bench.teller.asked) == 1
    with pytest.raises(BillingRequestConflict):
        await bench.subscriptions.upgrade(bench.ada, "studio", "one")
    with pytest.raises(BillingRequestConflict):
        await bench.subscriptions.subscribe(bench.ada, "studio", "one")
    bench.clock.advance(30 * DAY + timedelta(seconds=1))
    await bench.subscriptions.purge()
    with pytest.raises(AlreadySubscribed):
        await bench.subscriptions.subscribe(bench.ada, "pro", "one")


async def test_A6_twenty_at_once_subscribe_once(bench: Bench) -> None:
    """A6: one subscription, one payment."""
    results = await asyncio.gather(
        *(bench.subscriptions.subscribe(bench.ada, "pro") for _ in range(20)), return_exceptions=True
    )
    assert {type(each) for each in results if isinstance(each, BaseException)} <= {AlreadySubscribed}
    assert await bench.state() == ("active", "pro", 100)
    assert len(bench.teller.asked) == 1


async def test_A6_a_period_is_charged_and_granted_once_by_any_number_of_replicas(bench: Bench) -> None:
    """A6: and what lasts of the credits is what the plan says."""
    await bench.subscriptions.subscribe(bench.ada, "pro")
    for job_id in (job := str(uuid4()), str(uuid4())):
        await bench.credits.reserve(bench.ada, job_id, 30)
        await bench.credits.confirm(job_id)
    await bench.credits.settle(job)
    bench.clock.advance(31 * DAY)
    await asyncio.gather(*(bench.subscriptions.on_time() for _ in range(10)))
    await asyncio.gather(*(bench.payments.run() for _ in range(10)))
    assert await bench.state() == ("active", "pro", 110)
    assert len(bench.teller.asked) == 2
    await bench.pass_time(28 * DAY)
    assert await bench.state() == ("active", "pro", 110)
    assert len(set(bench.teller.asked)) == 3


async def test_A6_a_provider_that_does_not_answer_is_asked_again_the_same(bench: Bench) -> None:
    """A6: not at once, and under the same name: whatever came of the first question, money moves once."""
    bench.teller.script = [ProviderAway, ProviderAway]
    await bench.subscriptions.subscribe(bench.ada, "pro")
    await bench.payments.run()
    assert (await bench.state(), len(bench.teller.asked)) == (("incomplete", "free", 0), 1)
    for _ in range(2):
        await bench.pass_time(PAUSE)
    assert await bench.state() == ("active", "pro", 100)
    assert len(bench.teller.asked) == 3
    assert len(set(bench.teller.asked)) == 1


async def test_A6_whoever_dies_while_asking_leaves_it_to_the_next_one(bench: Bench) -> None:
    """A6: when the claim has ended, not before; the second answer is the one that is stored."""
    bench.teller.script = [asyncio.CancelledError]
    with pytest.raises(asyncio.CancelledError):
        await bench.subscriptions.subscribe(bench.ada, "pro")
    await bench.pass_time(CLAIM - timedelta(seconds=1))
    assert (await bench.state(), len(bench.teller.asked)) == (("incomplete", "free", 0), 1)
    await bench.pass_time(timedelta(seconds=1))
    assert (await bench.state(), len(set(bench.teller.asked))) == (("active", "pro", 100), 1)


async def test_A6_a_charge_is_withdrawn_only_when_nobody_is_asking(bench: Bench) -> None:
    """A6: a payment that arrives meanwhile is paid back."""
    bench.teller.gate = asyncio.Event()
    asking = asyncio.create_task(bench.subscriptions.subscribe(bench.ada, "pro"))
    await asyncio.wait_for(bench.teller.reached.wait(), 5)
    await bench.subscriptions.cancel(bench.ada)
    assert not await bench.payments.collect()
    bench.teller.gate.set()
    await asking
    assert await bench.state() == ("none", "free", 0)
    assert (await bench.charge()).state is ChargeState.REFUNDING
    await bench.payments.run()
    assert (await bench.charge()).state is ChargeState.REFUNDED


async def test_A6_declined_tried_again_given_up(bench: Bench) -> None:
    """A6: past due, two more attempts, then the plan of everybody."""
    await bench.subscriptions.subscribe(bench.ada, "pro")
    bench.teller.script = [Result.DECLINED] * 3
    await bench.pass_time(31 * DAY)
    assert await bench.state() == ("past_due", "pro", 100)
    assert (await bench.charge()).failure == "no"
    for _ in range(5):
        await bench.pass_time(1 * DAY)
    assert len(set(bench.teller.asked)) == 4
    await bench.pass_time(9 * DAY)
    assert await bench.state() == ("none", "free", 10)  # what lasts into another period, lasts
    assert (await bench.charge()).state is ChargeState.VOID
    [ended] = await bench.store.subscriptions_of(bench.ada)
    assert ended.state is SubscriptionState.EXPIRED


async def test_A6_a_page_to_pay_on(bench: Bench) -> None:
    """A6: open until the provider says that it was paid; a newer page takes the place of a refused one."""
    bench.teller.script = [Result.OPEN] * 2
    current = await bench.subscriptions.subscribe(bench.ada, "pro")
    assert current.charge is not None
    assert (current.charge.state, current.charge.page_url) == (ChargeState.OPEN, "https://pay.example/1")
    assert (await bench.subscriptions.subscribe(bench.ada, "pro")).charge == current.charge
    [waiting] = [each for each in await bench.subscriptions.outstanding() if each.user_id == bench.ada]
    assert waiting.charge_id == current.charge.charge_id
    async with bench.store.change(bench.ada, bench.clock.now()) as billing:
        assert billing is not None
        billing.take(billing.charges[0], Outcome(Result.DECLINED, 1, reason="expired"))
    bench.teller.script = [Result.OPEN]
    again = (await bench.subscriptions.subscribe(bench.ada, "pro")).charge
    assert again is not None
    assert (again.attempt, again.present, again.state) == (2, True, ChargeState.OPEN)


async def test_A6_an_event_is_taken_once(bench: Bench) -> None:
    """A6."""
    for expected in (False, True):
        async with bench.store.change(bench.ada, bench.clock.now(), event_id=f"evt {bench.ada}") as billing:
            assert billing is not None
            assert billing.repeated is expected


async def test_A6_an_erased_user_owes_nothing(bench: Bench) -> None:
    """A6, A8: whatever there is ends at once; it is not over before the provider has withdrawn the charge."""
    bench.teller.script = [Result.OPEN]
    await bench.subscriptions.subscribe(bench.ada, "pro")
    bench.teller.away = True
    with pytest.raises(ProviderAway):
        await bench.subscriptions.end(bench.ada)
    assert (await bench.state(), (await bench.charge()).state) == (("none", "free", 0), ChargeState.VOIDING)
    bench.teller.away = False
    bench.clock.advance(PAUSE)
    for _ in range(2):
        await bench.subscriptions.end(bench.ada)
    assert (await bench.charge()).state is ChargeState.VOID


async def test_A6_nobody_else_and_nothing(bench: Bench) -> None:
    """A6: unknown users, users without a subscription."""
    with pytest.raises(UserNotFound):
        await bench.subscriptions.subscribe(str(uuid4()), "pro")
    with pytest.raises(UserNotFound):
        await bench.subscriptions.current("somebody")
    for call in (bench.subscriptions.cancel, bench.subscriptions.resume):
        with pytest.raises(SubscriptionNotFound):
            await call(bench.ada)
    assert await bench.store.charge(str(uuid4())) is None
    assert await bench.store.charge("nothing") is None
    await bench.subscriptions.end(str(uuid4()))


async def test_A6_charges_in_pages(bench: Bench) -> None:
    """A6: every one of them once, also those of one moment."""
    for plan in ("pro", "studio", "pro", "studio"):
        bench.teller.script = [Result.OPEN]
        await bench.subscriptions.subscribe(bench.ada, plan)
    first = await bench.subscriptions.charges_of(bench.ada, "", 3)
    rest = await bench.subscriptions.charges_of(bench.ada, first[-1].charge_id, 3)
    assert sorted(charge.amount for charge in (*first, *rest)) == [3100, 3100, 9300, 9300]
    assert len({charge.charge_id for charge in (*first, *rest)}) == 4
    assert await bench.subscriptions.charges_of(str(uuid4()), "", 3) == []


async def test_A6_what_was_spent_can_be_refunded_once(bench: Bench) -> None:
    """A6: and nothing else."""
    await bench.credits.welcome(bench.ada)
    job = str(uuid4())
    await bench.credits.reserve(bench.ada, job, 5)
    with pytest.raises(NotRefundable):
        await bench.credits.refund(job)
    await bench.credits.settle(job)
    for _ in range(2):
        assert (await bench.credits.refund(job)).state is ReservationState.REFUNDED
        await bench.credits.release(job)
        assert (await bench.credits.settle(job)).state is ReservationState.REFUNDED
    balance = await bench.credits.balance(bench.ada)
    assert (balance.available, balance.reserved, balance.spent) == (5, 0, 0)
    with pytest.raises(ReservationNotFound):
        await bench.credits.refund(str(uuid4()))


async def test_A6_usage_by_day(bench: Bench) -> None:
    """A6: from the ledger, in UTC, days without anything included."""
    await bench.credits.welcome(bench.ada)
    jobs = [str(uuid4()) for _ in range(3)]
    for job in jobs:
        await bench.credits.reserve(bench.ada, job, 1)
    await bench.credits.settle(jobs[0])
    await bench.credits.release(jobs[1])
    bench.clock.advance(timedelta(hours=11, minutes=59, seconds=59))
    await bench.credits.settle(jobs[2])
    bench.clock.advance(1 * DAY + timedelta(seconds=1))
    await bench.credits.refund(jobs[0])
    days, total = await bench.usage.by_day(bench.ada, date(2025, 12, 31), date(2026, 1, 3))
    first = UsageDay(
        date(2026, 1, 1), jobs_ordered=3, jobs_completed=2, reserved=3, spent=2, released=1, granted=5
    )  # fmt: skip
    empty = [UsageDay(date(2025, 12, 31)), UsageDay(date(2026, 1, 2))]
    assert days == [empty[0], first, empty[1], UsageDay(date(2026, 1, 3), refunded=1)]
    assert total == UsageDay(None, 3, 2, 3, 2, 1, 1, 5, 0)
    assert (await bench.usage.by_day(str(uuid4()), date(2026, 1, 1), date(2026, 1, 1)))[0] == [
        UsageDay(date(2026, 1, 1))
    ]


@pytest.mark.parametrize(
    ("first", "last", "days"),
    [
        (None, None, 30),
        (None, date(2025, 3, 1), 30),
        (date(2025, 1, 1), date(2026, 1, 1), 366),
        (None, date(1, 1, 5), 5),
    ],
)
async def test_A6_the_range_of_usage(bench: Bench, first: date | None, last: date | None, days: int) -> None:
    """A6: thirty days up to today where nobody says otherwise."""
    found, _ = await bench.usage.by_day(bench.ada, first, last)
    assert (len(found), found[-1].day) == (days, last or date(2026, 1, 1))


@pytest.mark.parametrize("first", [date(2024, 12, 31), date(2026, 1, 2)])
async def test_A6_a_range_of_usage_that_is_refused(bench: Bench, first: date) -> None:
    """A6: too long, or backwards."""
    with pytest.raises(InvalidValue, match="start_date"):
        await bench.usage.by_day(bench.ada, first, date(2026, 1, 1))


async def test_A6_the_ledger_in_pages(bench: Bench) -> None:
    """A6: the user's own entries, newest first; each transaction sums to zero."""
    await bench.credits.welcome(bench.ada)
    await bench.credits.reserve(bench.ada, str(uuid4()), 2)
    first = await bench.usage.entries(bench.ada, None, 3)
    rest = await bench.usage.entries(bench.ada, first[-1].entry_id, 3)
    entries = [(entry.kind, entry.book, entry.amount) for entry in (*first, *rest)]
    assert sorted(entries[:2]) == [("reserve", "available", -2), ("reserve", "reserved", 2)]
    assert sorted(entries[2:]) == [("signup", "available", 5), ("signup", "issued", -5)]
    assert first[0].created_at == START
    assert await bench.usage.entries(str(uuid4()), None, 3) == []


@pytest.mark.parametrize(
    ("harm", "fault"),
    [
        ("UPDATE credit_accounts SET available = available + 1 WHERE user_id = :user", "differs from its entries"),
        ("UPDATE credit_reservations SET state = 'settled' WHERE user_id = :user", "its entries say otherwise"),
        ("DELETE FROM credit_reservations WHERE user_id = :user", "entries and no reservation"),
        ("UPDATE credit_grants SET amount = 7 WHERE user_id = :user", "differs from its entries"),
        ("DELETE FROM credit_grants WHERE user_id = :user", "its credits were not granted"),
    ],
)
async def test_A6_the_check_of_the_books_finds_what_is_wrong(harm: str, fault: str) -> None:
    """A6: each kind of harm that the database would let happen; on a database of its own."""
    url = stack.postgres_url("auth_ledger")
    await stack.migrate("auth", url)
    engine, clock, ada = create_engine(url), FakeClock(), str(uuid4())
    await _add_user(engine, ada)
    store = PostgresBilling(engine, PLANS, RULES, new_id)
    payments, usage = Payments(store, {"teller": Teller()}, clock), Usage(PostgresLedger(engine), clock)
    await Subscriptions(store, payments, PLANS, clock).subscribe(ada, "pro")
    await Credits(PostgresCredits(engine), PLANS, clock).reserve(ada, str(uuid4()), 1)
    assert await usage.check() == []
    async with engine.begin() as connection:
        await connection.execute(text(harm), {"user": ada})
    assert any(fault in found for found in await usage.check())
    await engine.dispose()

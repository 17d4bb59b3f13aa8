"""Subscriptions and charges as a machine of states (A6)."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.auth.domain.billing import Billing, BillingRules
from services.auth.domain.billing_errors import (
    AlreadySubscribed,
    SubscriptionNotFound,
    SubscriptionUnpaid,
    UnknownPlan,
)
from services.auth.domain.charges import TO_DO, WANTED, Charge, ChargeState, Outcome, Purpose, Result
from services.auth.domain.credits import Account, Book
from services.auth.domain.errors import AuthError
from services.auth.domain.plans import Plan, Plans
from services.auth.domain.subscription import Subscription, SubscriptionState
from tests.fakes.auth import START

DAY = timedelta(days=1)
RULES = BillingRules(grace=14 * DAY, retries=(1 * DAY, 3 * DAY))
# A credit for each cent: whoever has had more credits than they have paid cents has made a profit.
PRO, STUDIO = Plan("pro", price=3100, credits=3100), Plan("studio", price=9300, credits=9300, rollover_credits=500)
PLANS = Plans(Plan(metered=True), PRO, STUDIO, Plan("gift", credits=0), Plan("dollars", price=700, currency="USD"))


class Desk:
    """One user's money, and a clock."""

    def __init__(self) -> None:
        ids = count(1)
        self.account = Account("ada", START)
        self.billing = Billing(self.account, PLANS, RULES, lambda: f"id{next(ids)}")

    def wait(self, time: timedelta) -> None:
        """Let time pass, and happen what is due."""
        self.account.now += time
        self.billing.on_time()

    @property
    def live(self) -> Subscription:
        """The subscription."""
        assert self.billing.subscription is not None
        return self.billing.subscription

    @property
    def wanted(self) -> Charge:
        """The charge that is to be paid."""
        assert self.billing.wanted is not None
        return self.billing.wanted

    def answer(self, result: Result, charge: Charge | None = None) -> Charge:
        """The provider's answer to the newest attempt."""
        charge = charge or self.wanted
        self.billing.take(charge, Outcome(result, charge.attempt, reason="no" if result is Result.DECLINED else ""))
        return charge

    def subscribed(self, plan: Plan = PRO) -> Desk:
        """With a paid subscription."""
        self.billing.subscribe(plan.name)
        self.answer(Result.PAID)
        return self

    def state(self) -> tuple[str, str, int]:
        """State, plan that applies, credits."""
        live = self.billing.subscription
        return (live.state.value if live else "none", self.account.plan, self.account.available)


def test_A6_nothing_is_granted_before_it_is_paid() -> None:
    """A6: and the period begins with the payment."""
    desk = Desk()
    desk.billing.subscribe("pro")
    assert desk.state() == ("incomplete", "free", 0)
    assert (desk.wanted.amount, desk.wanted.purpose, desk.wanted.next_attempt_at) == (3100, Purpose.SUBSCRIBE, START)
    desk.wait(3 * DAY)
    desk.answer(Result.PAID)
    assert desk.state() == ("active", "pro", 3100)
    assert (desk.live.period_start, desk.live.period_end) == (START + 3 * DAY, datetime.fromisoformat("2026-02-04T12Z"))


def test_A6_a_plan_without_a_price_asks_nobody() -> None:
    """A6."""
    desk = Desk()
    desk.billing.subscribe("gift")
    assert (desk.state(), desk.billing.charges) == (("active", "gift", 0), [])


def test_A6_a_first_payment_that_never_comes_ends_it() -> None:
    """A6: the charge is withdrawn; a payment that comes all the same is paid back."""
    desk = Desk()
    desk.billing.subscribe("pro")
    charge = desk.answer(Result.OPEN)
    desk.wait(14 * DAY)
    assert desk.state() == ("none", "free", 0)
    assert (desk.billing.ended[0].state, charge.state) == (SubscriptionState.EXPIRED, ChargeState.VOIDING)
    desk.answer(Result.PAID, charge)
    assert (charge.state, desk.state()) == (ChargeState.REFUNDING, ("none", "free", 0))
    desk.answer(Result.REFUNDED, charge)
    assert charge.state is ChargeState.REFUNDED


@pytest.mark.parametrize(
    ("made", "error"),
    [("pro", AlreadySubscribed), ("studio", AlreadySubscribed), ("nope", UnknownPlan), ("free", UnknownPlan)],
)
def test_A6_whoever_has_paid_does_not_subscribe_again(made: str, error: type[AuthError]) -> None:
    """A6."""
    desk = Desk().subscribed()
    with pytest.raises(error):
        desk.billing.subscribe(made)
    assert desk.state() == ("active", "pro", 3100)


def test_A6_an_unpaid_subscription_is_paid_again_or_replaced() -> None:
    """A6: after a refusal the payer is there for a page."""
    desk = Desk()
    desk.billing.subscribe("pro")
    first = desk.answer(Result.DECLINED)
    assert (first.state, first.attempt, first.next_attempt_at, first.failure) == (ChargeState.DUE, 2, None, "no")
    desk.billing.subscribe("pro")
    assert (desk.wanted, first.present, first.next_attempt_at) == (first, True, START)
    desk.billing.subscribe("studio")
    assert (first.state, desk.wanted.amount) == (ChargeState.VOIDING, 9300)
    assert [ended.state for ended in desk.billing.ended] == [SubscriptionState.CANCELLED]


def test_A6_an_upgrade_costs_the_difference_for_the_days_that_are_left() -> None:
    """A6: of the 31 days of January 10 are over."""
    desk = Desk().subscribed()
    desk.wait(10 * DAY)
    desk.billing.cancel()
    desk.billing.change_plan("studio")
    assert (desk.wanted.amount, desk.wanted.credits) == (4200, 4200)  # 6200 · 21 / 31
    assert desk.state() == ("active", "pro", 3100)
    desk.answer(Result.PAID)
    assert desk.state() == ("active", "studio", 7300)
    assert not desk.live.cancel_at_period_end


def test_A6_an_upgrade_that_is_declined_changes_nothing() -> None:
    """A6."""
    desk = Desk().subscribed()
    desk.billing.change_plan("studio")
    charge = desk.answer(Result.DECLINED)
    assert (desk.state(), desk.billing.wanted, charge.failure) == (("active", "pro", 3100), None, "no")
    desk.answer(Result.VOIDED, charge)
    assert charge.state is ChargeState.VOID


@pytest.mark.parametrize("plan", ["pro", "dollars"])
def test_A6_any_other_change_waits_for_the_end_of_the_period(plan: str) -> None:
    """A6: and can be taken back until then."""
    desk = Desk().subscribed(STUDIO)
    desk.billing.change_plan(plan)
    assert (desk.live.next_plan, desk.billing.wanted, desk.account.plan) == (plan, None, "studio")
    desk.billing.change_plan("studio")
    assert desk.live.next_plan == ""
    desk.billing.change_plan(plan)
    desk.wait(31 * DAY)
    price = PLANS.of(plan).price
    assert (desk.state()[:2], desk.wanted.amount, desk.live.next_plan) == (("past_due", plan), price, "")


def test_A6_cancelled_at_the_end_of_the_period() -> None:
    """A6: it can be taken back before; what is left of the period's credits ends with it."""
    desk = Desk().subscribed()
    desk.account.grant(50, "gift", "gift")
    desk.billing.cancel()
    assert (desk.state(), desk.live.cancel_at_period_end) == (("active", "pro", 3150), True)
    desk.billing.resume()
    assert not desk.live.cancel_at_period_end
    desk.billing.change_plan("free")
    assert desk.live.cancel_at_period_end
    desk.wait(31 * DAY)
    assert desk.state() == ("none", "free", 50)
    for change in (desk.billing.cancel, desk.billing.resume, lambda: desk.billing.change_plan("pro")):
        with pytest.raises(SubscriptionNotFound):
            change()


def test_A6_renewed_when_it_is_paid() -> None:
    """A6: credits that are left last as far as the plan says, those that somebody gave for good."""
    desk = Desk().subscribed(STUDIO)
    desk.account.grant(50, "gift", "gift")
    desk.wait(31 * DAY)
    assert desk.state() == ("past_due", "studio", 9350)
    assert (desk.wanted.purpose, desk.wanted.present, desk.wanted.period_index) == (Purpose.RENEW, False, 1)
    with pytest.raises(SubscriptionUnpaid):
        desk.billing.change_plan("pro")
    desk.answer(Result.PAID)
    assert desk.state() == ("active", "studio", 500 + 50 + 9300)
    assert (desk.live.period_start, desk.live.period_credits) == (START + 31 * DAY, 9800)


def test_A6_jobs_take_the_credits_of_the_period_first() -> None:
    """A6: of 3100, 3000 were used; the hundred that are left end, the gift stays."""
    desk = Desk().subscribed()
    desk.account.grant(50, "gift", "gift")
    desk.account.available, desk.billing.used = 150, 3000
    desk.wait(31 * DAY)
    desk.answer(Result.PAID)
    assert desk.state() == ("active", "pro", 50 + 3100)


def test_A6_a_renewal_that_is_declined_is_tried_again_then_given_up() -> None:
    """A6: after one day, after three, then no more; the plan stays until the grace is over."""
    desk = Desk().subscribed()
    desk.wait(31 * DAY)
    due, tries = desk.account.now, []
    while desk.wanted.next_attempt_at is not None:
        desk.wait(desk.wanted.next_attempt_at - desk.account.now)
        tries.append(desk.account.now - due)
        desk.answer(Result.DECLINED)
    assert tries == [0 * DAY, 1 * DAY, 3 * DAY]
    assert desk.state() == ("past_due", "pro", 3100)
    charge = desk.wanted
    desk.wait(11 * DAY)
    assert (desk.state(), charge.state) == (("none", "free", 0), ChargeState.VOIDING)


def test_A6_whoever_pays_late_gets_no_day_for_nothing() -> None:
    """A6: the period begins where the last one ended."""
    desk = Desk().subscribed()
    desk.wait(31 * DAY)
    desk.answer(Result.DECLINED)
    desk.wait(2 * DAY)
    desk.answer(Result.PAID)
    assert (desk.state(), desk.live.period_start) == (("active", "pro", 3100), START + 31 * DAY)


def test_A6_periods_while_nobody_looked_are_not_charged() -> None:
    """A6: a deployment that was off for months asks for the current one."""
    desk = Desk().subscribed()
    desk.wait(100 * DAY)
    assert desk.wanted.period_index == 3
    desk.answer(Result.PAID)
    assert (desk.live.period_start.isoformat(), desk.state()[0]) == ("2026-04-01T12:00:00+00:00", "active")


def test_A6_nobody_pays_for_a_period_that_is_over() -> None:
    """A6: asked late, paid at the last moment of the patience, when the period that was asked for has just ended."""
    desk = Desk().subscribed()
    desk.wait(timedelta(hours=1081))
    desk.wait(timedelta(hours=335))
    assert (desk.state()[0], desk.account.now.isoformat()) == ("past_due", "2026-03-01T12:00:00+00:00")
    desk.answer(Result.PAID)
    assert (desk.live.period_start, desk.live.period_index) == (desk.account.now, 2)


def test_A6_an_upgrade_that_is_still_open_ends_with_the_period() -> None:
    """A6: it paid for days that are over."""
    desk = Desk().subscribed()
    desk.billing.change_plan("studio")
    upgrade = desk.answer(Result.OPEN)
    desk.wait(31 * DAY)
    assert (upgrade.state, desk.wanted.amount, desk.live.plan) == (ChargeState.VOIDING, 3100, "pro")


@pytest.mark.parametrize(("result", "state"), [(Result.DECLINED, ChargeState.OPEN), (Result.PAID, ChargeState.PAID)])
def test_A6_an_answer_about_an_earlier_attempt_counts_only_if_it_was_paid(result: Result, state: ChargeState) -> None:
    """A6: events come in any order."""
    desk = Desk()
    desk.billing.subscribe("pro")
    charge = desk.answer(Result.DECLINED)
    desk.billing.subscribe("pro")
    desk.answer(Result.OPEN)
    desk.billing.take(charge, Outcome(result, 1))
    assert charge.state is state
    for late in Result:
        if state is ChargeState.PAID:
            desk.billing.take(charge, Outcome(late, charge.attempt))
            assert (charge.state, desk.state()) == (ChargeState.PAID, ("active", "pro", 3100))


def test_A6_a_plan_given_by_the_operator_outlives_the_subscription() -> None:
    """A6: `set-plan` is not undone by what ends afterwards."""
    desk = Desk().subscribed()
    desk.account.plan = "studio"
    desk.billing.end_now()
    assert desk.state() == ("none", "studio", 0)


class Machine(RuleBasedStateMachine):
    """Whatever people, the provider and time do, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk()
        self.ended: list[str] = []

    @rule(plan=st.sampled_from(["pro", "studio", "gift"]), upgrade=st.booleans())
    def ask(self, plan: str, upgrade: bool) -> None:
        """Subscribe or change."""
        self._try(lambda: (self.desk.billing.change_plan if upgrade else self.desk.billing.subscribe)(plan))

    @rule(what=st.sampled_from(["cancel", "resume", "end_now"]))
    def end(self, what: str) -> None:
        """Or end it."""
        self._try(getattr(self.desk.billing, what))

    @rule(hours=st.integers(1, 24 * 40))
    def time(self, hours: int) -> None:
        """Passes."""
        self.desk.wait(timedelta(hours=hours))

    @precondition(lambda self: self.desk.billing.wanted is not None)
    @rule()
    def paid(self) -> None:
        """What is to be paid."""
        self.desk.answer(Result.PAID)

    @precondition(lambda self: self.desk.billing.charges)
    @rule(data=st.data(), result=st.sampled_from(Result), late=st.booleans())
    def provider(self, data: st.DataObject, result: Result, late: bool) -> None:
        """Says something about any charge there ever was, also what makes no sense."""
        charge = data.draw(st.sampled_from(self.desk.billing.charges))
        self.desk.billing.take(charge, Outcome(result, charge.attempt - late))

    @precondition(lambda self: self.desk.account.available > 0)
    @rule(data=st.data())
    def job(self, data: st.DataObject) -> None:
        """Takes credits."""
        taken = data.draw(st.integers(1, self.desk.account.available))
        self.desk.account.available -= taken
        self.desk.account.spent += taken
        self.desk.billing.used += taken

    @invariant()
    def no_profit(self) -> None:
        """Credits were paid for: a cent each, at least."""
        charges = self.desk.billing.charges
        kept = sum(charge.amount for charge in charges if charge.state is ChargeState.PAID)
        granted = sum(each.amount for each in self.desk.account.transfers if each.source is Book.ISSUED)
        assert granted <= kept
        assert self.desk.account.available >= 0

    @invariant()
    def each_period_once(self) -> None:
        """No period is charged twice, none granted twice, and one charge at most is to be paid."""
        charges = self.desk.billing.charges
        periods = [(each.subscription_id, each.period_index) for each in charges if each.purpose is not Purpose.UPGRADE]
        grants = [each.request_id for each in self.desk.account.transfers if each.request_id]
        assert (len(set(periods)), len(set(grants))) == (len(periods), len(grants))
        wanted = [charge for charge in charges if charge.state in WANTED]
        assert len(wanted) <= 1
        assert all(charge.subscription_id == self.desk.live.subscription_id for charge in wanted)
        assert all(charge.next_attempt_at is None for charge in charges if charge.state not in TO_DO)

    @invariant()
    def the_plan_is_the_subscription_s(self) -> None:
        """Whoever has not paid has the plan of everybody; what has ended stays so."""
        live = self.desk.billing.subscription
        paid = live is not None and live.state is not SubscriptionState.INCOMPLETE
        assert self.desk.account.plan == (live.plan if live is not None and paid else "free")
        assert live is None or (live.due_at is not None and live.due_at > self.desk.account.now)
        assert not any(each.live for each in self.desk.billing.ended)

    def _try(self, change: object) -> None:
        self.desk.billing.on_time()
        try:
            change()  # type: ignore[operator]
        except AuthError as error:
            self.ended.append(str(error))


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

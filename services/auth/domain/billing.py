"""Everything that concerns a user's money, changed together under the lock of the account (A6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from services.auth.domain.billing_errors import (
    AlreadySubscribed,
    SubscriptionNotFound,
    SubscriptionUnpaid,
    UnknownPlan,
)
from services.auth.domain.charges import WANTED, Charge, ChargeState, Outcome, Purpose, Result
from services.auth.domain.credits import Account
from services.auth.domain.plans import DEFAULT_PLAN, Plan, Plans, part_to_grant, part_to_pay
from services.auth.domain.subscription import Subscription, SubscriptionState


@dataclass(frozen=True, slots=True)
class BillingRules:
    """How patient the deployment is."""

    grace: timedelta = timedelta(days=14)
    """How long a subscription waits for a payment, and who has had the plan keeps it meanwhile."""
    retries: tuple[timedelta, ...] = (timedelta(days=1), timedelta(days=3), timedelta(days=5), timedelta(days=7))
    """When a renewal that was declined is tried again, counted from the first attempt."""
    provider: str = "invoice"


@dataclass(slots=True)
class Billing:
    """A user's account, subscription and unfinished charges."""

    account: Account
    plans: Plans
    rules: BillingRules
    new_id: Callable[[], str]
    subscription: Subscription | None = None
    """The one that has not ended."""
    charges: list[Charge] = field(default_factory=list)
    """All that are not finished, and the one that a change is about."""
    used: int = 0
    """Credits that jobs took since those of the period were granted."""
    ended: list[Subscription] = field(default_factory=list)
    """Ended by this change."""
    repeated: bool = False
    """The request, or the event, was dealt with before."""

    @property
    def now(self) -> datetime:
        """When the change happens."""
        return self.account.now

    @property
    def wanted(self) -> Charge | None:
        """The charge that is still to be paid; there is one at most."""
        return next((charge for charge in self.charges if charge.state in WANTED), None)

    def claim(self, until: datetime) -> Charge | None:
        """What is to be paid now, for whoever asks the provider about it, and nobody else until then."""
        charge = self.wanted
        if charge is None or charge.next_attempt_at is None or charge.next_attempt_at > self.now:
            return None
        if charge.claimed_until is not None and charge.claimed_until > self.now:
            return None
        charge.claimed_until = until
        return replace(charge)

    def subscribe(self, name: str) -> None:
        """Begin a subscription, or pay the one that is not paid. Raises UnknownPlan, AlreadySubscribed."""
        plan = self._plan(name)
        if plan.name == DEFAULT_PLAN and not plan.credits:
            raise UnknownPlan("is the plan of everybody who has no subscription")
        live = self.subscription
        if live is not None and live.plan == name and live.state is not SubscriptionState.ACTIVE:
            self._pay_again()
            return
        if live is not None and live.state is SubscriptionState.INCOMPLETE:
            self._end(live, SubscriptionState.CANCELLED)
        elif live is not None:
            raise AlreadySubscribed(live.plan)
        due_at = self.now + self.rules.grace
        live = self.subscription = Subscription.new(self.new_id(), self.account.user_id, plan, self.now, due_at)
        self._ask(live, Purpose.SUBSCRIBE, plan, 0, plan.price, plan.credits)

    def change_plan(self, name: str) -> None:
        """Change to a dearer plan now, paying for the days that are left, to any other one at the end of the period.
        Asking for the plan one has takes a change back. Raises UnknownPlan, SubscriptionNotFound, SubscriptionUnpaid.
        """
        plan, live = self._plan(name), self._paid_up()
        pending = self.wanted
        if pending is not None and pending.plan == name:
            self._pay_again()
            return
        self._withdraw_wanted()
        live.next_plan = ""
        current = self.plans.of(live.plan)
        if name == live.plan:
            return
        if not plan.costs_more_than(current):
            live.next_plan = name
            live.cancel_at_period_end = live.cancel_at_period_end or (name == DEFAULT_PLAN and not plan.credits)
            return
        left, whole = live.period_end - self.now, live.period_end - live.period_start
        amount = part_to_pay(plan.price - current.price, left, whole)
        extra = part_to_grant(max(0, plan.credits - current.credits), left, whole)
        self._ask(live, Purpose.UPGRADE, plan, live.period_index, amount, extra)

    def cancel(self) -> None:
        """End it with its period, or at once where nothing is paid. Raises SubscriptionNotFound."""
        live = self._live()
        if live.state is SubscriptionState.ACTIVE:
            self._withdraw_wanted()
            live.cancel_at_period_end = True
        else:
            self._end(live, SubscriptionState.CANCELLED)

    def resume(self) -> None:
        """Take a cancellation back. Raises SubscriptionNotFound."""
        live = self._live()
        live.cancel_at_period_end = False
        if live.next_plan == DEFAULT_PLAN:
            live.next_plan = ""

    def end_now(self) -> None:
        """End whatever there is at once; nothing is paid back."""
        if self.subscription is not None:
            self._end(self.subscription, SubscriptionState.CANCELLED)

    def on_time(self) -> None:
        """What happens because time has passed; nothing, if it is not due."""
        live = self.subscription
        if live is None or live.due_at is None or live.due_at > self.now:
            return
        if live.state is not SubscriptionState.ACTIVE:
            self._end(live, SubscriptionState.EXPIRED)
            return
        self._withdraw_wanted()
        plan = self.plans.find(live.next_plan or live.plan)
        if plan is None or live.cancel_at_period_end:
            self._end(live, SubscriptionState.CANCELLED)
            return
        index = live.period_at(plan, self.now)
        live.wait_for_payment(plan, self.now + self.rules.grace)
        self.account.plan = plan.name
        self._ask(live, Purpose.RENEW, plan, index, plan.price, plan.credits)

    def take(self, charge: Charge, outcome: Outcome) -> None:
        """What the provider said, once or twice, in whatever order."""
        match outcome.result, charge.state:
            case Result.PAID, ChargeState.DUE | ChargeState.OPEN:
                charge.finish(ChargeState.PAID, self.now)
                charge.reference, charge.failure = outcome.reference, ""
                self._paid(charge)
            case Result.PAID, ChargeState.VOIDING | ChargeState.VOID:
                charge.reference = outcome.reference
                charge.state, charge.next_attempt_at = ChargeState.REFUNDING, self.now
            case Result.OPEN, ChargeState.DUE if outcome.attempt == charge.attempt:
                charge.open(outcome.reference, outcome.page_url)
            case Result.DECLINED, ChargeState.DUE | ChargeState.OPEN if _is_about(outcome, charge):
                self._declined(charge, outcome.reason)
            case Result.VOIDED, ChargeState.VOIDING:
                charge.finish(ChargeState.VOID, self.now)
            case Result.REFUNDED, ChargeState.REFUNDING:
                charge.finish(ChargeState.REFUNDED, self.now)
            case _:
                return  # an answer that later ones have overtaken
        charge.claimed_until = None

    def _paid(self, charge: Charge) -> None:
        live = self.subscription
        if live is None or live.subscription_id != charge.subscription_id:
            raise AssertionError("a wanted charge belongs to the live subscription")
        if charge.purpose is Purpose.UPGRADE:
            live.plan, live.next_plan, live.cancel_at_period_end = charge.plan, "", False
            live.period_credits += charge.credits
            self._grant(charge.credits, f"subscription {live.subscription_id} upgrade {charge.charge_id}")
        else:
            self._enter(live, charge.purpose, charge.plan, charge.period_index, charge.credits)
        self.account.plan = live.plan

    def _enter(self, live: Subscription, purpose: Purpose, plan: str, index: int, amount: int) -> None:
        """A period begins that is paid."""
        carried = 0
        if purpose is Purpose.SUBSCRIBE:
            live.begin(self.now)
        else:
            carried = self._expire_credits(live, self.plans.of(plan))
            # Whoever pays at the last moment of a long patience pays for days that are still to come.
            index = live.not_over(index, self.now)
            live.renew(index)
        live.plan, live.period_credits, live.credits_since, self.used = plan, carried + amount, self.now, 0
        self._grant(amount, f"subscription {live.subscription_id} period {index}")
        self.account.plan = plan

    def _declined(self, charge: Charge, reason: str) -> None:
        if charge.purpose is Purpose.UPGRADE:  # nothing was promised: the plan stays as it is
            charge.failure = reason
            charge.withdraw(self.now)
            return
        later = [charge.created_at + wait for wait in self.rules.retries if charge.purpose is Purpose.RENEW]
        charge.retry(next((at for at in later if at > self.now), None), failure=reason)

    def _ask(self, live: Subscription, purpose: Purpose, plan: Plan, index: int, amount: int, extra: int) -> None:
        """Have an amount paid; nothing is paid at once."""
        if amount == 0:
            self._enter(live, purpose, plan.name, index, extra)
            return
        charge = Charge(
            charge_id=self.new_id(),
            subscription_id=live.subscription_id,
            user_id=live.user_id,
            purpose=purpose,
            plan=plan.name,
            period_index=index,
            amount=amount,
            currency=plan.currency,
            credits=extra,
            state=ChargeState.DUE,
            provider=self.rules.provider,
            created_at=self.now,
            present=purpose is not Purpose.RENEW,
            next_attempt_at=self.now,
        )
        self.charges.append(charge)

    def _pay_again(self) -> None:
        """The payer is here and asks to pay what is still to be paid.

        Of what is open the provider is asked again, too: it may be paid, and the event lost, or the page be gone.
        """
        charge = self.wanted
        if charge is not None:
            charge.state, charge.present, charge.next_attempt_at = ChargeState.DUE, True, self.now

    def _withdraw_wanted(self) -> None:
        charge = self.wanted
        if charge is not None:
            charge.withdraw(self.now)

    def _end(self, live: Subscription, state: SubscriptionState) -> None:
        self._withdraw_wanted()
        if live.state is not SubscriptionState.INCOMPLETE:
            self._expire_credits(live, self.plans.of(live.plan))
            if self.account.plan == live.plan:  # an operator may have given another one
                self.account.plan = DEFAULT_PLAN
        live.end(state, self.now)
        self.ended.append(live)
        self.subscription = None

    def _expire_credits(self, live: Subscription, plan: Plan) -> int:
        """Take back what is left of the period's credits and does not last; how many do."""
        left = min(max(0, live.period_credits - max(0, self.used)), max(0, self.account.available))
        carried = min(left, plan.rollover_credits)
        self.account.expire(left - carried)
        return carried

    def _grant(self, amount: int, request_id: str) -> None:
        self.account.grant(amount, "subscription", request_id)

    def _plan(self, name: str) -> Plan:
        plan = self.plans.find(name)
        if plan is None:
            raise UnknownPlan
        return plan

    def _live(self) -> Subscription:
        if self.subscription is None:
            raise SubscriptionNotFound
        return self.subscription

    def _paid_up(self) -> Subscription:
        live = self._live()
        if live.state is not SubscriptionState.ACTIVE:
            raise SubscriptionUnpaid(live.state)
        return live


def _is_about(outcome: Outcome, charge: Charge) -> bool:
    """Whether a refusal is one of what is waited for now: this attempt, and of it the page or payment that is open."""
    return outcome.attempt == charge.attempt and outcome.reference in ("", charge.reference)

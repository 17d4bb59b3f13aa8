"""A subscription: a plan for periods that follow each other, each paid in advance.

incomplete ──paid──> active ──period over, not cancelled──> past_due ──paid──> active
    │                  │                                       │
    └─ not paid: expired; cancelled: cancelled                 └─ not paid in time: expired; cancelled: cancelled
                       └─ cancelled, at the end of its period: cancelled
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.auth.domain.plans import Period, Plan, boundary


class SubscriptionState(StrEnum):
    """Where a subscription stands; the last two are final."""

    INCOMPLETE = "incomplete"
    """Its first period is not paid: it grants nothing yet."""
    ACTIVE = "active"
    PAST_DUE = "past_due"
    """The new period is not paid yet: the plan is kept for a while, credits come with the payment."""
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    """It ended because it was not paid."""


@dataclass(slots=True)
class Subscription:
    """A user's subscription."""

    subscription_id: str
    user_id: str
    plan: str
    state: SubscriptionState
    period: Period
    anchor: datetime
    """Where the periods are counted from …"""
    anchor_index: int
    """… and the index of the period that begins there: a change of the period's length begins to count anew."""
    period_index: int
    period_start: datetime
    period_end: datetime
    created_at: datetime
    due_at: datetime | None
    """When something happens that nobody asks for: the period ends, or the patience."""
    period_credits: int = 0
    """Credits of the plan for this period, with those that lasted from the one before."""
    credits_since: datetime | None = None
    """When they were granted: what jobs took since then, they took of them first."""
    next_plan: str = ""
    """The plan from the next period on, if it is another one."""
    cancel_at_period_end: bool = False
    ended_at: datetime | None = None

    @classmethod
    def new(cls, subscription_id: str, user_id: str, plan: Plan, now: datetime, due_at: datetime) -> Subscription:
        """One that is not paid yet."""
        state = SubscriptionState.INCOMPLETE
        end = boundary(now, plan.period, 1)
        return cls(subscription_id, user_id, plan.name, state, plan.period, now, 0, 0, now, end, now, due_at)

    @property
    def live(self) -> bool:
        """Whether it has not ended."""
        return self.ended_at is None

    def begin(self, now: datetime) -> None:
        """The first period begins: it was paid at this moment."""
        self.anchor = now
        self._enter(0)

    def period_at(self, plan: Plan, now: datetime) -> int:
        """The index of the next period, as this plan counts them. Periods that passed while nobody looked are left
        out, neither charged nor granted.
        """
        if plan.period is not self.period:
            self.period, self.anchor, self.anchor_index = plan.period, self.period_end, self.period_index + 1
        return self.not_over(self.period_index + 1, now)

    def not_over(self, index: int, now: datetime) -> int:
        """This period, or the first after it that has not ended."""
        while self._boundary(index + 1) <= now:
            index += 1
        return index

    def renew(self, index: int) -> None:
        """The period of this index is paid."""
        self._enter(index)

    def wait_for_payment(self, plan: Plan, until: datetime) -> None:
        """The period is over, the next one is not paid."""
        self.plan, self.next_plan = plan.name, ""
        self.state, self.due_at = SubscriptionState.PAST_DUE, until

    def end(self, state: SubscriptionState, now: datetime) -> None:
        """For good."""
        self.state, self.ended_at, self.due_at = state, now, None
        self.next_plan, self.cancel_at_period_end = "", False

    def _enter(self, index: int) -> None:
        self.state, self.period_index = SubscriptionState.ACTIVE, index
        self.period_start, self.period_end = self._boundary(index), self._boundary(index + 1)
        self.due_at = self.period_end

    def _boundary(self, index: int) -> datetime:
        return boundary(self.anchor, self.period, index - self.anchor_index)

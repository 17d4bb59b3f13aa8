"""Plans: what they cost, what they grant, and the arithmetic of their periods (A6).

Money is a whole number of minor units. Where a part of a period is paid, what is to be paid is rounded up and what is
granted is rounded down, each to a whole unit: so no order of upgrades is cheaper than the direct one, or grants more.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

DEFAULT_PLAN = "free"
_TICK = timedelta(microseconds=1)


class Period(StrEnum):
    """How long what was paid lasts."""

    MONTH = "month"
    YEAR = "year"


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan of the deployment."""

    name: str = DEFAULT_PLAN
    title: str = ""
    price: int = 0
    """For each period, in minor units of the currency."""
    currency: str = "EUR"
    period: Period = Period.MONTH
    credits: int = 0
    """Granted at the beginning of each period, once it is paid."""
    rollover_credits: int = 0
    """How many of them, when they are left at the end of the period, last into the next one."""
    metered: bool = False
    """Whether jobs are refused that the balance does not cover. Where it is not, jobs are counted all the same."""
    signup_credits: int = 0
    in_flight: int = 4
    """Jobs of one user that run at once; for people to read, the job service sees to it."""
    pinned: int = 50
    retention_days: Mapping[str, float | None] = field(default_factory=dict)

    def costs_more_than(self, other: Plan) -> bool:
        """Whether a change from the other plan can be paid by the day: same currency, same period, higher price."""
        return (self.currency, self.period) == (other.currency, other.period) and self.price > other.price


class Plans:
    """The plans of the deployment, cheapest first; an unknown one is the default one."""

    def __init__(self, *plans: Plan) -> None:
        known = {plan.name: plan for plan in (Plan(), *plans)}
        self._plans = {plan.name: plan for plan in sorted(known.values(), key=lambda plan: (plan.price, plan.name))}

    def of(self, name: str) -> Plan:
        """The plan by whose rules a user of this plan lives."""
        return self._plans.get(name) or self._plans[DEFAULT_PLAN]

    def find(self, name: str) -> Plan | None:
        """The plan of this name, if the deployment has it."""
        return self._plans.get(name)

    def __iter__(self) -> Iterator[Plan]:
        return iter(self._plans.values())


def boundary(anchor: datetime, period: Period, count: int) -> datetime:
    """The moment `count` periods after the anchor. Always reckoned from the anchor, so that who began on the 31st pays
    on the last day of February and on the 31st of March.
    """
    months = anchor.month - 1 + count * (12 if period is Period.YEAR else 1)
    year, month = anchor.year + months // 12, months % 12 + 1
    return anchor.replace(year=year, month=month, day=min(anchor.day, monthrange(year, month)[1]))


def part_to_pay(amount: int, left: timedelta, whole: timedelta) -> int:
    """What the part of a period that is left costs of `amount`, rounded up."""
    return -(-amount * _share(left, whole) // (whole // _TICK))


def part_to_grant(amount: int, left: timedelta, whole: timedelta) -> int:
    """What is granted of `amount` for the part of a period that is left, rounded down."""
    return amount * _share(left, whole) // (whole // _TICK)


def _share(left: timedelta, whole: timedelta) -> int:
    return min(max(left, timedelta(0)), whole) // _TICK

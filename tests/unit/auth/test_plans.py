"""Periods and the arithmetic of parts of them (A6)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain.plans import Period, Plan, Plans, boundary, part_to_grant, part_to_pay

MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - UTC is added
AMOUNTS = st.integers(0, 10**7)


@pytest.mark.parametrize(
    ("anchor", "period", "count", "expected"),
    [
        ("2026-01-31", Period.MONTH, 1, "2026-02-28"),
        ("2026-01-31", Period.MONTH, 2, "2026-03-31"),
        ("2024-01-31", Period.MONTH, 1, "2024-02-29"),
        ("2026-11-30", Period.MONTH, 3, "2027-02-28"),
        ("2026-12-05", Period.MONTH, 1, "2027-01-05"),
        ("2024-02-29", Period.YEAR, 1, "2025-02-28"),
        ("2024-02-29", Period.YEAR, 4, "2028-02-29"),
    ],
)
def test_A6_a_period_ends_on_the_day_of_the_month_on_which_it_began(
    anchor: str, period: Period, count: int, expected: str
) -> None:
    """A6: or on the last day of a month that is too short."""
    begun = datetime.fromisoformat(f"{anchor}T10:30:00+00:00")
    assert boundary(begun, period, count) == datetime.fromisoformat(f"{expected}T10:30:00+00:00")


@given(MOMENTS, st.sampled_from(Period))
def test_A6_periods_follow_each_other(anchor: datetime, period: Period) -> None:
    """A6: each longer than four weeks, so that the grace is always over before the next one."""
    moments = [boundary(anchor, period, count) for count in range(26)]
    assert moments[0] == anchor
    assert all(late - early >= timedelta(days=28) for early, late in pairwise(moments))


@given(AMOUNTS, MOMENTS, st.floats(0, 1))
def test_A6_a_part_costs_never_less_than_nothing_or_more_than_the_whole(
    amount: int, begun: datetime, share: float
) -> None:
    """A6: and what is granted for it is never worth more than what is paid for it."""
    whole = boundary(begun, Period.MONTH, 1) - begun
    left = whole * share
    assert 0 <= part_to_grant(amount, left, whole) <= part_to_pay(amount, left, whole) <= amount
    assert part_to_pay(amount, left, whole) - part_to_grant(amount, left, whole) <= 1
    assert (part_to_pay(amount, whole, whole), part_to_grant(amount, whole, whole)) == (amount, amount)
    assert part_to_pay(amount, timedelta(0), whole) == 0


@given(st.lists(AMOUNTS, min_size=3, max_size=3), st.lists(st.floats(0, 1), min_size=2, max_size=2))
def test_A6_two_steps_are_never_cheaper_than_one(prices: list[int], shares: list[float]) -> None:
    """A6: going by way of a plan in between, at once or later, saves nothing and grants nothing extra."""
    whole = timedelta(days=30)
    low, middle, high = sorted(prices)
    early, late = sorted((whole * share for share in shares), reverse=True)
    direct = part_to_pay(high - low, early, whole)
    assert part_to_pay(middle - low, early, whole) + part_to_pay(high - middle, early, whole) >= direct
    granted = part_to_grant(middle - low, early, whole) + part_to_grant(high - middle, late, whole)
    assert granted <= part_to_grant(high - low, early, whole)


def test_A6_the_default_plan_is_always_there_and_stands_in_for_what_is_not() -> None:
    """A6: a plan that was taken out of the configuration."""
    plans = Plans(Plan("studio", price=60), Plan("pro", price=20))
    assert [plan.name for plan in plans] == ["free", "pro", "studio"]
    assert (plans.of("gone").name, plans.find("gone")) == ("free", None)
    assert Plans(Plan("free", metered=True)).of("gone").metered


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (Plan("a", price=9), True),
        (Plan("a", price=10), False),
        (Plan("a", price=9, currency="USD"), False),
        (Plan("a", price=9, period=Period.YEAR), False),
    ],
)
def test_A6_only_a_dearer_plan_of_one_kind_is_paid_by_the_day(other: Plan, expected: bool) -> None:
    """A6."""
    assert Plan("b", price=10).costs_more_than(other) is expected

"""The part of `bootstrap` that builds plans, credits and billing."""

from __future__ import annotations

from services.auth.domain.plans import Period, Plan, Plans
from services.auth.settings import AuthSettings
from services.runtime.plans import PlanSettings


def known_plans(settings: AuthSettings) -> Plans:
    """The plans as the domain knows them."""
    return Plans(*(_plan(name, plan) for name, plan in settings.plans.items()))


def _plan(name: str, plan: PlanSettings) -> Plan:
    return Plan(
        name=name,
        title=plan.title or name,
        price=plan.price,
        currency=plan.currency,
        period=Period(plan.period),
        credits=plan.credits,
        rollover_credits=plan.rollover_credits,
        metered=plan.metered,
        signup_credits=plan.signup_credits,
        in_flight=plan.in_flight,
        pinned=plan.pinned,
        retention_days={str(kind): days for kind, days in plan.retention_days.items()},
    )

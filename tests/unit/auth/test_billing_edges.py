"""What operators write about plans and billing, and what errors of billing are on the wire (A6, J5)."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.auth.api.errors import TABLE
from services.auth.bootstrap.billing import known_plans
from services.auth.domain import billing_errors
from services.auth.domain.errors import AuthError
from services.auth.domain.plans import DEFAULT_PLAN
from services.auth.settings import AuthSettings
from services.job.domain.order import DEFAULT_PLAN as DEFAULT_PLAN_OF_JOB
from services.job.domain.plan import Kept
from services.job.settings import JobSettings
from services.runtime.errors import reason_name
from services.runtime.plans import DEFAULT_PLAN as DEFAULT_PLAN_OF_ALL

EXPECTED = {
    "AlreadySubscribed": ("ALREADY_EXISTS", "ALREADY_EXISTS"),
    "BillingEventsNotTaken": ("FAILED_PRECONDITION", "STATE_CONFLICT"),
    "BillingRequestConflict": ("ALREADY_EXISTS", "IDEMPOTENCY_CONFLICT"),
    "ChargeNotFound": ("NOT_FOUND", "NOT_FOUND"),
    "ChargeSettled": ("FAILED_PRECONDITION", "STATE_CONFLICT"),
    "NotRefundable": ("FAILED_PRECONDITION", "STATE_CONFLICT"),
    "ProviderAway": ("UNAVAILABLE", "UNAVAILABLE"),
    "SignatureInvalid": ("INVALID_ARGUMENT", "VALIDATION_FAILED"),
    "SubscriptionNotFound": ("NOT_FOUND", "NOT_FOUND"),
    "SubscriptionUnpaid": ("FAILED_PRECONDITION", "STATE_CONFLICT"),
    "UnknownPlan": ("INVALID_ARGUMENT", "VALIDATION_FAILED"),
}
PLANS = """{"free": {"metered": true, "signup_credits": 20},
  "pro": {"price": 1500, "credits": 300, "in_flight": 8, "retention_days": {"video": null}}}"""
STRIPE = {"stripe_api_key": "sk_1", "stripe_webhook_secret": "whsec_1", "billing_return_url": "https://a.example/"}


def auth(**more: Any) -> AuthSettings:
    """Settings of auth."""
    return AuthSettings(database_url="postgresql://x", keys_dir=Path("keys"), api_key_pepper="p" * 16, **more)  # type: ignore[arg-type]


def job() -> JobSettings:
    """Settings of job."""
    secrets: Any = {"service_secret": "s", "webhook_key": "k" * 32}
    return JobSettings(database_url="postgresql://x", service_id="job", **secrets)


def test_A6_every_error_of_billing_has_its_code_and_reason() -> None:
    """A6."""
    found = {}
    for name, kind in inspect.getmembers(billing_errors, inspect.isclass):
        if issubclass(kind, AuthError) and kind.__module__ == billing_errors.__name__:
            spec = TABLE.lookup(kind)
            assert spec is not None, f"{name} is not mapped"
            found[name] = (spec.code.name, reason_name(spec.reason))
    assert found == EXPECTED


def test_A6_J5_one_json_for_auth_and_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """A6, J5: each takes from it what concerns it."""
    monkeypatch.setenv("T2M_PLANS", PLANS)
    sold = known_plans(auth())
    assert [(plan.name, plan.price, plan.credits, plan.metered) for plan in sold] == [
        ("free", 0, 0, True),
        ("pro", 1500, 300, False),
    ]
    limits = job().known_plans()
    assert {plan.name: plan.in_flight for plan in limits} == {"free": 4, "pro": 8}
    assert sold.of("pro").in_flight == 8
    assert limits.of("pro").kept_for(Kept.VIDEO) is None
    assert DEFAULT_PLAN == DEFAULT_PLAN_OF_JOB == DEFAULT_PLAN_OF_ALL


def test_A6_the_plans_where_nobody_says_otherwise() -> None:
    """A6: nobody is refused for credits, who pays more has more of everything."""
    plans = list(known_plans(auth()))
    assert [plan.name for plan in plans] == ["free", "pro", "studio"]
    assert not any(plan.metered for plan in plans)
    for values in ([getattr(plan, name) for plan in plans] for name in ("price", "credits", "in_flight", "pinned")):
        assert values == sorted(set(values))
    assert {plan.name for plan in job().known_plans()} == {plan.name for plan in plans}


@pytest.mark.parametrize(
    ("plan", "field"),
    [
        ('{"pro": {"prise": 1}}', "prise"),
        ('{"pro": {"price": -1}}', "price"),
        ('{"pro": {"currency": "euro"}}', "currency"),
        ('{"pro": {"period": "week"}}', "period"),
        ('{"pro": {"in_flight": 0}}', "in_flight"),
        ('{"pro": {"retention_days": {"audio": 1}}}', "retention_days"),
    ],
)
def test_A6_a_plan_that_nobody_understands_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, plan: str, field: str
) -> None:
    """A6: of either service, and says which field."""
    monkeypatch.setenv("T2M_PLANS", plan)
    for settings in (auth, job):
        with pytest.raises(ValidationError, match=field):
            settings()


@pytest.mark.parametrize("missing", [*STRIPE, "nothing"])
def test_A6_stripe_needs_all_of_its_settings(missing: str) -> None:
    """A6: a webhook without a secret would believe anybody."""
    given: dict[str, Any] = {name: value for name, value in STRIPE.items() if name != missing}
    if missing == "nothing":
        assert auth(billing_provider="stripe", **given).billing_provider == "stripe"
        return
    with pytest.raises(ValidationError, match=missing):
        auth(billing_provider="stripe", **given)


def test_A6_the_grace_is_shorter_than_a_period() -> None:
    """A6: or the next period would begin unpaid."""
    with pytest.raises(ValidationError, match="billing_grace_days"):
        auth(billing_grace_days=29)

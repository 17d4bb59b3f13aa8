"""Plans, subscriptions, charges and usage as protos."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error

from services.auth.api.codec import encode_time
from services.auth.application.billing_ports import Current, LedgerEntry, UsageDay
from services.auth.domain.charges import Charge, ChargeState, Purpose
from services.auth.domain.errors import InvalidValue
from services.auth.domain.plans import Period, Plan
from services.auth.domain.subscription import Subscription, SubscriptionState
from t2m.auth.v1 import subscription_service_pb2 as pb

PAGE_DEFAULT = 50

_PERIODS = {Period.MONTH: pb.PLAN_PERIOD_MONTH, Period.YEAR: pb.PLAN_PERIOD_YEAR}
_STATES = {
    SubscriptionState.INCOMPLETE: pb.SUBSCRIPTION_STATE_INCOMPLETE,
    SubscriptionState.ACTIVE: pb.SUBSCRIPTION_STATE_ACTIVE,
    SubscriptionState.PAST_DUE: pb.SUBSCRIPTION_STATE_PAST_DUE,
}
_PURPOSES = {
    Purpose.SUBSCRIBE: pb.CHARGE_PURPOSE_SUBSCRIBE,
    Purpose.RENEW: pb.CHARGE_PURPOSE_RENEW,
    Purpose.UPGRADE: pb.CHARGE_PURPOSE_UPGRADE,
}
_CHARGE_STATES = {
    ChargeState.DUE: pb.CHARGE_STATE_DUE,
    ChargeState.OPEN: pb.CHARGE_STATE_OPEN,
    ChargeState.PAID: pb.CHARGE_STATE_PAID,
    ChargeState.VOIDING: pb.CHARGE_STATE_VOID,
    ChargeState.VOID: pb.CHARGE_STATE_VOID,
    ChargeState.REFUNDING: pb.CHARGE_STATE_REFUNDED,
    ChargeState.REFUNDED: pb.CHARGE_STATE_REFUNDED,
}


def encode_plan(plan: Plan) -> pb.Plan:
    """A plan."""
    return pb.Plan(
        name=plan.name,
        title=plan.title,
        price=plan.price,
        currency=plan.currency,
        period=_PERIODS[plan.period],
        credits=plan.credits,
        rollover_credits=plan.rollover_credits,
        metered=plan.metered,
        signup_credits=plan.signup_credits,
        in_flight=plan.in_flight,
        pinned=plan.pinned,
    )


def encode_current(current: Current) -> pb.CurrentSubscription:
    """What applies to a user."""
    if current.subscription is None:
        return pb.CurrentSubscription(plan=current.plan)
    subscription = _subscription(current.subscription)
    if current.charge is not None:
        subscription.charge.CopyFrom(encode_charge(current.charge))
    return pb.CurrentSubscription(plan=current.plan, subscription=subscription)


def _subscription(found: Subscription) -> pb.Subscription:
    return pb.Subscription(
        subscription_id=found.subscription_id,
        plan=found.plan,
        state=_STATES[found.state],
        period_start=encode_time(found.period_start),
        period_end=encode_time(found.period_end),
        cancel_at_period_end=found.cancel_at_period_end,
        next_plan=found.next_plan,
        created_at=encode_time(found.created_at),
    )


def encode_charge(charge: Charge) -> pb.Charge:
    """A charge."""
    return pb.Charge(
        charge_id=charge.charge_id,
        plan=charge.plan,
        purpose=_PURPOSES[charge.purpose],
        amount=charge.amount,
        currency=charge.currency,
        state=_CHARGE_STATES[charge.state],
        page_url=charge.page_url,
        failure=charge.failure,
        created_at=encode_time(charge.created_at),
        settled_at=encode_time(charge.settled_at) if charge.settled_at else None,
        credits=charge.credits,
    )


def encode_usage(usage: UsageDay) -> pb.UsageDay:
    """A day, or a sum of days."""
    return pb.UsageDay(
        date=usage.day.isoformat() if usage.day else "",
        jobs_ordered=usage.jobs_ordered,
        jobs_completed=usage.jobs_completed,
        credits_reserved=usage.reserved,
        credits_spent=usage.spent,
        credits_released=usage.released,
        credits_refunded=usage.refunded,
        credits_granted=usage.granted,
        credits_expired=usage.expired,
    )


def encode_entry(entry: LedgerEntry) -> pb.LedgerEntry:
    """An entry of the ledger."""
    return pb.LedgerEntry(
        entry_id=entry.entry_id,
        transaction_id=entry.transaction_id,
        book=entry.book,
        amount=entry.amount,
        kind=entry.kind,
        job_id=entry.job_id,
        created_at=encode_time(entry.created_at),
    )


def encode_position(position: str) -> str:
    """The page token that goes on after this position. It opens nothing: every query asks for the owner's rows."""
    return urlsafe_b64encode(position.encode()).decode().rstrip("=")


def decode_position(token: str) -> str:
    """The position; empty without a token. Raises InvalidValue."""
    try:
        return urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode("ascii")
    except (Base64Error, ValueError) as error:
        raise InvalidValue([("page_token", "is not one of ours")]) from error

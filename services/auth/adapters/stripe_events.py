"""Stripe's events: signed over the bytes of their body, read only then."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import stripe

from services.auth.application.billing_ports import ProviderEvent
from services.auth.domain.billing_errors import SignatureInvalid
from services.auth.domain.charges import Outcome, Result

TOLERANCE = timedelta(minutes=5)
"""How old, or how far ahead, a signature may be: a copy that somebody kept is worth nothing later."""


class StripeEvents:
    """The `EventReader` of Stripe."""

    def __init__(self, secret: str) -> None:
        """`secret`: of the endpoint, as Stripe shows it (`whsec_…`)."""
        self._secret = secret

    def read(self, body: bytes, signature: str, now: datetime) -> ProviderEvent:
        """The event. Raises SignatureInvalid."""
        try:
            stripe.WebhookSignature.verify_header(body, signature, self._secret)
            signed_at = int(next(part[2:] for part in signature.split(",") if part.startswith("t=")))
            event = json.loads(body)
            kind, event_id, subject = event["type"], event["id"], event["data"]["object"]
        except (stripe.SignatureVerificationError, ValueError, TypeError, KeyError, StopIteration) as error:
            raise SignatureInvalid from error
        if abs(now.timestamp() - signed_at) > TOLERANCE.total_seconds():
            raise SignatureInvalid("the signature of the event is too old")
        if not (isinstance(kind, str) and isinstance(event_id, str) and isinstance(subject, dict)):
            raise SignatureInvalid("the body is no event")
        return _event(event_id, kind, subject)


def _event(event_id: str, kind: str, subject: dict[str, Any]) -> ProviderEvent:
    metadata = subject.get("metadata") or {}
    charge_id, attempt = str(metadata.get("charge_id", "")), str(metadata.get("attempt", ""))
    outcome = _outcome(kind, subject, int(attempt)) if charge_id and attempt.isdecimal() else None
    page = kind.startswith("checkout.")
    amount = subject.get("amount_total" if page else "amount")
    return ProviderEvent(
        event_id, charge_id, amount if isinstance(amount, int) else 0, str(subject.get("currency")), outcome
    )


def _outcome(kind: str, subject: dict[str, Any], attempt: int) -> Outcome | None:
    """What follows from an event; None where nothing does. Whether it is news, the state of the charge decides."""
    match kind:
        case "checkout.session.completed" | "checkout.session.async_payment_succeeded":
            if subject.get("payment_status") != "paid":
                return None
            return Outcome(Result.PAID, attempt, str(subject.get("payment_intent") or ""))
        case "payment_intent.succeeded":
            return Outcome(Result.PAID, attempt, str(subject.get("id")))
        case "checkout.session.expired":
            return Outcome(Result.DECLINED, attempt, reason="the page to pay on has expired")
        case "checkout.session.async_payment_failed":
            return Outcome(Result.DECLINED, attempt, reason="the payment has failed")
        case "payment_intent.payment_failed":
            # Of a page the payer may try another card there: only the failure of what is waited for counts.
            return Outcome(Result.DECLINED, attempt, str(subject.get("id")), reason="the payment has failed")
        case _:
            return None

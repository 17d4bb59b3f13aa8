"""Billing by Stripe: the first payment on Stripe's own page, which keeps the card; later ones by that card.

Stripe learns a random customer id, the amount and the name of the plan; no card data comes here, no data of a user
goes there. Each request that moves money carries the name of the attempt as its idempotency key. Stripe forgets keys
after a day, so what the customer has paid is looked up before a card is charged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar

import stripe
import structlog

from services.auth.domain.billing_errors import ProviderAway
from services.auth.domain.charges import Charge, Outcome, Result

_LOOKED_AT = 100
_RETRIES = 1
"""Within one call, under the same key; after that the charge is asked about again later."""

_log = structlog.get_logger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StripeOptions:
    """How to reach Stripe."""

    api_key: str
    return_url: str
    """Where Stripe's page sends the payer back to."""
    api_url: str = "https://api.stripe.com"
    timeout_s: float = 10.0
    """Of one request."""


class StripeBilling:
    """The `BillingProvider` over Stripe's API."""

    def __init__(self, options: StripeOptions) -> None:
        stripe.enable_telemetry = False
        self._options = options
        self._http = stripe.HTTPXClient(timeout=options.timeout_s)
        self._api = stripe.StripeClient(
            options.api_key,
            base_addresses={"api": options.api_url},
            http_client=self._http,
            max_network_retries=_RETRIES,
        ).v1

    async def close(self) -> None:
        """End the connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    async def customer(self, user_id: str) -> str:
        """A customer of whom Stripe knows nothing but the id. The key is random, as the user's id is."""
        made = await self._answer(
            self._api.customers.create_async({}, options={"idempotency_key": f"customer-{user_id}"})
        )
        return made.id

    async def collect(self, charge: Charge, customer_id: str) -> Outcome:
        """Charge the customer's card, or open a page where there is none and the payer can be sent to it."""
        known = await self._known_payment(charge, customer_id)
        if known is not None:
            return known
        try:
            card = await self._card(customer_id)
            if charge.present and (card is None or charge.attempt > 1):
                return await self._open_page(charge, customer_id)
            if card is None:
                return Outcome(Result.DECLINED, charge.attempt, reason="there is no card to be charged")
            return await self._charge_card(charge, customer_id, card)
        except stripe.CardError as declined:
            reason = declined.user_message or "the card was declined"
            return Outcome(Result.DECLINED, charge.attempt, reason=reason)
        except stripe.InvalidRequestError as refused:
            _log.error("stripe refuses a charge", charge_id=charge.charge_id, code=refused.code, param=refused.param)
            reason = f"the payment provider refuses this amount ({refused.code or 'invalid request'})"
            return Outcome(Result.DECLINED, charge.attempt, reason=reason)

    async def void(self, charge: Charge, customer_id: str) -> Outcome:
        """Close the pages and cancel the payments of the charge."""
        if not customer_id:
            return Outcome(Result.VOIDED, charge.attempt)
        try:
            for page in await self._pages(charge, customer_id):
                if page.status == "open":
                    await self._answer(self._api.checkout.sessions.expire_async(page.id))
            for payment in await self._payments(charge, customer_id):
                if payment.status == "succeeded":
                    return Outcome(Result.PAID, charge.attempt, payment.id)
                if payment.status != "canceled":
                    await self._answer(self._api.payment_intents.cancel_async(payment.id))
        except stripe.InvalidRequestError as refused:  # it was being paid at this moment: look again later
            raise ProviderAway(f"cannot be withdrawn now: {refused.code or 'invalid request'}") from refused
        return Outcome(Result.VOIDED, charge.attempt)

    async def refund(self, charge: Charge) -> Outcome:
        """Pay it back as a whole."""
        key = f"{charge.charge_id}-refund"
        try:
            asked = self._api.refunds.create_async({"payment_intent": charge.reference}, {"idempotency_key": key})
            await self._answer(asked)
        except stripe.InvalidRequestError as refused:
            if refused.code != "charge_already_refunded":
                raise ProviderAway(f"cannot be refunded: {refused.code or 'invalid request'}") from refused
        return Outcome(Result.REFUNDED, charge.attempt)

    async def _known_payment(self, charge: Charge, customer_id: str) -> Outcome | None:
        for payment in await self._payments(charge, customer_id):
            if payment.status == "succeeded":
                return Outcome(Result.PAID, charge.attempt, payment.id)
            if payment.status == "processing":
                return Outcome(Result.OPEN, charge.attempt, payment.id)
        return None

    async def _charge_card(self, charge: Charge, customer_id: str, card: str) -> Outcome:
        made = await self._answer(
            self._api.payment_intents.create_async(
                {
                    "amount": charge.amount,
                    "currency": charge.currency.lower(),
                    "customer": customer_id,
                    "payment_method": card,
                    "off_session": True,
                    "confirm": True,
                    "metadata": _metadata(charge),
                },
                {"idempotency_key": f"{charge.attempt_id}-card"},
            )
        )
        if made.status == "succeeded":
            return Outcome(Result.PAID, charge.attempt, made.id)
        if made.status == "processing":
            return Outcome(Result.OPEN, charge.attempt, made.id)
        return Outcome(Result.DECLINED, charge.attempt, reason="the bank asks for a confirmation; pay it yourself")

    async def _open_page(self, charge: Charge, customer_id: str) -> Outcome:
        made = await self._answer(
            self._api.checkout.sessions.create_async(
                {
                    "mode": "payment",
                    "customer": customer_id,
                    "client_reference_id": charge.charge_id,
                    "line_items": [
                        {
                            "quantity": 1,
                            "price_data": {
                                "currency": charge.currency.lower(),
                                "unit_amount": charge.amount,
                                "product_data": {"name": charge.plan},
                            },
                        }
                    ],
                    "payment_intent_data": {"setup_future_usage": "off_session", "metadata": _metadata(charge)},
                    "metadata": _metadata(charge),
                    "success_url": self._options.return_url,
                    "cancel_url": self._options.return_url,
                },
                {"idempotency_key": f"{charge.attempt_id}-page"},
            )
        )
        return Outcome(Result.OPEN, charge.attempt, made.id, page_url=made.url or "")

    async def _card(self, customer_id: str) -> str | None:
        """The card that was added last."""
        cards = await self._answer(
            self._api.customers.payment_methods.list_async(customer_id, {"type": "card", "limit": 1})
        )
        return cards.data[0].id if cards.data else None

    async def _payments(self, charge: Charge, customer_id: str) -> list[stripe.PaymentIntent]:
        """Payments of this charge, newest first."""
        asked = self._api.payment_intents.list_async({"customer": customer_id, "limit": _LOOKED_AT})
        return [found for found in (await self._answer(asked)).data if _is_of(found.metadata, charge)]

    async def _pages(self, charge: Charge, customer_id: str) -> list[Any]:
        asked = self._api.checkout.sessions.list_async({"customer": customer_id, "limit": _LOOKED_AT})
        return [found for found in (await self._answer(asked)).data if _is_of(found.metadata, charge)]

    async def _answer(self, asked: Awaitable[T]) -> T:
        """The answer. Raises ProviderAway, and CardError and InvalidRequestError as they are."""
        try:
            async with asyncio.timeout(self._options.timeout_s * (_RETRIES + 2)):
                return await asked
        except (stripe.CardError, stripe.InvalidRequestError):
            raise
        except (stripe.StripeError, TimeoutError) as error:
            # Never the message: it may quote the API key.
            raise ProviderAway(f"{type(error).__name__} {getattr(error, 'http_status', None) or ''}".strip()) from error


def _metadata(charge: Charge) -> dict[str, str]:
    return {"charge_id": charge.charge_id, "attempt": str(charge.attempt)}


def _is_of(metadata: Any, charge: Charge) -> bool:
    return bool(metadata) and getattr(metadata, "charge_id", None) == charge.charge_id

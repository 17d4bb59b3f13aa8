"""The part of `bootstrap` that builds plans, subscriptions and billing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from services.auth.adapters.invoice_billing import InvoiceBilling
from services.auth.adapters.postgres.billing import PostgresBilling
from services.auth.adapters.postgres.ledger import PostgresLedger
from services.auth.api.billing_servicer import BillingServicer
from services.auth.api.subscription_servicer import SubscriptionServicer
from services.auth.application.billing_ports import BillingProvider
from services.auth.application.payments import INVOICE, Payments
from services.auth.application.ports import Clock, Ids
from services.auth.application.subscriptions import Subscriptions
from services.auth.application.usage import Usage
from services.auth.domain.billing import BillingRules
from services.auth.domain.plans import Period, Plan, Plans
from services.auth.settings import AuthSettings
from services.runtime.plans import PlanSettings
from services.runtime.server import BackgroundTask
from t2m.auth.v1 import billing_service_pb2_grpc, subscription_service_pb2_grpc

if TYPE_CHECKING:
    from services.auth.adapters.stripe_billing import StripeBilling

_PURGE_EVERY_S = 3600.0


@dataclass(frozen=True, slots=True)
class BillingPart:
    """Subscriptions and what belongs to them."""

    subscriptions: Subscriptions
    payments: Payments
    usage: Usage
    poll_s: float
    stripe: StripeBilling | None = None

    def add_services(self, server: grpc.aio.Server) -> Sequence[str]:
        """Register the servicers; the full names of their services."""
        subscription_service_pb2_grpc.add_SubscriptionServiceServicer_to_server(
            SubscriptionServicer(self.subscriptions, self.usage), server
        )
        billing_service_pb2_grpc.add_BillingServiceServicer_to_server(BillingServicer(self.payments), server)
        return "t2m.auth.v1.SubscriptionService", "t2m.auth.v1.BillingService"

    def background(self) -> list[BackgroundTask]:
        """What runs beside the calls."""
        return [
            BackgroundTask("renew subscriptions and collect charges", self._bill),
            BackgroundTask("forget billing requests", self._purge),
        ]

    async def close(self) -> None:
        """End what is open to the provider."""
        if self.stripe is not None:
            await self.stripe.close()

    async def _bill(self) -> None:
        while True:
            await self.subscriptions.on_time()
            await self.payments.run()
            await asyncio.sleep(self.poll_s)

    async def _purge(self) -> None:
        while True:
            await self.subscriptions.purge()
            await asyncio.sleep(_PURGE_EVERY_S)


def build_billing(settings: AuthSettings, engine: AsyncEngine, clock: Clock, ids: Ids) -> BillingPart:
    """Everything about subscriptions, on the database of the service."""
    plans = known_plans(settings)
    rules = BillingRules(
        grace=timedelta(days=settings.billing_grace_days),
        retries=tuple(timedelta(days=days) for days in settings.billing_retry_days),
        provider=settings.billing_provider,
    )
    store = PostgresBilling(engine, plans, rules, ids.new_id)
    providers: dict[str, BillingProvider] = {INVOICE: InvoiceBilling()}
    stripe, events = None, None
    if settings.billing_provider == "stripe":
        # Its package takes a third of a second to load, which nobody else need wait for.
        from services.auth.adapters.stripe_billing import StripeBilling, StripeOptions
        from services.auth.adapters.stripe_events import StripeEvents

        options = StripeOptions(
            settings.stripe_api_key.get_secret_value(), settings.billing_return_url, settings.stripe_api_url
        )
        providers["stripe"] = stripe = StripeBilling(options)
        events = StripeEvents(settings.stripe_webhook_secret.get_secret_value())
    payments = Payments(store, providers, clock, events)
    return BillingPart(
        subscriptions=Subscriptions(store, payments, plans, clock),
        payments=payments,
        usage=Usage(PostgresLedger(engine), clock),
        poll_s=settings.billing_poll_s,
        stripe=stripe,
    )


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

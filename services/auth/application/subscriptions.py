"""Subscribe, change, cancel; and what happens by itself when a period is over (A6)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import structlog

from services.auth.application.billing_ports import BillingStore, Current
from services.auth.application.payments import CLAIM, Payments
from services.auth.application.ports import Clock
from services.auth.domain.billing import Billing
from services.auth.domain.billing_errors import ProviderAway
from services.auth.domain.charges import TO_DO, Charge, ChargeState
from services.auth.domain.errors import UserNotFound
from services.auth.domain.plans import Plans
from services.auth.domain.subscription import Subscription

_BATCH = 100
_REMEMBERED = timedelta(days=30)
"""How long requests and events are known, so that a repeat changes nothing."""

_log = structlog.get_logger(__name__)


class Subscriptions:
    """The use cases behind `SubscriptionService`."""

    def __init__(self, store: BillingStore, payments: Payments, plans: Plans, clock: Clock) -> None:
        self._store = store
        self._payments = payments
        self._clock = clock
        self.plans = plans
        """Of the deployment."""

    async def current(self, user_id: str) -> Current:
        """What applies to the user. Raises UserNotFound."""
        current = await self._store.current(user_id)
        if current is None:
            raise UserNotFound
        return current

    async def subscribe(self, user_id: str, plan: str, request_id: str = "") -> Current:
        """Begin a subscription, or pay one. Raises UserNotFound, UnknownPlan, AlreadySubscribed,
        BillingRequestConflict.
        """
        return await self._change(user_id, lambda billing: billing.subscribe(plan), request_id, f"subscribe {plan}")

    async def upgrade(self, user_id: str, plan: str, request_id: str = "") -> Current:
        """Change the plan. Raises UserNotFound, UnknownPlan, SubscriptionNotFound, SubscriptionUnpaid,
        BillingRequestConflict.
        """
        return await self._change(user_id, lambda billing: billing.change_plan(plan), request_id, f"upgrade {plan}")

    async def cancel(self, user_id: str, request_id: str = "") -> Current:
        """End it with its period. Raises UserNotFound, SubscriptionNotFound, BillingRequestConflict."""
        return await self._change(user_id, Billing.cancel, request_id, "cancel")

    async def resume(self, user_id: str) -> Current:
        """Take a cancellation back. Raises UserNotFound, SubscriptionNotFound."""
        return await self._change(user_id, Billing.resume)

    async def end(self, user_id: str) -> None:
        """End whatever the user has, at once, and withdraw what is still to be paid: the account is being erased.

        Nothing happens to who has nothing, or is not known. Raises ProviderAway while something is left that only the
        provider can end; to be called again then.
        """
        for charge_id in await self._end(user_id):
            await self._payments.collect(charge_id)
        if left := await self._end(user_id):
            raise ProviderAway(f"{len(left)} charges are not withdrawn yet")

    async def _end(self, user_id: str) -> list[str]:
        """The charges about which the provider is still to be asked."""
        async with self._store.change(user_id, self._clock.now()) as billing:
            if billing is None:
                return []
            billing.end_now()
            return [charge.charge_id for charge in billing.charges if charge.state in TO_DO]

    async def records_of(self, user_id: str) -> tuple[list[Subscription], list[Charge]]:
        """All subscriptions and charges that the user ever had, newest first, for the export of an account."""
        charges: list[Charge] = []
        while page := await self._store.charges_of(user_id, charges[-1].charge_id if charges else "", _BATCH):
            charges += page
        return await self._store.subscriptions_of(user_id), charges

    async def charges_of(self, user_id: str, before: str, limit: int) -> list[Charge]:
        """A page of the user's charges, newest first."""
        return await self._store.charges_of(user_id, before, limit)

    async def outstanding(self) -> list[Charge]:
        """Charges that wait for a payment, for the operator."""
        return await self._store.charges_in((ChargeState.DUE, ChargeState.OPEN), 1000)

    async def on_time(self) -> int:
        """Let happen what is due: periods that end, payments that never came. How many subscriptions were looked at.

        Any number of replicas may do this at once; one that another one has in hand is left to it.
        """
        users = await self._store.due(self._clock.now(), _BATCH)
        for user_id in users:
            try:
                async with self._store.change(user_id, self._clock.now(), wait=False) as billing:
                    if billing is not None:
                        billing.on_time()
            except Exception:  # one that cannot go on must not keep the others waiting
                _log.exception("subscription stuck", user_id=user_id)
        return len(users)

    async def purge(self) -> None:
        """Forget old requests and events."""
        await self._store.purge(self._clock.now() - _REMEMBERED)

    async def _change(
        self, user_id: str, change: Callable[[Billing], None], request_id: str = "", fingerprint: str = ""
    ) -> Current:
        request = (request_id, fingerprint)
        async with self._store.change(user_id, self._clock.now(), request=request) as billing:
            if billing is None:
                raise UserNotFound
            billing.on_time()
            if not billing.repeated:
                change(billing)
            # Claimed with the change, or a background task would be faster, and the payer told nothing.
            charge = billing.claim(billing.now + CLAIM)
        if charge is not None:
            await self._payments.ask(charge)
        return await self.current(user_id)

"""Have charges paid: ask the provider, listen to what it tells, each charge once (A6).

What is to be asked is a row first; the answer is stored with everything that follows from it. Whoever dies in between
leaves a claim that ends, and the next one asks the same question again, under the same name.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import structlog

from services.auth.application.billing_ports import BillingProvider, BillingStore, EventReader
from services.auth.application.ports import Clock
from services.auth.domain.billing_errors import (
    BillingEventsNotTaken,
    ChargeNotFound,
    ChargeSettled,
    ProviderAway,
    SignatureInvalid,
)
from services.auth.domain.charges import WANTED, Charge, ChargeState, Outcome, Result

CLAIM = timedelta(minutes=2)
"""Longer than any answer of a provider takes."""
PAUSE = timedelta(seconds=30)
"""Before a provider that did not answer is asked again."""
INVOICE = "invoice"
_BATCH = 100

_log = structlog.get_logger(__name__)


class Payments:
    """Moves charges on."""

    def __init__(
        self,
        store: BillingStore,
        providers: Mapping[str, BillingProvider],
        clock: Clock,
        events: EventReader | None = None,
    ) -> None:
        self._store = store
        self._providers = providers
        self._clock = clock
        self._events = events

    async def run(self) -> int:
        """Ask about every charge whose time has come; how many."""
        for count in range(_BATCH):
            if not await self.collect():
                return count
        return _BATCH

    async def collect(self, charge_id: str = "") -> bool:
        """Ask the provider about this charge, or about any; whether there was something to ask."""
        now = self._clock.now()
        charge = await self._store.claim(now, now + CLAIM, charge_id)
        if charge is None:
            return False
        await self.ask(charge)
        return True

    async def ask(self, charge: Charge) -> None:
        """Ask the provider about a charge that the caller has claimed."""
        try:
            outcome = await self._answer(charge)
        except ProviderAway as away:
            _log.warning("billing provider away", charge_id=charge.charge_id, state=charge.state, reason=str(away))
            await self._store.postpone(charge.charge_id, self._clock.now() + PAUSE)
        else:
            await self._record(charge, outcome)

    async def receive(self, body: bytes, signature: str) -> None:
        """An event of the provider. Raises BillingEventsNotTaken, SignatureInvalid."""
        if self._events is None:
            raise BillingEventsNotTaken
        event = self._events.read(body, signature, self._clock.now())
        charge = await self._store.charge(event.charge_id) if event.charge_id and event.outcome else None
        if charge is None or event.outcome is None:
            _log.info("billing event passed over", event_id=event.event_id)
            return
        if (event.amount, event.currency.upper()) != (charge.amount, charge.currency):
            _log.error("billing event of another amount", event_id=event.event_id, charge_id=charge.charge_id)
            raise SignatureInvalid("the event is not about what was charged")
        await self._record(charge, event.outcome, event.event_id)

    async def mark_paid(self, charge_id: str, reference: str) -> Charge:
        """An invoice was paid, says the operator. Raises ChargeNotFound, ChargeSettled."""
        charge = await self._store.charge(charge_id)
        if charge is None or charge.provider != INVOICE:
            raise ChargeNotFound
        if charge.state not in WANTED:
            raise ChargeSettled(charge.state)
        await self._record(charge, Outcome(Result.PAID, charge.attempt, reference or f"operator {charge_id}"))
        return await self._store.charge(charge_id) or charge

    async def _answer(self, charge: Charge) -> Outcome:
        provider = self._providers.get(charge.provider)
        if provider is None:
            raise ProviderAway(f"{charge.provider} is not configured")
        match charge.state:
            case ChargeState.VOIDING:
                return await provider.void(charge, await self._store.customer(charge.user_id, charge.provider) or "")
            case ChargeState.REFUNDING:
                return await provider.refund(charge)
            case _:
                return await provider.collect(charge, await self._customer(charge, provider))

    async def _customer(self, charge: Charge, provider: BillingProvider) -> str:
        known = await self._store.customer(charge.user_id, charge.provider)
        if known is not None:
            return known
        made = await provider.customer(charge.user_id)
        return await self._store.keep_customer(charge.user_id, charge.provider, made)

    async def _record(self, asked: Charge, outcome: Outcome, event_id: str = "") -> None:
        changing = self._store.change(asked.user_id, self._clock.now(), charge_id=asked.charge_id, event_id=event_id)
        async with changing as billing:
            if billing is None:  # the account is gone; nothing is left to be granted
                _log.error("charge of an unknown user", charge_id=asked.charge_id, result=outcome.result)
                return
            if billing.repeated:
                return
            [charge] = [each for each in billing.charges if each.charge_id == asked.charge_id]
            if charge.state is ChargeState.PAID and outcome.result is Result.PAID and outcome.reference:
                if outcome.reference != charge.reference:
                    _log.error("charge paid twice", charge_id=charge.charge_id, reference=outcome.reference)
                return
            billing.take(charge, outcome)
            _log.info("charge", charge_id=charge.charge_id, result=outcome.result, state=charge.state)

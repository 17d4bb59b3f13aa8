"""What an order costs, and the credits that are set aside for it (A6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import structlog

from services.job.application.neighbours import Credits, CreditsAway, CreditsRefused
from services.job.application.ports import Delivery
from services.job.domain.errors import CreditsExhausted, CreditsUnavailable
from services.job.domain.events import ConfirmCredits, ReleaseCredits, SettleCredits
from services.job.domain.order import Order
from services.job.domain.values import Quality

_log = structlog.get_logger(__name__)


class Reservations:
    """Prices orders and reserves what they cost. A job that is never stored leaves a reservation that lapses."""

    def __init__(self, credit_accounts: Credits, prices: Mapping[Quality, int]) -> None:
        self._credits = credit_accounts
        self._prices = prices

    def price(self, quality: Quality) -> int:
        """What a job of this quality costs."""
        return self._prices.get(quality, 0)

    async def reserve(self, order: Order, job_id: str) -> Order:
        """The order with its price, which is set aside. Raises CreditsExhausted, CreditsUnavailable."""
        cost = self.price(order.quality)
        if not cost:
            return replace(order, credit_cost=0)
        try:
            await self._credits.reserve(order.owner_id, job_id, cost)
        except CreditsRefused as refused:
            raise CreditsExhausted(str(refused)) from refused
        except CreditsAway as away:
            raise CreditsUnavailable from away
        return replace(order, credit_cost=cost)

    async def withdraw(self, job_id: str) -> None:
        """Give back what was set aside for a job that was certainly not stored; else it lapses by itself."""
        try:
            await self._credits.release(job_id)
        except CreditsAway as away:
            _log.info("reservation left to lapse", job_id=job_id, reason=str(away))


class CreditCommands:
    """The `Handler` of the lane `credits`."""

    def __init__(self, credit_accounts: Credits) -> None:
        self._credits = credit_accounts

    async def handle(self, delivery: Delivery) -> None:
        """Confirm, spend or give back. Raises CreditsAway."""
        command = delivery.command
        try:
            match command:
                case ConfirmCredits():
                    await self._credits.confirm(command.job_id)
                case SettleCredits():
                    await self._credits.settle(command.job_id)
                case ReleaseCredits():
                    await self._credits.release(command.job_id)
        except CreditsRefused as refused:
            # Another try would be refused alike; the ledger and the jobs disagree, which somebody must look at.
            _log.error("credits refused", job_id=command.job_id, command=type(command).__name__, reason=str(refused))

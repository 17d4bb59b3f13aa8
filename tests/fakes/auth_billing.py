"""Billing of auth in memory; `tests/contract/test_auth_billing.py` proves it equal to Postgres."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, datetime

from services.auth.application.billing_ports import Current, LedgerEntry, UsageDay
from services.auth.domain.billing import Billing, BillingRules
from services.auth.domain.billing_errors import BillingRequestConflict
from services.auth.domain.charges import TO_DO, WANTED, Charge, ChargeState
from services.auth.domain.credits import Book, Transfer
from services.auth.domain.plans import Plans
from services.auth.domain.subscription import Subscription
from tests.fakes.auth_credits import FakeCreditStore


class FakeBillingStore:
    """`BillingStore` in memory, over the accounts of a `FakeCreditStore`."""

    def __init__(self, accounts: FakeCreditStore, plans: Plans, rules: BillingRules, new_id: Callable[[], str]) -> None:
        self._accounts = accounts
        self._terms: tuple[Plans, BillingRules, Callable[[], str]] = (plans, rules, new_id)
        self._subscriptions: dict[str, Subscription] = {}
        self._charges: dict[str, Charge] = {}
        self._customers: dict[tuple[str, str], str] = {}
        self._requests: dict[tuple[str, str], tuple[str, datetime]] = {}
        self._events: dict[str, datetime] = {}

    @asynccontextmanager
    async def change(
        self,
        user_id: str,
        now: datetime,
        *,
        request: tuple[str, str] = ("", ""),
        charge_id: str = "",
        event_id: str = "",
        wait: bool = True,
    ) -> AsyncIterator[Billing | None]:
        """Everything under the lock of the account."""
        if not wait and self._accounts.locked(user_id):
            yield None
            return
        async with self._accounts.change(user_id, now) as account:
            if account is None:
                yield None
                return
            request_id, fingerprint = request
            known = self._requests.get((user_id, request_id)) if request_id else None
            if known is not None and known[0] != fingerprint:
                raise BillingRequestConflict
            billing = Billing(account, *self._terms)
            billing.repeated = known is not None or event_id in self._events
            billing.subscription = self._live(user_id)
            billing.charges = [
                replace(charge)
                for charge in self._charges.values()
                if charge.user_id == user_id and (charge.state in TO_DO | WANTED or charge.charge_id == charge_id)
            ]
            billing.used = self._used(billing.subscription)
            yield billing
            if request_id and known is None:
                self._requests[user_id, request_id] = (fingerprint, now)
            if event_id:
                self._events.setdefault(event_id, now)
            for subscription in (*billing.ended, *filter(None, [billing.subscription])):
                self._subscriptions[subscription.subscription_id] = replace(subscription)
            self._charges |= {charge.charge_id: replace(charge) for charge in billing.charges}

    async def due(self, now: datetime, limit: int) -> list[str]:
        """Longest due first."""
        due = [
            (each.due_at, each.user_id) for each in self._subscriptions.values() if each.due_at and each.due_at <= now
        ]
        return [user_id for _, user_id in sorted(due)][:limit]

    async def claim(self, now: datetime, until: datetime, charge_id: str = "") -> Charge | None:
        """Nobody else's until then."""
        free = [
            (charge.next_attempt_at, charge.charge_id)
            for charge in self._charges.values()
            if charge.state in TO_DO
            and charge.next_attempt_at is not None
            and charge.next_attempt_at <= now
            and (charge.claimed_until is None or charge.claimed_until <= now)
            and charge_id in ("", charge.charge_id)
        ]
        if not free:
            return None
        chosen = self._charges[min(free)[1]]
        chosen.claimed_until = until
        return replace(chosen)

    async def postpone(self, charge_id: str, until: datetime) -> None:
        """Ask again then."""
        self._charges[charge_id].claimed_until = until

    async def charge(self, charge_id: str) -> Charge | None:
        """The charge."""
        known = self._charges.get(charge_id)
        return replace(known) if known else None

    async def customer(self, user_id: str, provider: str) -> str | None:
        """The provider's name."""
        return self._customers.get((user_id, provider))

    async def keep_customer(self, user_id: str, provider: str, customer_id: str) -> str:
        """The first one stays."""
        return self._customers.setdefault((user_id, provider), customer_id)

    async def current(self, user_id: str) -> Current | None:
        """What applies."""
        if user_id not in self._accounts.plans:
            return None
        live, charge = self._live(user_id), None
        if live is not None:
            own = [each for each in self._newest(user_id) if each.subscription_id == live.subscription_id]
            charge = own[0] if own else None
        return Current(self._accounts.plans[user_id], live, charge)

    async def subscriptions_of(self, user_id: str) -> list[Subscription]:
        """Newest first."""
        own = [replace(each) for each in self._subscriptions.values() if each.user_id == user_id]
        return sorted(own, key=lambda each: each.created_at, reverse=True)

    async def charges_of(self, user_id: str, before: str, limit: int) -> list[Charge]:
        """Newest first."""
        own = self._newest(user_id)
        start = [each.charge_id for each in own].index(before) + 1 if before else 0
        return own[start : start + limit]

    async def charges_in(self, states: Sequence[ChargeState], limit: int) -> list[Charge]:
        """Oldest first."""
        found = [replace(each) for each in self._charges.values() if each.state in states]
        return sorted(found, key=lambda each: (each.created_at, each.charge_id))[:limit]

    async def purge(self, before: datetime) -> None:
        """Forget."""
        self._requests = {key: value for key, value in self._requests.items() if value[1] >= before}
        self._events = {key: value for key, value in self._events.items() if value >= before}

    def _live(self, user_id: str) -> Subscription | None:
        own = [each for each in self._subscriptions.values() if each.user_id == user_id and each.live]
        return replace(own[0]) if own else None

    def _newest(self, user_id: str) -> list[Charge]:
        own = [replace(each) for each in self._charges.values() if each.user_id == user_id]
        return sorted(own, key=lambda each: (each.created_at, each.charge_id), reverse=True)

    def _used(self, live: Subscription | None) -> int:
        if live is None or live.credits_since is None:
            return 0
        since = live.credits_since
        moved = [each for user_id, at, each in self._accounts.moved if user_id == live.user_id and at >= since]
        return -sum(_into(each, Book.AVAILABLE) for each in moved if each.job_id)


class FakeLedger:
    """`LedgerReader` over the accounts of a `FakeCreditStore`."""

    def __init__(self, accounts: FakeCreditStore) -> None:
        self._accounts = accounts

    async def usage(self, user_id: str, first: date, last: date) -> list[UsageDay]:
        """The days on which something happened."""
        days: dict[date, Counter[str]] = {}
        jobs: set[tuple[date, str, str]] = set()
        for owner, at, transfer in self._accounts.moved:
            if owner != user_id or not first <= at.date() <= last:
                continue
            day = days.setdefault(at.date(), Counter())
            names = {"reserve": "reserved", "settle": "spent", "release": "released", "lapse": "released"}
            names |= {"refund": "refunded", "expire": "expired"}
            day[names.get(transfer.kind, "granted")] += transfer.amount
            counted = {"reserve": "jobs_ordered", "settle": "jobs_completed"}.get(transfer.kind)
            if counted and (at.date(), counted, transfer.job_id) not in jobs:
                jobs.add((at.date(), counted, transfer.job_id))
                day[counted] += 1
        return [UsageDay(day, **days[day]) for day in sorted(days)]

    async def entries(self, user_id: str, before: int | None, limit: int) -> list[LedgerEntry]:
        """Newest first."""
        entries = [
            LedgerEntry(2 * number + side, str(number), book.value, amount, move.kind, move.job_id, at)
            for number, (owner, at, move) in enumerate(self._accounts.moved, 1)
            for side, (book, amount) in enumerate(((move.source, -move.amount), (move.target, move.amount)))
            if owner == user_id
        ]
        return [each for each in reversed(entries) if before is None or each.entry_id < before][:limit]

    async def faults(self) -> list[str]:
        """Balances that are not the sum of their entries."""
        sums: Counter[tuple[str, str]] = Counter()
        for user_id, _, move in self._accounts.moved:
            sums[user_id, move.source.value] -= move.amount
            sums[user_id, move.target.value] += move.amount
        return [
            f"account {user_id} differs from its entries"
            for user_id, account in self._accounts.accounts.items()
            if any(getattr(account, book) != sums[user_id, book] for book in ("available", "reserved", "spent"))
        ]


def _into(move: Transfer, book: Book) -> int:
    return move.amount * ((move.target is book) - (move.source is book))

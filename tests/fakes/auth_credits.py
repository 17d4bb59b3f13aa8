"""The credits of auth in memory; `tests/contract/test_auth_credits.py` proves them equal to Postgres."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime

from services.auth.application.credits import Desk, Wish
from services.auth.domain.credits import Account, Reservation, ReservationState, Transfer
from services.auth.domain.plans import Plan


class FakeCreditStore:
    """`CreditStore` in memory; `plans` are those of the users there are."""

    def __init__(self, plans: dict[str, str]) -> None:
        self.plans = plans
        self.moved: list[tuple[str, datetime, Transfer]] = []
        """Whose, when, what: the ledger."""
        self.accounts: dict[str, Account] = {}
        self._reservations: dict[str, Reservation] = {}
        self._grants: dict[str, tuple[str, int]] = {}
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @asynccontextmanager
    async def change(
        self, user_id: str, now: datetime, *, job_id: str = "", request_id: str = ""
    ) -> AsyncIterator[Account | None]:
        """The account under its lock."""
        async with self._locks[user_id]:
            account = await self.account(user_id, now)
            if account is not None:
                account.reservation = self._reservations.get(job_id)
                account.granted = self._grants.get(request_id)
            await asyncio.sleep(0)
            yield account
            if account is not None:
                self.save(account)

    async def set_aside(
        self, wishes: Sequence[Wish], until: datetime, unmetered: Collection[str], now: datetime
    ) -> list[Reservation]:
        """Where there can be no doubt."""
        made = []
        first = {wish.job_id: wish for wish in reversed(wishes)}
        for user_id in sorted({wish.user_id for wish in wishes}):
            mine = {job_id: wish for job_id, wish in first.items() if wish.user_id == user_id}
            async with self._locks[user_id]:
                account = await self.account(user_id, now)
                whole = sum(wish.amount for wish in mine.values())
                if account is None or (account.plan not in unmetered and account.available < whole):
                    continue
                for wish in mine.values():
                    if wish.job_id not in self._reservations:
                        account.reservation = None
                        made.append(account.reserve(wish.job_id, wish.amount, Plan(), until - now))
                        self._reservations[wish.job_id] = made[-1]
                self.save(account)
        return made

    @asynccontextmanager
    async def change_all(self, wishes: Sequence[Wish], now: datetime) -> AsyncIterator[Desk]:
        """The accounts under their locks, taken in one order."""
        async with AsyncExitStack() as locks:
            for user_id in sorted({wish.user_id for wish in wishes}):
                await locks.enter_async_context(self._locks[user_id])
            found = {wish.user_id: await self.account(wish.user_id, now) for wish in wishes}
            accounts = {user_id: account for user_id, account in found.items() if account is not None}
            known = {
                wish.job_id: self._reservations[wish.job_id] for wish in wishes if wish.job_id in self._reservations
            }
            await asyncio.sleep(0)
            desk = Desk(accounts, known)
            yield desk
            self._reservations |= desk.made
            for account in accounts.values():
                account.reservation = None
                self.save(account)

    async def confirm(self, job_ids: Sequence[str]) -> list[Reservation]:
        """Those that wait for it."""
        kept = []
        for job_id in dict.fromkeys(job_ids):
            known = self._reservations.get(job_id)
            if known is None:
                continue
            async with self._locks[known.user_id]:
                known = self._reservations[job_id]
                if known.state is ReservationState.RESERVED:
                    known = replace(known, state=ReservationState.CONFIRMED, expires_at=None)
                    self._reservations[job_id] = known
                    kept.append(known)
        return kept

    def locked(self, user_id: str) -> bool:
        """Whether somebody is changing the account now."""
        return self._locks[user_id].locked()

    def save(self, account: Account) -> None:
        """Store everything."""
        for transfer in account.transfers:
            if transfer.request_id:
                self._grants[transfer.request_id] = (account.user_id, transfer.amount)
            self.moved.append((account.user_id, account.now, transfer))
        if account.reservation is not None and account.reservation.user_id == account.user_id:
            self._reservations[account.reservation.job_id] = account.reservation
        self.plans[account.user_id] = account.plan
        self.accounts[account.user_id] = replace(account, reservation=None, granted=None, transfers=[])

    async def account(self, user_id: str, now: datetime) -> Account | None:
        """The account."""
        if user_id not in self.plans:
            return None
        known = self.accounts.get(user_id) or Account(user_id, now)
        return replace(known, now=now, plan=self.plans[user_id], transfers=[])

    async def owner_of(self, job_id: str) -> str | None:
        """Whose credits are reserved for the job."""
        known = self._reservations.get(job_id)
        return known.user_id if known else None

    async def lapsed(self, now: datetime, limit: int) -> list[tuple[str, str]]:
        """Reservations that nobody has confirmed in time."""
        return [
            (known.user_id, known.job_id)
            for known in self._reservations.values()
            if known.state is ReservationState.RESERVED and known.expires_at is not None and known.expires_at <= now
        ][:limit]

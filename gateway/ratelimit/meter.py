"""Charges one budget. Most calls are charged to a block that was fetched before, without asking the store."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass

from gateway.ratelimit.config import Budget
from gateway.ratelimit.store import LimitStore

MAX_ACCOUNTS = 10_000
_MAX_REFUSAL_S = 5.0
"""For so long a refusal is repeated without asking: who knocks at a closed door must not wear out Redis."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a subject stands with a budget: calls left, whole seconds until there are more."""

    budget: Budget
    remaining: int
    reset_s: int


class ExhaustedError(Exception):
    """The budget has nothing left for this subject."""

    def __init__(self, standing: Standing) -> None:
        super().__init__()
        self.standing = standing


class _Account:
    """A subject's block and what the store said last. Times are of the meter's clock."""

    __slots__ = ("block_until", "left", "lock", "refused_until", "remaining", "reset_at")

    def __init__(self) -> None:
        self.left = 0
        self.block_until = self.refused_until = self.reset_at = 0.0
        self.remaining = 0
        self.lock = asyncio.Lock()


class Meter:
    """One budget and the accounts of its subjects, `MAX_ACCOUNTS` at most.

    A block that was taken counts at once, and may be used up for one window: in no window do more calls pass than the
    limit and one block for each gateway process. A subject that is forgotten loses what was left of its block.
    """

    def __init__(self, budget: Budget, store: LimitStore, clock: Callable[[], float]) -> None:
        self.budget = budget
        self._store = store
        self._clock = clock
        self._accounts: dict[str, _Account] = {}

    async def charge(self, subject: str) -> Standing:
        """Charge one call. Raises ExhaustedError, StoreAwayError."""
        account = self._accounts.get(subject) or self._open(subject)
        standing = self._known(account)
        if standing is not None:
            return standing
        async with account.lock:
            return self._known(account) or await self._fetch(account, subject)

    def check(self, subject: str) -> None:
        """Raise ExhaustedError when a call was refused just now; charges nothing, asks nobody."""
        account = self._accounts.get(subject)
        if account is not None and not account.left and (now := self._clock()) < account.refused_until:
            raise ExhaustedError(self._standing(account, now))

    def _open(self, subject: str) -> _Account:
        while len(self._accounts) >= MAX_ACCOUNTS:
            del self._accounts[next(iter(self._accounts))]
        account = self._accounts[subject] = _Account()
        return account

    def _known(self, account: _Account) -> Standing | None:
        """Charge the block in hand; None without one. Raises ExhaustedError while a refusal is fresh."""
        now = self._clock()
        if account.left and now < account.block_until:
            account.left -= 1
            return self._standing(account, now)
        if now < account.refused_until:
            raise ExhaustedError(self._standing(account, now))
        return None

    async def _fetch(self, account: _Account, subject: str) -> Standing:
        budget, store = self.budget, self._store
        block = budget.block
        taken = await store.take(budget, subject, block)
        if not taken and block > 1:  # Near its end a budget is spent call by call, to the last.
            block = 1
            taken = await store.take(budget, subject, block)
        now = self._clock()
        if not taken or budget.scope != "deployment":  # How the deployment stands is nobody's business.
            account.remaining, reset_s = await store.standing(budget, subject)
            account.reset_at = now + reset_s
        if not taken:
            account.left = account.remaining = 0
            account.refused_until = min(account.reset_at, now + _MAX_REFUSAL_S)
            raise ExhaustedError(self._standing(account, now))
        account.left, account.block_until = block - 1, now + budget.window_s
        return self._standing(account, now)

    def _standing(self, account: _Account, now: float) -> Standing:
        return Standing(self.budget, account.remaining + account.left, max(1, math.ceil(account.reset_at - now)))

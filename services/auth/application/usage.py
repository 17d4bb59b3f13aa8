"""What a user's credits did, from the ledger (A6)."""

from __future__ import annotations

from dataclasses import fields
from datetime import date, timedelta

from services.auth.application.billing_ports import LedgerEntry, LedgerReader, UsageDay
from services.auth.application.ports import Clock
from services.auth.domain.errors import InvalidValue

DAYS_MAX = 366
_DAYS_DEFAULT = 30
_COUNTS = [each.name for each in fields(UsageDay) if each.name != "day"]


class Usage:
    """The use cases that only read the ledger."""

    def __init__(self, ledger: LedgerReader, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    async def by_day(self, user_id: str, first: date | None, last: date | None) -> tuple[list[UsageDay], UsageDay]:
        """Every day of the range, both ends included, and their sum. Raises InvalidValue."""
        last = last or self._clock.now().date()
        if first is None:
            first = date.fromordinal(max(1, last.toordinal() - _DAYS_DEFAULT + 1))
        if first > last:
            raise InvalidValue([("start_date", "must not be after the end")])
        if (last - first).days >= DAYS_MAX:
            raise InvalidValue([("start_date", f"must be at most {DAYS_MAX} days before the end")])
        known = {each.day: each for each in await self._ledger.usage(user_id, first, last)}
        range_of_days = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
        days = [known.get(day) or UsageDay(day) for day in range_of_days]
        return days, UsageDay(None, **{name: sum(getattr(day, name) for day in days) for name in _COUNTS})

    async def entries(self, user_id: str, before: int | None, limit: int) -> list[LedgerEntry]:
        """A page of the user's entries, newest first."""
        return await self._ledger.entries(user_id, before, limit)

    async def check(self) -> list[str]:
        """What in the books of the deployment does not fit; empty when everything does."""
        return await self._ledger.faults()

"""Reads the ledger in Postgres."""

from __future__ import annotations

from datetime import date

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.auth.adapters.postgres.credit_tables import CREDIT_ENTRIES
from services.auth.adapters.postgres.users import as_uuid
from services.auth.application.billing_ports import LedgerEntry, UsageDay

_USAGE = text(
    """
    SELECT (created_at AT TIME ZONE 'UTC')::date AS day,
           count(DISTINCT job_id) FILTER (WHERE kind = 'reserve')                          AS jobs_ordered,
           count(DISTINCT job_id) FILTER (WHERE kind = 'settle')                           AS jobs_completed,
           coalesce(-sum(amount) FILTER (WHERE kind = 'reserve'), 0)::bigint               AS reserved,
           coalesce(sum(-amount) FILTER (WHERE kind = 'settle'), 0)::bigint                AS spent,
           coalesce(sum(amount) FILTER (WHERE kind IN ('release', 'lapse')), 0)::bigint    AS released,
           coalesce(sum(amount) FILTER (WHERE kind = 'refund'), 0)::bigint                 AS refunded,
           coalesce(sum(amount) FILTER (WHERE job_id = '' AND kind <> 'expire'), 0)::bigint AS granted,
           coalesce(-sum(amount) FILTER (WHERE kind = 'expire'), 0)::bigint                AS expired
    FROM credit_entries
    WHERE user_id = :user_id
      AND (book = 'available' OR (book = 'reserved' AND kind = 'settle'))
      AND created_at >= (CAST(:first AS date)::timestamp AT TIME ZONE 'UTC')
      AND created_at < ((CAST(:last AS date) + 1)::timestamp AT TIME ZONE 'UTC')
    GROUP BY day ORDER BY day
    """
)
_FAULTS = text(
    """
    SELECT 'all books sum to ' || sum(amount) FROM credit_entries HAVING sum(amount) <> 0
    UNION ALL
    SELECT 'transaction ' || transaction_id || ' sums to ' || sum(amount)
    FROM credit_entries GROUP BY transaction_id HAVING sum(amount) <> 0 OR count(*) <> 2
    UNION ALL
    SELECT 'account ' || a.user_id || ' differs from its entries'
    FROM credit_accounts a LEFT JOIN credit_entries e ON e.user_id = a.user_id
    GROUP BY a.user_id, a.available, a.reserved, a.spent
    HAVING a.available <> coalesce(sum(e.amount) FILTER (WHERE e.book = 'available'), 0)
        OR a.reserved <> coalesce(sum(e.amount) FILTER (WHERE e.book = 'reserved'), 0)
        OR a.spent <> coalesce(sum(e.amount) FILTER (WHERE e.book = 'spent'), 0)
    UNION ALL
    SELECT 'job ' || r.job_id || ' is ' || r.state || ', its entries say otherwise'
    FROM credit_reservations r LEFT JOIN credit_entries e ON e.job_id = r.job_id::text
    GROUP BY r.job_id, r.amount, r.state
    HAVING coalesce(sum(e.amount) FILTER (WHERE e.book = 'reserved'), 0)
               <> CASE WHEN r.state IN ('reserved', 'confirmed') THEN r.amount ELSE 0 END
        OR coalesce(sum(e.amount) FILTER (WHERE e.book = 'spent'), 0)
               <> CASE WHEN r.state = 'settled' THEN r.amount ELSE 0 END
    UNION ALL
    SELECT 'job ' || e.job_id || ' has entries and no reservation'
    FROM credit_entries e LEFT JOIN credit_reservations r ON r.job_id::text = e.job_id
    WHERE e.job_id <> '' AND r.job_id IS NULL GROUP BY e.job_id
    UNION ALL
    SELECT 'grant ' || g.request_id || ' differs from its entries'
    FROM credit_grants g LEFT JOIN credit_entries e ON e.request_id = g.request_id AND e.book = 'available'
    GROUP BY g.request_id, g.amount HAVING coalesce(sum(e.amount), 0) <> g.amount OR count(*) <> 1
    UNION ALL
    SELECT 'charge ' || c.charge_id || ' is paid, its credits were not granted'
    FROM charges c WHERE c.state = 'paid' AND c.credits > 0 AND NOT EXISTS (
        SELECT FROM credit_grants g WHERE g.user_id = c.user_id AND g.amount = c.credits AND g.request_id =
            'subscription ' || c.subscription_id || CASE WHEN c.purpose = 'upgrade'
                THEN ' upgrade ' || c.charge_id ELSE ' period ' || c.period_index END)
    """
)


class PostgresLedger:
    """The `LedgerReader` over Postgres."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def usage(self, user_id: str, first: date, last: date) -> list[UsageDay]:
        """The days on which something happened, in order."""
        values = {"user_id": as_uuid(user_id), "first": first, "last": last}
        async with self._engine.connect() as connection:
            return [UsageDay(*row) for row in await connection.execute(_USAGE, values)]

    async def entries(self, user_id: str, before: int | None, limit: int) -> list[LedgerEntry]:
        """The user's entries with smaller ids, newest first."""
        entry = CREDIT_ENTRIES.c
        columns = (entry.entry_id, entry.transaction_id, entry.book, entry.amount, entry.kind, entry.job_id)
        query = select(*columns, entry.created_at).where(entry.user_id == as_uuid(user_id))
        if before is not None:
            query = query.where(entry.entry_id < before)
        query = query.order_by(entry.entry_id.desc()).limit(limit)
        async with self._engine.connect() as connection:
            return [LedgerEntry(row[0], str(row[1]), *row[2:]) for row in await connection.execute(query)]

    async def faults(self) -> list[str]:
        """What does not fit: one statement, so as of one moment."""
        async with self._engine.connect() as connection:
            return [str(row[0]) for row in await connection.execute(_FAULTS)]

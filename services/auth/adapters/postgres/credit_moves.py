"""What nearly all orders need, each in one statement: credits set aside where there can be no doubt, and confirmed.

Anything else goes by the rules of `domain/credits.py`, under the account's lock; a test plays both against each other.
Locks are taken in the order of `credit_batches.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, DateTime, Text, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters.postgres.credit_rows import reservation_of
from services.auth.adapters.postgres.users import as_uuid
from services.auth.application.credits import Wish
from services.auth.domain.credits import Reservation

_UUIDS, _TIME = ARRAY(Uuid(as_uuid=True)), DateTime(timezone=True)

_SET_ASIDE = text(
    # Who has waited for the lock sees the balance as it is then. The plan may be the one of a moment before: that is as
    # if the order had come before the change, and whoever is left out is looked at again, under the lock.
    """
    WITH wish AS MATERIALIZED (
        SELECT * FROM unnest(:jobs, :users, :amounts, :transactions) AS w(job_id, user_id, amount, transaction_id)
    ), whole AS (
        SELECT user_id, sum(amount)::bigint AS amount FROM wish GROUP BY user_id
    ), sure AS (
        SELECT a.user_id
        FROM credit_accounts a JOIN whole USING (user_id) JOIN users u USING (user_id)
        WHERE a.available >= whole.amount OR u.plan = ANY(:unmetered)
        ORDER BY a.user_id FOR UPDATE OF a
    ), made AS (
        INSERT INTO credit_reservations (job_id, user_id, amount, state, created_at, expires_at)
        SELECT w.job_id, w.user_id, w.amount, 'reserved', :now, :until FROM wish w JOIN sure USING (user_id)
        ORDER BY w.job_id
        ON CONFLICT (job_id) DO NOTHING
        RETURNING job_id, user_id, amount, state, created_at, expires_at
    ), moved AS (
        UPDATE credit_accounts a SET available = a.available - m.amount, reserved = a.reserved + m.amount
        FROM (SELECT user_id, sum(amount)::bigint AS amount FROM made GROUP BY user_id) m
        WHERE a.user_id = m.user_id
    ), noted AS (
        INSERT INTO credit_entries
            (transaction_id, user_id, book, amount, kind, job_id, request_id, created_at)
        SELECT w.transaction_id, m.user_id, side.book, side.sign * m.amount, 'reserve', m.job_id::text, '', :now
        FROM made m JOIN wish w ON w.job_id = m.job_id
        CROSS JOIN (VALUES ('available', -1), ('reserved', 1)) AS side(book, sign)
    )
    SELECT * FROM made
    """
).bindparams(
    bindparam("jobs", type_=_UUIDS),
    bindparam("users", type_=_UUIDS),
    bindparam("amounts", type_=ARRAY(BigInteger)),
    bindparam("transactions", type_=_UUIDS),
    bindparam("unmetered", type_=ARRAY(Text)),
    bindparam("now", type_=_TIME),
    bindparam("until", type_=_TIME),
)
_CONFIRM = text(
    # What waits to be confirmed has all its credits where a confirmed one has them: no account is locked.
    """
    WITH waiting AS (
        SELECT job_id FROM credit_reservations WHERE job_id = ANY(:jobs) AND state = 'reserved'
        ORDER BY job_id FOR UPDATE
    )
    UPDATE credit_reservations r SET state = 'confirmed', expires_at = NULL FROM waiting w WHERE r.job_id = w.job_id
    RETURNING r.job_id, r.user_id, r.amount, r.state, r.created_at, r.expires_at
    """
).bindparams(bindparam("jobs", type_=_UUIDS))


async def set_aside(
    connection: AsyncConnection, wishes: Sequence[Wish], until: datetime, unmetered: Collection[str], now: datetime
) -> list[Reservation]:
    """The reservations that were made; see `CreditStore.set_aside`."""
    known: dict[UUID, tuple[UUID, int]] = {}
    for wish in wishes:
        owner = as_uuid(wish.user_id)
        if owner is not None and UUID(wish.job_id) not in known:  # of two for one job the second is doubtful
            known[UUID(wish.job_id)] = (owner, wish.amount)
    values = {
        "jobs": list(known),
        "users": [owner for owner, _ in known.values()],
        "amounts": [amount for _, amount in known.values()],
        "transactions": [uuid4() for _ in known],
        "unmetered": list(unmetered),
        "now": now,
        "until": until,
    }
    rows = await connection.execute(_SET_ASIDE, values)
    return [made for row in rows if (made := reservation_of(row)) is not None]


async def confirm_reservations(connection: AsyncConnection, job_ids: Sequence[str]) -> list[Reservation]:
    """Those that waited for it."""
    rows = await connection.execute(_CONFIRM, {"jobs": [UUID(job_id) for job_id in job_ids]})
    return [kept for row in rows if (kept := reservation_of(row)) is not None]

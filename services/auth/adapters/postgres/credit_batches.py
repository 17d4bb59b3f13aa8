"""Credits of several jobs in one transaction.

Locks are taken in one order everywhere, so that transactions cannot wait for each other in a circle: accounts by user,
then reservations by job.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Text, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.types import TypeEngine

from services.auth.adapters.postgres.credit_rows import entries_of, reservation_of
from services.auth.domain.credits import Account, Reservation

_UUID, _TIME = Uuid(as_uuid=True), DateTime(timezone=True)
_USERS, _JOBS = bindparam("users", type_=ARRAY(_UUID)), bindparam("jobs", type_=ARRAY(_UUID))

_OPEN = text(
    """
    INSERT INTO credit_accounts (user_id, available, reserved, spent)
    SELECT user_id, 0, 0, 0 FROM users WHERE user_id = ANY(:users) ORDER BY user_id
    ON CONFLICT DO NOTHING
    """
).bindparams(_USERS)
_LOCK = text(
    """
    SELECT user_id, available, reserved, spent FROM credit_accounts WHERE user_id = ANY(:users)
    ORDER BY user_id FOR UPDATE
    """
).bindparams(_USERS)
_PLANS = text("SELECT user_id, plan FROM users WHERE user_id = ANY(:users)").bindparams(_USERS)
_LOCK_RESERVATIONS = text(
    """
    SELECT job_id, user_id, amount, state, created_at, expires_at FROM credit_reservations WHERE job_id = ANY(:jobs)
    ORDER BY job_id FOR UPDATE
    """
).bindparams(_JOBS)
_ACCOUNT: dict[str, TypeEngine[Any]] = {
    "user_id": _UUID,
    "available": BigInteger(),
    "reserved": BigInteger(),
    "spent": BigInteger(),
}
_ENTRY: dict[str, TypeEngine[Any]] = {
    "transaction_id": _UUID,
    "user_id": _UUID,
    "book": Text(),
    "amount": BigInteger(),
    "kind": Text(),
    "job_id": Text(),
    "request_id": Text(),
    "created_at": _TIME,
}
_RESERVATION: dict[str, TypeEngine[Any]] = {
    "job_id": _UUID,
    "user_id": _UUID,
    "amount": BigInteger(),
    "state": Text(),
    "created_at": _TIME,
    "expires_at": _TIME,
}
_TABLES = {"a": _ACCOUNT, "e": _ENTRY, "r": _RESERVATION}


def _unnest(prefix: str) -> str:
    names = _TABLES[prefix]
    return f"unnest({', '.join(f':{prefix}_{name}' for name in names)}) AS {prefix}({', '.join(names)})"


_SAVE = text(
    f"""
    WITH balances AS (
        UPDATE credit_accounts c SET available = a.available, reserved = a.reserved, spent = a.spent
        FROM {_unnest("a")} WHERE c.user_id = a.user_id
    ), entries AS (
        INSERT INTO credit_entries ({", ".join(_ENTRY)}) SELECT * FROM {_unnest("e")}
    )
    INSERT INTO credit_reservations ({", ".join(_RESERVATION)}) SELECT * FROM {_unnest("r")}
    """  # noqa: S608 - names of our own columns
).bindparams(
    *(
        bindparam(f"{prefix}_{name}", type_=ARRAY(kind))
        for prefix, names in _TABLES.items()
        for name, kind in names.items()
    )
)


@asynccontextmanager
async def locked_accounts(
    engine: AsyncEngine, users: Sequence[UUID], now: datetime
) -> AsyncIterator[tuple[AsyncConnection, dict[UUID, Account]]]:
    """The accounts of those users that there are, and the transaction that holds their locks."""
    async with engine.connect() as connection:
        rows = {row.user_id: row for row in await connection.execute(_LOCK, {"users": users})}
        if len(rows) < len(users):
            # Made in a transaction of their own: with the locks of others held, it could wait in a circle.
            await connection.rollback()
            await connection.execute(_OPEN, {"users": users})
            await connection.commit()
            rows = {row.user_id: row for row in await connection.execute(_LOCK, {"users": users})}
        # Read under the locks: a subscription that began meanwhile has changed the plan.
        plans = {row.user_id: row.plan for row in await connection.execute(_PLANS, {"users": users})}
        yield (
            connection,
            {
                user: Account(str(user), now, plans[user], row.available, row.reserved, row.spent)
                for user, row in rows.items()
            },
        )
        await connection.commit()


async def lock_reservations(connection: AsyncConnection, jobs: Sequence[UUID]) -> dict[str, Reservation]:
    """Those of the jobs that have one."""
    rows = await connection.execute(_LOCK_RESERVATIONS, {"jobs": jobs})
    return {known.job_id: known for row in rows if (known := reservation_of(row)) is not None}


async def save_all(connection: AsyncConnection, accounts: Sequence[Account], made: Sequence[Reservation]) -> None:
    """Store changed balances, their transfers and new reservations in one statement."""
    moved = [account for account in accounts if account.transfers]
    if not (moved or made):
        return
    values = {
        **_columns("a", [_balance_row(account) for account in moved]),
        **_columns("e", [entry for account in moved for entry in entries_of(account)]),
        **_columns("r", [_reservation_row(each) for each in sorted(made, key=lambda each: each.job_id)]),
    }
    await connection.execute(_SAVE, values)
    for account in moved:
        account.transfers.clear()


def _columns(prefix: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {f"{prefix}_{name}": [row[name] for row in rows] for name in _TABLES[prefix]}


def _balance_row(account: Account) -> dict[str, Any]:
    return {
        "user_id": UUID(account.user_id),
        "available": account.available,
        "reserved": account.reserved,
        "spent": account.spent,
    }


def _reservation_row(source: Reservation) -> dict[str, Any]:
    return {
        "job_id": UUID(source.job_id),
        "user_id": UUID(source.user_id),
        "amount": source.amount,
        "state": source.state.value,
        "created_at": source.created_at,
        "expires_at": source.expires_at,
    }

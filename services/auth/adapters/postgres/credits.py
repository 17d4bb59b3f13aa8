"""Credits in Postgres: balances under a row lock, and the ledger that explains them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, literal, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.auth.adapters.postgres.credit_batches import lock_reservations, locked_accounts, save_all
from services.auth.adapters.postgres.credit_moves import confirm_reservations, set_aside
from services.auth.adapters.postgres.credit_rows import entries_of, reservation_of
from services.auth.adapters.postgres.credit_tables import (
    CREDIT_ACCOUNTS,
    CREDIT_ENTRIES,
    CREDIT_GRANTS,
    CREDIT_RESERVATIONS,
)
from services.auth.adapters.postgres.tables import USERS
from services.auth.adapters.postgres.users import as_uuid
from services.auth.application.credits import Desk, Wish
from services.auth.domain.credits import Account, Reservation, ReservationState
from services.auth.domain.errors import GrantConflict


class PostgresCredits:
    """The `CreditStore` over Postgres."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def change(
        self, user_id: str, now: datetime, *, job_id: str = "", request_id: str = ""
    ) -> AsyncIterator[Account | None]:
        """The account under its row's lock."""
        async with self._engine.begin() as connection:
            account = await lock_account(connection, user_id, now)
            if account is not None and job_id:
                # Under a lock of its own too: `confirm` changes it without the account's.
                query = select(CREDIT_RESERVATIONS).where(CREDIT_RESERVATIONS.c.job_id == UUID(job_id))
                account.reservation = reservation_of((await connection.execute(query.with_for_update())).first())
            if account is not None and request_id:
                made = select(CREDIT_GRANTS).where(CREDIT_GRANTS.c.request_id == request_id)
                row = (await connection.execute(made)).first()
                account.granted = None if row is None else (str(row.user_id), row.amount)
            yield account
            if account is not None:
                await save_account(connection, account)

    async def set_aside(
        self, wishes: Sequence[Wish], until: datetime, unmetered: Collection[str], now: datetime
    ) -> list[Reservation]:
        """One statement, atomic by itself."""
        async with self._single.connect() as connection:
            return await set_aside(connection, wishes, until, unmetered, now)

    @asynccontextmanager
    async def change_all(self, wishes: Sequence[Wish], now: datetime) -> AsyncIterator[Desk]:
        """Everything that the wishes are about, locked."""
        owners = {wish.user_id: owner for wish in wishes if (owner := as_uuid(wish.user_id)) is not None}
        jobs = sorted({UUID(wish.job_id) for wish in wishes})
        async with locked_accounts(self._engine, sorted(set(owners.values())), now) as (connection, accounts):
            known = await lock_reservations(connection, jobs)
            desk = Desk({name: accounts[owner] for name, owner in owners.items() if owner in accounts}, known)
            yield desk
            await save_all(connection, list(accounts.values()), list(desk.made.values()))

    async def confirm(self, job_ids: Sequence[str]) -> list[Reservation]:
        """One statement, atomic by itself."""
        async with self._single.connect() as connection:
            return await confirm_reservations(connection, job_ids)

    async def account(self, user_id: str, now: datetime) -> Account | None:
        """The account as of one moment."""
        query = (
            select(USERS.c.plan, CREDIT_ACCOUNTS)
            .outerjoin_from(USERS, CREDIT_ACCOUNTS, USERS.c.user_id == CREDIT_ACCOUNTS.c.user_id)
            .where(USERS.c.user_id == as_uuid(user_id))
        )
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            return None
        return Account(user_id, now, row.plan, row.available or 0, row.reserved or 0, row.spent or 0)

    async def owner_of(self, job_id: str) -> str | None:
        """Whose credits are reserved for the job."""
        query = select(CREDIT_RESERVATIONS.c.user_id).where(CREDIT_RESERVATIONS.c.job_id == UUID(job_id))
        async with self._engine.connect() as connection:
            owner = (await connection.execute(query)).scalar()
        return str(owner) if owner else None

    async def lapsed(self, now: datetime, limit: int) -> list[tuple[str, str]]:
        """(user, job) of reservations that nobody has confirmed in time."""
        rows = CREDIT_RESERVATIONS.c
        query = (
            select(rows.user_id, rows.job_id)
            .where(rows.state == ReservationState.RESERVED.value, rows.expires_at <= now)
            .order_by(rows.expires_at)
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            return [(str(row.user_id), str(row.job_id)) for row in await connection.execute(query)]


async def lock_account(connection: AsyncConnection, user_id: str, now: datetime) -> Account | None:
    """The account under its row's lock, which guards everything about the user's money; None for an unknown user."""
    owner = as_uuid(user_id)
    if owner is None:
        return None
    names = ["user_id", "available", "reserved", "spent"]
    empty = select(USERS.c.user_id, literal(0), literal(0), literal(0)).where(USERS.c.user_id == owner)
    await connection.execute(pg_insert(CREDIT_ACCOUNTS).from_select(names, empty).on_conflict_do_nothing())
    mine = select(CREDIT_ACCOUNTS).where(CREDIT_ACCOUNTS.c.user_id == owner).with_for_update()
    row = (await connection.execute(mine)).first()
    if row is None:
        return None
    # Read under the lock: a subscription that began meanwhile has changed the plan.
    plan = (await connection.execute(select(USERS.c.plan).where(USERS.c.user_id == owner))).scalar_one()
    return Account(str(owner), now, plan, row.available, row.reserved, row.spent)


async def save_account(connection: AsyncConnection, account: Account) -> None:
    """Store balance, transfers and reservation. Raises GrantConflict."""
    owner = UUID(account.user_id)
    if account.transfers:
        balance = {"available": account.available, "reserved": account.reserved, "spent": account.spent}
        await connection.execute(update(CREDIT_ACCOUNTS).where(CREDIT_ACCOUNTS.c.user_id == owner).values(**balance))
        await connection.execute(insert(CREDIT_ENTRIES), entries_of(account))
        grants = [
            {"request_id": transfer.request_id, "user_id": owner, "amount": transfer.amount}
            for transfer in account.transfers
            if transfer.request_id
        ]
        if grants:
            made = pg_insert(CREDIT_GRANTS).values(grants).on_conflict_do_nothing().returning(CREDIT_GRANTS.c.user_id)
            if len((await connection.execute(made)).all()) < len(grants):
                raise GrantConflict  # another user's, at the same moment
        account.transfers.clear()
    known = account.reservation
    if known is not None and known.user_id == account.user_id:
        values = {
            "job_id": UUID(known.job_id),
            "user_id": owner,
            "amount": known.amount,
            "state": known.state.value,
            "created_at": known.created_at,
            "expires_at": known.expires_at,
        }
        statement = pg_insert(CREDIT_RESERVATIONS).values(values)
        changed = {name: statement.excluded[name] for name in ("state", "expires_at")}
        await connection.execute(statement.on_conflict_do_update(index_elements=["job_id"], set_=changed))

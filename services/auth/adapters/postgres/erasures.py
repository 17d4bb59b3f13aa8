"""Erasures in Postgres, and what they do to the other tables."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, TextClause, Uuid, bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters.postgres.audit_tables import AUDIT_ENTRIES, ERASURE_SERVICES, ERASURES
from services.auth.adapters.postgres.personal_data import PERSONAL, Fate
from services.auth.adapters.postgres.tables import USERS
from services.auth.adapters.postgres.users import as_uuid
from services.auth.domain.audit import CallerKind
from services.auth.domain.erasure import Erasure


class PostgresErasures:
    """`ErasureRepository` on one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def begin(self, erasure: Erasure) -> Erasure:
        """The user id is unique: of two that begin at once, the second finds the first."""
        statement = (
            insert(ERASURES)
            .values(
                erasure_id=UUID(erasure.erasure_id), user_id=UUID(erasure.user_id), requested_at=erasure.requested_at
            )
            .on_conflict_do_nothing(index_elements=[ERASURES.c.user_id])
            .returning(ERASURES.c.erasure_id)
        )
        if (await self._connection.execute(statement)).first() is None:
            known = await self._read(_erasures().where(ERASURES.c.user_id == UUID(erasure.user_id)))
            return known[0]
        waiting = [
            {"erasure_id": UUID(erasure.erasure_id), "service": service, "position": position}
            for position, service in enumerate(erasure.waiting_for)
        ]
        if waiting:
            await self._connection.execute(insert(ERASURE_SERVICES).values(waiting))
        return erasure

    async def drop_credentials(self, user_id: str) -> None:
        """Rows that go at once; the row of the account stays until the end, without anything that names a person."""
        await self._delete(user_id, Fate.AT_ONCE)
        blank = update(USERS).where(USERS.c.user_id == UUID(user_id)).values(_NOBODY)
        await self._connection.execute(blank)

    async def get(self, erasure_id: str) -> Erasure | None:
        """The erasure with this id."""
        found = await self._read(_erasures().where(ERASURES.c.erasure_id == as_uuid(erasure_id)))
        return found[0] if found else None

    async def waiting(self, service: str, limit: int) -> list[Erasure]:
        """Oldest first."""
        mine = select(ERASURE_SERVICES.c.erasure_id).where(
            ERASURE_SERVICES.c.service == service, ERASURE_SERVICES.c.acknowledged_at.is_(None)
        )
        return await self._read(
            _erasures()
            .where(ERASURES.c.completed_at.is_(None), ERASURES.c.erasure_id.in_(mine))
            .order_by(ERASURES.c.requested_at)
            .limit(limit)
        )

    async def acknowledge(self, erasure_id: str, service: str, now: datetime) -> bool:
        """The first time counts. A service that the erasure does not wait for changes nothing."""
        found = as_uuid(erasure_id)
        row = ERASURE_SERVICES.c
        statement = (
            update(ERASURE_SERVICES)
            .where(row.erasure_id == found, row.service == service)
            .values(acknowledged_at=func.coalesce(row.acknowledged_at, now))
        )
        await self._connection.execute(statement)
        known = select(ERASURES.c.erasure_id).where(ERASURES.c.erasure_id == found)
        return (await self._connection.execute(known)).first() is not None

    async def open(self, limit: int) -> list[Erasure]:
        """Oldest first."""
        opened = _erasures().where(ERASURES.c.completed_at.is_(None))
        return await self._read(opened.order_by(ERASURES.c.requested_at).limit(limit))

    async def anonymise(self, user_id: str, limit: int) -> int:
        """The trigger of the table lets just this pass, and only for users who are erased."""
        entries = AUDIT_ENTRIES.c
        mine = (entries.caller_id == user_id) | (entries.resource_ids.contains([user_id]))
        nobody = entries.caller_kind.in_([CallerKind.ANONYMOUS.value, CallerKind.SYSTEM.value])
        about_me = (entries.caller_id == user_id) | (nobody & (entries.resources["user_id"].astext == user_id))
        told = (entries.client_address != "") | (entries.request_id != "")
        some = select(entries.entry_id).where(mine, about_me, told).limit(limit)
        statement = update(AUDIT_ENTRIES).where(entries.entry_id.in_(some)).values(client_address="", request_id="")
        return (await self._connection.execute(statement)).rowcount

    async def finish(self, erasure: Erasure, now: datetime) -> bool:
        """The account's row goes last; the foreign keys take with it what refers to it."""
        owner = {"user_id": UUID(erasure.user_id)}
        if (await self._connection.execute(_UNSETTLED, owner)).first() is not None:
            return False
        for each in PERSONAL:
            for column in each.blanked:
                await self._connection.execute(_blanking(each.table, column, each.rows), owner)
        await self._delete(erasure.user_id, Fate.AT_THE_END)
        done = update(ERASURES).where(ERASURES.c.erasure_id == UUID(erasure.erasure_id)).values(completed_at=now)
        await self._connection.execute(done)
        return True

    async def _delete(self, user_id: str, fate: Fate) -> None:
        for each in PERSONAL:
            if each.fate is fate:
                await self._connection.execute(_deletion(each.table, each.rows), {"user_id": UUID(user_id)})

    async def _read(self, statement: Select[Any]) -> list[Erasure]:
        rows = await self._connection.execute(statement)
        return [
            Erasure(str(row.erasure_id), str(row.user_id), row.requested_at, row.completed_at, tuple(row.waiting_for))
            for row in rows
        ]


_NONE = text("'{}'::text[]")
_NOBODY: dict[str, Any] = {"email": None, "display_name": "", "password_hash": None}


def _deletion(table: str, rows: str) -> TextClause:
    """Both come from `PERSONAL`, neither from a caller."""
    return text(f"DELETE FROM {table} t WHERE {rows}").bindparams(  # noqa: S608
        bindparam("user_id", type_=Uuid(as_uuid=True))
    )


def _blanking(table: str, column: str, rows: str) -> TextClause:
    return text(f"UPDATE {table} t SET {column} = '' WHERE {rows}").bindparams(  # noqa: S608
        bindparam("user_id", type_=Uuid(as_uuid=True))
    )


_UNSETTLED = text(
    "SELECT 1 FROM charges WHERE user_id = :user_id AND state IN ('due', 'open', 'voiding', 'refunding') LIMIT 1"
).bindparams(bindparam("user_id", type_=Uuid(as_uuid=True)))
"""Charges that the billing provider is still to be told about; for that it needs to know the customer."""


def _erasures() -> Select[Any]:
    services = ERASURE_SERVICES.c
    waiting_for = (
        select(func.coalesce(func.array_agg(aggregate_order_by(services.service, services.position)), _NONE))
        .where(services.erasure_id == ERASURES.c.erasure_id, services.acknowledged_at.is_(None))
        .scalar_subquery()
    )
    return select(ERASURES, waiting_for.label("waiting_for"))

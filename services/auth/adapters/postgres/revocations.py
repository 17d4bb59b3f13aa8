"""Revocations in Postgres."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import BigInteger, Column, DateTime, Identity, Table, Text, delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters.postgres.tables import META
from services.auth.domain.revocation import Revocation, RevocationKind, needed_until

_TIME = DateTime(timezone=True)

REVOCATIONS = Table(
    "revocations",
    META,
    Column("sequence", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject_id", Text, nullable=False),
    Column("at", _TIME, nullable=False),
    Column("until", _TIME, nullable=False),
)


class PostgresRevocations:
    """`RevocationRepository` on one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, kind: RevocationKind, subject_id: str, at: datetime) -> None:
        """Remember that it ended."""
        values = {"kind": kind.value, "subject_id": subject_id, "at": at, "until": needed_until(kind, at)}
        await self._connection.execute(insert(REVOCATIONS).values(**values))

    async def since(self, sequence: int, skipped: Collection[int], now: datetime) -> list[Revocation]:
        """Those with a higher number, and those with one of the skipped numbers that have appeared since."""
        column = REVOCATIONS.c
        wanted = (
            or_(column.sequence > sequence, column.sequence.in_(skipped)) if skipped else column.sequence > sequence
        )
        statement = select(REVOCATIONS).where(wanted, column.until > now).order_by(column.sequence)
        rows = await self._connection.execute(statement)
        return [Revocation(row.sequence, RevocationKind(row.kind), row.subject_id, row.at, row.until) for row in rows]

    async def user_revoked_at(self, user_id: str) -> datetime | None:
        """The latest revocation of all of the user's tokens that is still of use."""
        column = REVOCATIONS.c
        statement = select(func.max(column.at)).where(
            column.kind == RevocationKind.USER.value, column.subject_id == user_id
        )
        moment: datetime | None = (await self._connection.execute(statement)).scalar_one()
        return moment

    async def prune(self, now: datetime) -> int:
        """Forget those that no living token needs any more; how many."""
        return (await self._connection.execute(delete(REVOCATIONS).where(REVOCATIONS.c.until <= now))).rowcount

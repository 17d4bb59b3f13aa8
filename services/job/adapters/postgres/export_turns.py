"""One export of a user at a time, over all replicas: a lease in a row."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

import structlog
from sqlalchemy import Column, DateTime, Table, Text, delete, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.job.adapters.postgres.tables import METADATA

_log = structlog.get_logger(__name__)

DATA_EXPORTS = Table(
    "data_exports",
    METADATA,
    Column("owner_id", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("held_until", DateTime(timezone=True), nullable=False),
)
"""Whose export is under way, until when; prolonged while it is."""


class PostgresExportTurns:
    """`ExportTurns` over Postgres."""

    def __init__(self, engine: AsyncEngine, lease: timedelta = timedelta(seconds=60)) -> None:
        """`lease`: after so long without a sign of life, another export may begin."""
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._lease = lease

    @asynccontextmanager
    async def take(self, owner_id: str) -> AsyncIterator[bool]:
        """By one conditional statement; the row goes at the end."""
        holder = uuid4().hex
        if not await self._claim(owner_id, holder):
            yield False
            return
        renewing = asyncio.create_task(self._renew(owner_id, holder))
        try:
            yield True
        finally:
            renewing.cancel()
            await asyncio.shield(self._release(owner_id, holder))

    async def _claim(self, owner_id: str, holder: str) -> bool:
        until = func.clock_timestamp() + self._lease
        statement = insert(DATA_EXPORTS).values(owner_id=owner_id, holder=holder, held_until=until)
        statement = statement.on_conflict_do_update(
            index_elements=[DATA_EXPORTS.c.owner_id],
            set_={"holder": holder, "held_until": until},
            where=DATA_EXPORTS.c.held_until < func.clock_timestamp(),
        )
        async with self._single.connect() as connection:
            return (await connection.execute(statement.returning(DATA_EXPORTS.c.holder))).first() is not None

    async def _renew(self, owner_id: str, holder: str) -> None:
        row = DATA_EXPORTS.c
        statement = (
            update(DATA_EXPORTS)
            .where(row.owner_id == owner_id, row.holder == holder)
            .values(held_until=func.clock_timestamp() + self._lease)
        )
        while True:
            await asyncio.sleep(self._lease.total_seconds() / 4)
            try:
                async with self._single.connect() as connection:
                    await connection.execute(statement)
            except (OSError, SQLAlchemyError) as error:
                _log.warning("lease of an export not prolonged", error=type(error).__name__)

    async def _release(self, owner_id: str, holder: str) -> None:
        row = DATA_EXPORTS.c
        try:
            async with self._single.connect() as connection:
                await connection.execute(delete(DATA_EXPORTS).where(row.owner_id == owner_id, row.holder == holder))
        except (OSError, SQLAlchemyError) as error:  # it ends by itself
            _log.warning("lease of an export not given back", error=type(error).__name__)

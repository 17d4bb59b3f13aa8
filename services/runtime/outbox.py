"""The transactional outbox: work that is announced if and only if its transaction commits.

A row is written in the transaction that makes it necessary; the drain publishes it and deletes it afterwards.
A crash in between publishes it again: at least once, so what it starts must be idempotent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.runtime.errors import is_dependency_away
from services.runtime.wake import Wake

_log = structlog.get_logger(__name__)

Publish = Callable[[sa.RowMapping], Awaitable[None]]
"""Publishes one row. Raises when it could not; a connection error means that no other row could be either."""


def outbox_table(metadata: sa.MetaData, name: str = "outbox") -> sa.Table:
    """A table that `Outbox` can drain: a topic and a JSON payload. Any table with a growing `id` will do; where it
    has `available_at`, a row waits until then.
    """
    return sa.Table(
        name,
        metadata,
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("payload", sa.JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )


async def put(
    connection: AsyncConnection,
    table: sa.Table,
    topic: str,
    payload: Any,
    *,
    notify_channel: str | None = None,
) -> None:
    """Add a row in the caller's transaction; a channel is notified at commit, for drains elsewhere."""
    await connection.execute(sa.insert(table).values(topic=topic, payload=payload))
    if notify_channel is not None:
        await connection.execute(sa.select(sa.func.pg_notify(notify_channel, "")))


class Outbox:
    """The background task that drains an outbox table. Several may run: rows are taken with SKIP LOCKED."""

    def __init__(
        self,
        engine: AsyncEngine,
        table: sa.Table,
        publish: Publish,
        *,
        batch: int = 100,
        sweep_s: float = 1.0,
    ) -> None:
        self._engine = engine
        self._table = table
        self._publish = publish
        self._batch = batch
        self._sweep_s = sweep_s
        self._wake = Wake()

    def wake(self) -> None:
        """There are new rows."""
        self._wake.set()

    async def run(self) -> None:
        """Drain until cancelled. While Postgres or the publisher is away it tries again at every sweep."""
        away = False
        while True:
            try:
                while await self.drain_once():
                    pass
                away = False
            except Exception as exc:
                if not is_dependency_away(exc):
                    raise
                if not away:
                    _log.warning("outbox waits", table=self._table.name, error=f"{type(exc).__name__}: {exc}")
                away = True
            await self._wake.wait(self._sweep_s)

    async def drain_once(self) -> bool:
        """Publish one batch in id order; whether there may be more.

        A row that cannot be published for a reason of its own stays for the next sweep and holds nobody up. A
        connection error ends the batch (what was published before is deleted) and is raised.
        """
        table = self._table
        query = sa.select(table).order_by(table.c.id).limit(self._batch).with_for_update(skip_locked=True)
        if "available_at" in table.c:
            query = query.where(table.c.available_at <= sa.func.clock_timestamp())
        async with self._engine.begin() as connection:
            rows = (await connection.execute(query)).mappings().all()
            published: list[int] = []
            lost: Exception | None = None
            for row in rows:
                try:
                    await self._publish(row)
                except Exception as exc:
                    if is_dependency_away(exc):
                        lost = exc
                        break
                    _log.exception("outbox row not published", table=table.name, row=row["id"])
                else:
                    published.append(row["id"])
            if published:
                await connection.execute(sa.delete(table).where(table.c.id.in_(published)))
        if lost is not None:
            raise lost
        return len(published) == self._batch

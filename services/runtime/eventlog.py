"""A log of events per stream, in Postgres: the authority that Redis streams are only a fast copy of.

The owner of a stream (a job, a render) gives its events the numbers 1, 2, 3 … under the lock of the stream's
own row, in the transaction that changes its state. So a number is never visible before its predecessors, and
there are no gaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine


class Event(NamedTuple):
    """One event of a stream."""

    seq: int
    payload: bytes


class Unrelayed(NamedTuple):
    """A committed event that has not been relayed to Redis yet."""

    stream_id: str
    seq: int
    payload: bytes


def event_table(metadata: sa.MetaData, name: str = "event") -> sa.Table:
    """The table of a service's event log. `id` gives the relay an order over all streams."""
    return sa.Table(
        name,
        metadata,
        sa.Column("stream_id", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("relayed", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Index(f"ix_{name}_unrelayed", "id", postgresql_where=sa.text("NOT relayed")),
    )


class EventStore:
    """Reads and writes an event table. `load`, `fetch_unrelayed` and `mark_relayed` fit `EventReader` and
    `Relay`.
    """

    def __init__(self, engine: AsyncEngine, table: sa.Table, *, notify_channel: str | None = None) -> None:
        """With a channel each append notifies it at commit.

        Needed only when the relay runs in another process than the writer: within one, `Relay.wake` is
        cheaper.
        """
        # What is read and marked here is a single statement each, atomic without BEGIN and COMMIT.
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._table = table
        self._notify = notify_channel
        self._unrelayed = (
            sa.select(table.c.stream_id, table.c.seq, table.c.payload)
            .where(~table.c.relayed)
            .order_by(table.c.id)
            .limit(sa.bindparam("most"))
        )
        self._mark = _marking(table)

    async def append(self, connection: AsyncConnection, stream_id: str, events: Sequence[Event]) -> None:
        """Add events in the caller's transaction, which holds the lock of the stream's row."""
        if not events:
            return
        rows = [{"stream_id": stream_id, "seq": seq, "payload": payload} for seq, payload in events]
        await connection.execute(sa.insert(self._table), rows)
        if self._notify is not None:
            await connection.execute(sa.select(sa.func.pg_notify(self._notify, "")))

    async def load(self, stream_id: str, after_seq: int, limit: int) -> Sequence[Event]:
        """Up to `limit` events after the position, in order."""
        table = self._table
        query = (
            sa.select(table.c.seq, table.c.payload)
            .where(table.c.stream_id == stream_id, table.c.seq > after_seq)
            .order_by(table.c.seq)
            .limit(limit)
        )
        async with self._single.connect() as connection:
            return [Event(row.seq, row.payload) for row in await connection.execute(query)]

    async def fetch_unrelayed(self, limit: int) -> Sequence[Unrelayed]:
        """The oldest events that have not been relayed, in an order that keeps each stream's own."""
        async with self._single.connect() as connection:
            return [Unrelayed(*row) for row in await connection.execute(self._unrelayed, {"most": limit})]

    async def mark_relayed(self, events: Sequence[tuple[str, int]]) -> None:
        """Remember that these (stream id, seq) have been relayed."""
        done = {"streams": [stream_id for stream_id, _ in events], "numbers": [seq for _, seq in events]}
        async with self._single.connect() as connection:
            await connection.execute(self._mark, done)


def _marking(table: sa.Table) -> sa.Update:
    streams, numbers = (
        sa.bindparam("streams", type_=ARRAY(sa.Text)),
        sa.bindparam("numbers", type_=ARRAY(sa.BigInteger)),
    )
    done = (
        sa.func.unnest(streams, numbers)
        .table_valued(sa.column("stream_id", sa.Text), sa.column("seq", sa.BigInteger), name="done")
        .render_derived()
    )
    return sa.update(table).values(relayed=True).where(table.c.stream_id == done.c.stream_id, table.c.seq == done.c.seq)

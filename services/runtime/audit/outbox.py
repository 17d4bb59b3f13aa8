"""The entries of a service that is not auth: first into its own database, then to auth, whenever that is there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import grpc
import orjson
import sqlalchemy as sa
import structlog
from google.protobuf import timestamp_pb2
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncEngine

from services.runtime.audit.entry import AuditEntry
from services.runtime.errors import is_dependency_away
from services.runtime.wake import Wake
from t2m.auth.v1 import audit_service_pb2, audit_service_pb2_grpc

_log = structlog.get_logger(__name__)
_BATCH = 200
_SWEEP_S = 1.0
_LINGER_S = 0.2
"""One call for all entries that come meanwhile."""
_CALL_S = 10.0


def audit_outbox_table(metadata: sa.MetaData) -> sa.Table:
    """The table, which a migration of the service makes."""
    return sa.Table(
        "audit_outbox",
        metadata,
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("entry_id", sa.Uuid(as_uuid=True), nullable=False),
        sa.Column("caller_id", sa.Text, nullable=False),
        sa.Column("entry", JSONB, nullable=False),
    )


class AuditOutbox:
    """`AuditSink` into the service's own database, and the background task that relays it to auth.

    A row is deleted in the transaction in which auth has said that it has it; an interruption in between sends it
    again, and auth knows it by its id. So none is lost and none is there twice, whoever dies when. Several replicas
    may relay: each takes rows that no other has.
    """

    def __init__(self, engine: AsyncEngine, table: sa.Table, auth: grpc.aio.Channel) -> None:
        """`auth`: a channel with the service's own token."""
        self._engine = engine
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._table = table
        self._insert = _insertion(table)
        self._stub: Any = audit_service_pb2_grpc.AuditServiceStub(auth)
        self._wake = Wake()

    async def write(self, entries: Sequence[AuditEntry]) -> None:
        """One statement, which is its own transaction."""
        rows = {
            "ids": [UUID(entry.entry_id) for entry in entries],
            "callers": [entry.caller_id for entry in entries],
            "entries": [orjson.dumps(entry.as_json()).decode() for entry in entries],
        }
        async with self._single.connect() as connection:
            await connection.execute(self._insert, rows)
        self._wake.set()

    async def holds(self, caller_id: str) -> bool:
        """Whether entries of this caller still wait to be relayed."""
        mine = sa.select(self._table.c.id).where(self._table.c.caller_id == caller_id).limit(1)
        async with self._single.connect() as connection:
            return (await connection.execute(mine)).first() is not None

    async def run(self) -> None:
        """Relay until cancelled; while auth or Postgres is away, try again at every sweep."""
        away = False
        while True:
            try:
                while await self.relay_once():
                    pass
                away = False
            except Exception as error:
                if not (isinstance(error, grpc.aio.AioRpcError) or is_dependency_away(error)):
                    raise
                if not away:
                    reason = error.code().name if isinstance(error, grpc.aio.AioRpcError) else type(error).__name__
                    _log.warning("audit entries wait", reason=reason)
                away = True
            if await self._wake.wait(_SWEEP_S):
                await asyncio.sleep(_LINGER_S)

    async def relay_once(self) -> bool:
        """Relay one batch; whether there may be more. Raises AioRpcError when auth did not take it."""
        table = self._table
        query = sa.select(table).order_by(table.c.id).limit(_BATCH).with_for_update(skip_locked=True)
        async with self._engine.begin() as connection:
            rows = (await connection.execute(query)).mappings().all()
            if not rows:
                return False
            request = audit_service_pb2.RecordAuditEntriesRequest(
                entries=[_message(AuditEntry.from_json(row["entry"])) for row in rows]
            )
            await self._stub.RecordAuditEntries(request, timeout=_CALL_S)
            await connection.execute(sa.delete(table).where(table.c.id.in_([row["id"] for row in rows])))
        return len(rows) == _BATCH


def _insertion(table: sa.Table) -> Any:
    """One text whatever the number of rows, so that it is compiled and prepared once."""
    rows = (
        sa.func.unnest(
            sa.bindparam("ids", type_=ARRAY(sa.Uuid(as_uuid=True))),
            sa.bindparam("callers", type_=ARRAY(sa.Text)),
            sa.bindparam("entries", type_=ARRAY(sa.Text)),
        )
        .table_valued("entry_id", "caller_id", "entry")
        .render_derived(name="rows")
    )
    values = sa.select(rows.c.entry_id, rows.c.caller_id, sa.cast(rows.c.entry, JSONB))
    return sa.insert(table).from_select(["entry_id", "caller_id", "entry"], values)


def _message(entry: AuditEntry) -> audit_service_pb2.AuditEntry:
    occurred_at = timestamp_pb2.Timestamp()
    occurred_at.FromDatetime(entry.occurred_at)
    return audit_service_pb2.AuditEntry(
        entry_id=entry.entry_id,
        occurred_at=occurred_at,
        service=entry.service,
        action=entry.action,
        outcome=entry.outcome,
        caller_kind=entry.caller_kind.value,
        caller_id=entry.caller_id,
        caller_role=entry.caller_role,
        session_id=entry.session_id,
        api_key_id=entry.api_key_id,
        client_address=entry.client_address,
        request_id=entry.request_id,
        resources=entry.resources,
    )

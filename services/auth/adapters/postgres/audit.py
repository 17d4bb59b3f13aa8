"""The audit trail in Postgres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, bindparam, func, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.auth.adapters.postgres.audit_tables import AUDIT_ENTRIES, ERASURES
from services.auth.adapters.postgres.users import as_uuid
from services.auth.domain.audit import AuditEntry, AuditFilter, CallerKind
from services.runtime.identity import current_call
from services.runtime.ids import new_id

_ENTRY = AUDIT_ENTRIES.c
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
_INSERT = text(
    # One text whatever the number of entries, so that it is compiled and prepared once.
    f"""
    INSERT INTO audit_entries ({", ".join(each.name for each in _ENTRY)}) SELECT * FROM jsonb_to_recordset(:entries)
    AS r({", ".join(f"{each.name} {each.type.compile(_DIALECT)}" for each in _ENTRY)})
    ON CONFLICT DO NOTHING
    """  # noqa: S608 - names of our own columns
).bindparams(bindparam("entries", type_=JSONB))


class PostgresAuditTrail:
    """`AuditTrail` on the connection of a unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def note(self, event: str, user_id: str, resources: Mapping[str, str] | None = None) -> None:
        """Add an entry to the transaction."""
        call = current_call()
        entry = AuditEntry(
            entry_id=new_id(),
            occurred_at=datetime.now(UTC),
            service="auth",
            action=event,
            outcome="OK",
            caller_kind=CallerKind.SYSTEM,
            client_address=call.client_address if call is not None else "",
            request_id=call.request_id if call is not None else "",
            resources={**(resources or {}), "user_id": user_id},
        )
        await _insert(self._connection, [entry])


class PostgresAudit:
    """`AuditStore` over Postgres."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        """All in one statement."""
        async with self._single.connect() as connection:
            await _insert(connection, entries)

    async def page(self, wanted: AuditFilter, before: str | None, limit: int) -> list[AuditEntry]:
        """Newest first."""
        return await self._read(page_statement(wanted, before, limit))

    async def concerning(self, user_id: str, before: str | None, limit: int) -> list[AuditEntry]:
        """Two walks, each along its own index, merged; one condition with OR would read the whole table."""
        walks = [
            page_statement(wanted, before, limit)
            for wanted in (AuditFilter(caller_id=user_id), AuditFilter(resource_id=user_id))
        ]
        found = {entry.entry_id: entry for walk in walks for entry in await self._read(walk)}
        return sorted(found.values(), key=lambda entry: entry.entry_id, reverse=True)[:limit]

    async def purge(self, older_than: timedelta, limit: int) -> int:
        """By the one function that may."""
        async with self._single.connect() as connection:
            return int((await connection.execute(select(func.purge_audit_entries(older_than, limit)))).scalar_one())

    async def _read(self, statement: Select[Any]) -> list[AuditEntry]:
        async with self._single.connect() as connection:
            return [_entry(row) for row in await connection.execute(statement)]


async def _insert(connection: AsyncConnection, entries: Sequence[AuditEntry]) -> None:
    """Add entries that are not there yet, in one statement, in the order of their ids."""
    if not entries:
        return
    ids = [user_id for person in {entry.person for entry in entries} if (user_id := as_uuid(person)) is not None]
    erased: set[str] = set()
    if ids:
        query = select(ERASURES.c.user_id).where(ERASURES.c.user_id.in_(ids), ERASURES.c.completed_at.is_not(None))
        erased = {str(user_id) for user_id in (await connection.execute(query)).scalars()}
    rows = [_values(entry, erased) for entry in sorted(entries, key=lambda entry: entry.entry_id)]
    await connection.execute(_INSERT, {"entries": rows})


def _values(entry: AuditEntry, erased: set[str]) -> dict[str, Any]:
    forgotten = entry.person in erased
    return {
        "entry_id": entry.entry_id,
        "occurred_at": entry.occurred_at,
        "service": entry.service,
        "action": entry.action,
        "outcome": entry.outcome,
        "caller_kind": entry.caller_kind.value,
        "caller_id": entry.caller_id,
        "caller_role": entry.caller_role,
        "session_id": entry.session_id,
        "api_key_id": entry.api_key_id,
        "client_address": "" if forgotten else entry.client_address,
        "request_id": "" if forgotten else entry.request_id,
        "resources": dict(entry.resources),
        "resource_ids": sorted(set(entry.resources.values())),
    }


def page_statement(wanted: AuditFilter, before: str | None, limit: int) -> Select[Any]:
    """Entries that match, newest first, along an index that ends with the id.

    The index of resources has no order. Postgres takes a resource for much more common than it is and would look for it
    along the ids, through all entries; so all of its entries, which are few, are fetched first.
    """
    conditions = _matches(wanted)
    if before is not None:
        conditions.append(_ENTRY.entry_id < UUID(before))
    statement = select(AUDIT_ENTRIES).where(*conditions)
    if wanted.resource_id:
        found = statement.cte("found").prefix_with("MATERIALIZED")
        return select(found).order_by(found.c.entry_id.desc()).limit(limit)
    return statement.order_by(_ENTRY.entry_id.desc()).limit(limit)


def _matches(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.caller_id:
        conditions.append(_ENTRY.caller_id == wanted.caller_id)
    if wanted.action:
        conditions.append(_ENTRY.action == wanted.action)
    if wanted.resource_id:
        conditions.append(_ENTRY.resource_ids.contains([wanted.resource_id]))
    if wanted.outcome:
        conditions.append(_ENTRY.outcome == wanted.outcome)
    if wanted.since is not None:
        conditions.append(_ENTRY.entry_id >= first_id_at(wanted.since))
    if wanted.until is not None:
        conditions.append(_ENTRY.entry_id < first_id_at(wanted.until))
    return conditions


def first_id_at(moment: datetime) -> UUID:
    """The smallest UUIDv7 of a moment: ids sort by time, so a range of time is a range of ids."""
    milliseconds = max(0, int(moment.timestamp() * 1000))
    return UUID(int=(milliseconds & ((1 << 48) - 1)) << 80)


def _entry(row: Any) -> AuditEntry:
    return AuditEntry(
        entry_id=str(row.entry_id),
        occurred_at=row.occurred_at,
        service=row.service,
        action=row.action,
        outcome=row.outcome,
        caller_kind=CallerKind(row.caller_kind),
        caller_id=row.caller_id,
        caller_role=row.caller_role,
        session_id=row.session_id,
        api_key_id=row.api_key_id,
        client_address=row.client_address,
        request_id=row.request_id,
        resources=dict(row.resources),
    )

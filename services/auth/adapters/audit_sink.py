"""The audit trail of auth's own calls: straight into the table that the other services relay to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from services.auth.adapters.postgres.audit import PostgresAudit
from services.auth.domain import audit as domain
from services.runtime.audit import AuditEntry

_NAMES = [each.name for each in fields(AuditEntry)]


class AuthAuditSink:
    """`AuditSink` over `AuditStore`."""

    def __init__(self, store: PostgresAudit) -> None:
        self._store = store

    async def write(self, entries: Sequence[AuditEntry]) -> None:
        """One statement for all."""
        await self._store.add([_of(entry) for entry in entries])


def _of(entry: AuditEntry) -> domain.AuditEntry:
    values = {name: getattr(entry, name) for name in _NAMES}
    return domain.AuditEntry(**{**values, "caller_kind": domain.CallerKind(entry.caller_kind.value)})

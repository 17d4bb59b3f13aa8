"""Entries of the audit trail in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from services.runtime.audit import AuditEntry


class MemoryAudit:
    """`AuditSink`; `error` makes it fail."""

    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []
        self.statements = 0
        self.error: Exception | None = None
        self.wrote = asyncio.Event()

    async def write(self, entries: Sequence[AuditEntry]) -> None:
        """All, or none."""
        if self.error is not None:
            raise self.error
        self.statements += 1
        self.entries.extend(entries)
        self.wrote.set()

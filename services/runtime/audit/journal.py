"""Writes entries before the answers they tell of leave: concurrent calls share one statement and its commit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import orjson
import structlog
from prometheus_client import Counter

from services.runtime.audit.entry import AuditEntry

_log = structlog.get_logger("audit")
_MOST = 500
"""Entries in one statement."""
_LONGEST_S = 2.0
"""A database that is away holds up an answer for no longer than this."""

AUDIT_ENTRIES = Counter("t2m_audit_entries_total", "Entries of the audit trail that were written.")
AUDIT_LOST = Counter("t2m_audit_lost_total", "Entries that could not be written; they are in the error log.")


class AuditSink(Protocol):
    """Where a service keeps its entries."""

    async def write(self, entries: Sequence[AuditEntry]) -> None:
        """Store the entries durably, all in one statement."""
        ...


class AuditJournal:
    """Groups entries: while one statement is under way, those that come meanwhile make up the next.

    An entry that cannot be written fails nothing, because what it tells of has been done: it goes to the error log,
    and `t2m_audit_lost_total` counts it.
    """

    def __init__(self, service: str, sink: AuditSink) -> None:
        self.service = service
        self._sink = sink
        self._waiting: list[tuple[AuditEntry, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def record(self, entry: AuditEntry) -> None:
        """Return once the entry is stored, or known not to be. Cancelling the wait does not undo it."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, written))
        self._start()
        await asyncio.shield(written)

    def leave(self, entry: AuditEntry) -> None:
        """The same for a call that nobody waits for any more."""
        self._waiting.append((entry, asyncio.get_running_loop().create_future()))
        self._start()

    async def close(self) -> None:
        """Return when everything is written."""
        while self._writing is not None:
            await asyncio.wait({self._writing})

    def _start(self) -> None:
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
                await self._write([entry for entry, _ in batch])
                for _, written in batch:
                    if not written.done():
                        written.set_result(None)
        finally:
            self._writing = None

    async def _write(self, entries: list[AuditEntry]) -> None:
        try:
            async with asyncio.timeout(_LONGEST_S):
                await self._sink.write(entries)
        except Exception as error:  # the calls have been made; what could go wrong with the table is no reason to fail
            AUDIT_LOST.inc(len(entries))
            for entry in entries:
                # As text: in a dictionary the log would strike out the key's id, by its name.
                text = orjson.dumps(entry.as_json()).decode()
                _log.error("audit entry not written", reason=type(error).__name__, entry=text)
        else:
            AUDIT_ENTRIES.inc(len(entries))

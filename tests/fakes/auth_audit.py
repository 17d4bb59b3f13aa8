"""The audit trail and erasures in memory; `tests/contract/test_auth_record.py` proves them equal to Postgres."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from services.auth.domain.audit import AuditEntry, AuditFilter
from services.auth.domain.erasure import Erasure


@dataclass(frozen=True)
class Note:
    """What was noted."""

    event: str
    user_id: str
    resources: Mapping[str, str] = field(default_factory=dict)


class FakeAuditTrail:
    """`AuditTrail` over the notes of a unit of work."""

    def __init__(self, notes: dict[int, Note]) -> None:
        self._notes = notes

    async def note(self, event: str, user_id: str, resources: Mapping[str, str] | None = None) -> None:
        """The next one."""
        self._notes[len(self._notes)] = Note(event, user_id, dict(resources or {}))


class FakeAuditStore:
    """`AuditStore`."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.entries: dict[str, AuditEntry] = {}
        self._clock = clock

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        """Those that are new."""
        for entry in entries:
            self.entries.setdefault(entry.entry_id, entry)

    async def page(self, wanted: AuditFilter, before: str | None, limit: int) -> list[AuditEntry]:
        """Newest first."""
        return self._newest([entry for entry in self.entries.values() if _matches(entry, wanted)], before, limit)

    async def concerning(self, user_id: str, before: str | None, limit: int) -> list[AuditEntry]:
        """Of the user, or naming the user."""
        found = [
            entry
            for entry in self.entries.values()
            if entry.caller_id == user_id or user_id in entry.resources.values()
        ]
        return self._newest(found, before, limit)

    async def purge(self, older_than: timedelta, limit: int) -> int:
        """Never what is younger than 30 days."""
        since = self._clock() - max(older_than, timedelta(days=30))
        old = sorted(key for key, entry in self.entries.items() if entry.occurred_at < since)[:limit]
        for key in old:
            del self.entries[key]
        return len(old)

    @staticmethod
    def _newest(found: list[AuditEntry], before: str | None, limit: int) -> list[AuditEntry]:
        older = [entry for entry in found if before is None or entry.entry_id < before]
        return sorted(older, key=lambda entry: entry.entry_id, reverse=True)[:limit]


def _matches(entry: AuditEntry, wanted: AuditFilter) -> bool:
    return (
        wanted.caller_id in ("", entry.caller_id)
        and wanted.action in ("", entry.action)
        and wanted.outcome in ("", entry.outcome)
        and (not wanted.resource_id or wanted.resource_id in entry.resources.values())
        and (wanted.since is None or entry.occurred_at >= wanted.since)
        and (wanted.until is None or entry.occurred_at < wanted.until)
    )


@dataclass
class FakeErasures:
    """`ErasureRepository` over the tables of a unit of work."""

    tables: Any

    async def begin(self, erasure: Erasure) -> Erasure:
        """One for each user."""
        for known in self.tables.erasures.values():
            if known.user_id == erasure.user_id:
                return known  # type: ignore[no-any-return]
        self.tables.erasures[erasure.erasure_id] = erasure
        return erasure

    async def drop_credentials(self, user_id: str) -> None:
        """Sessions, keys, and what names the person."""
        tables = self.tables
        for key in [key for key, session in tables.sessions.items() if session.user_id == user_id]:
            del tables.sessions[key]
        for key in [key for key, api_key in tables.api_keys.items() if api_key.user_id == user_id]:
            del tables.api_keys[key]
        tables.users[user_id] = replace(tables.users[user_id], email=None, display_name="", password_hash=None)

    async def get(self, erasure_id: str) -> Erasure | None:
        """By id."""
        return self.tables.erasures.get(erasure_id)  # type: ignore[no-any-return]

    async def waiting(self, service: str, limit: int) -> list[Erasure]:
        """Oldest first."""
        return [each for each in await self.open(len(self.tables.erasures)) if service in each.waiting_for][:limit]

    async def acknowledge(self, erasure_id: str, service: str, now: datetime) -> bool:
        """Once."""
        known = self.tables.erasures.get(erasure_id)
        if known is None:
            return False
        left = tuple(each for each in known.waiting_for if each != service)
        self.tables.erasures[erasure_id] = replace(known, waiting_for=left)
        return True

    async def open(self, limit: int) -> list[Erasure]:
        """Oldest first."""
        opened = [each for each in self.tables.erasures.values() if each.completed_at is None]
        return sorted(opened, key=lambda each: each.requested_at)[:limit]

    async def anonymise(self, user_id: str, limit: int) -> int:
        """Notes have no addresses here."""
        return 0

    async def finish(self, erasure: Erasure, now: datetime) -> bool:
        """Drop the account."""
        self.tables.users.pop(erasure.user_id, None)
        self.tables.erasures[erasure.erasure_id] = replace(erasure, completed_at=now)
        return True

"""Read the audit trail, take what services relay to it, and end what is too old (A8)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from services.auth.domain.audit import AuditEntry, AuditFilter

_OLD_BATCH = 5000


class AuditStore(Protocol):
    """The entries. They are only ever added; what is too old is deleted as a whole."""

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        """Store entries; those whose id is known are left as they are. The address of erased users is left out."""
        ...

    async def page(self, wanted: AuditFilter, before: str | None, limit: int) -> list[AuditEntry]:
        """Entries with ids smaller than `before`, newest first."""
        ...

    async def concerning(self, user_id: str, before: str | None, limit: int) -> list[AuditEntry]:
        """The same of the calls of a user, and of all that names the user."""
        ...

    async def purge(self, older_than: timedelta, limit: int) -> int:
        """Delete entries that are older, by the database's clock, at most `limit`; how many."""
        ...


class Audit:
    """The use cases behind `AuditService`."""

    def __init__(self, store: AuditStore, kept: timedelta) -> None:
        """`kept`: how long entries stay."""
        self._store = store
        self._kept = kept

    async def record(self, entries: Sequence[AuditEntry]) -> None:
        """Take what a service relays; again does no harm."""
        await self._store.add(entries)

    async def page(self, wanted: AuditFilter, before: str | None, limit: int) -> tuple[list[AuditEntry], str | None]:
        """A page for an admin, newest first, and the id after which the next one begins."""
        found = await self._store.page(wanted, before, limit + 1)
        return found[:limit], found[limit - 1].entry_id if len(found) > limit else None

    async def own(self, user_id: str, before: str | None, limit: int) -> tuple[list[AuditEntry], str | None]:
        """A page for a user: what they did and what was done to them."""
        found = await self._store.concerning(user_id, before, limit + 1)
        last = found[limit - 1].entry_id if len(found) > limit else None
        return [entry.as_seen_by(user_id) for entry in found[:limit]], last

    async def purge(self) -> int:
        """Delete what is older than it is kept; how many entries."""
        count = 0
        while deleted := await self._store.purge(self._kept, _OLD_BATCH):
            count += deleted
        return count

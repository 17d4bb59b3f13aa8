"""All rows of an owner in memory; `tests/contract/test_storage_erasing.py` proves it equal to Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from services.storage.domain.objects import ObjectState, StoredObject
from tests.fakes.storage import MemoryObjectRepository


class MemoryOwnedObjects:
    """`OwnedObjects` over the rows of the repository."""

    def __init__(self, objects: MemoryObjectRepository) -> None:
        self._objects = objects
        self._erased: dict[str, datetime] = {}

    async def condemn(self, owner_id: str, now: datetime, limit: int) -> int:
        """Pending and committed → deleted."""
        mine = [row for row in self._of(owner_id) if row.state is not ObjectState.DELETED][:limit]
        for row in mine:
            self._objects.rows[row.object_id] = replace(row, state=ObjectState.DELETED)
        return len(mine)

    async def note_erased(self, owner_id: str, now: datetime) -> None:
        """The first time counts."""
        self._erased.setdefault(owner_id, now)

    async def erased(self, since: datetime) -> list[str]:
        """Forgets older ones."""
        self._erased = {owner: at for owner, at in self._erased.items() if at >= since}
        return list(self._erased)

    async def condemned(self, owner_id: str, after: str | None, limit: int) -> Sequence[StoredObject]:
        """Smallest id first."""
        gone = [row for row in self._of(owner_id) if row.state is ObjectState.DELETED]
        return [row for row in gone if after is None or row.object_id > after][:limit]

    def _of(self, owner_id: str) -> list[StoredObject]:
        return [row for _, row in sorted(self._objects.rows.items()) if row.placement.owner_id == owner_id]

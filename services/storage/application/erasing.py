"""Removes everything that is kept of an owner, in every bucket, whatever state it is in (A8)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from services.storage.application.ports import BlobStore, Clock, ObjectRepository
from services.storage.domain.errors import StorageFull, StorageUnavailable
from services.storage.domain.objects import StoredObject

LATE = timedelta(days=7)
"""So long is looked for what arrives of an erased owner."""
_BATCH = 200


class OwnedObjects(Protocol):
    """The rows of one owner, of every state; only for erasing them."""

    async def condemn(self, owner_id: str, now: datetime, limit: int) -> int:
        """Pending and committed → deleted; how many, at most `limit`."""
        ...

    async def note_erased(self, owner_id: str, now: datetime) -> None:
        """Remember the owner; a first time stays as it was."""
        ...

    async def erased(self, since: datetime) -> list[str]:
        """Owners that were erased since then; older ones are forgotten."""
        ...

    async def condemned(self, owner_id: str, after: str | None, limit: int) -> Sequence[StoredObject]:
        """Deleted rows, whose bytes may still be there, with ids after `after`, smallest first."""
        ...


class EraseOwner:
    """In steps that may each be repeated: rows stop pointing, then bytes go, each row after its bytes."""

    def __init__(self, owned: OwnedObjects, objects: ObjectRepository, blobs: BlobStore, clock: Clock) -> None:
        self._owned = owned
        self._objects = objects
        self._blobs = blobs
        self._clock = clock

    async def __call__(self, owner_id: str) -> bool:
        """Whether nothing is left. What the store does not give up now is left for the next call."""
        await self._owned.note_erased(owner_id, self._clock.now())
        return await self._remove(owner_id)

    async def again(self) -> None:
        """Remove what has arrived since: a worker that could not reach storage brings later what it has drawn."""
        for owner_id in await self._owned.erased(self._clock.now() - LATE):
            await self._remove(owner_id)

    async def _remove(self, owner_id: str) -> bool:
        while await self._owned.condemn(owner_id, self._clock.now(), _BATCH):
            pass
        clean, after = True, None
        while rows := await self._owned.condemned(owner_id, after, _BATCH):
            for row in rows:
                try:
                    await self._blobs.delete(row.address)
                except (StorageUnavailable, StorageFull):
                    clean = False
                else:
                    await self._objects.purge(row.object_id, owner_id)
            after = rows[-1].object_id
        return clean

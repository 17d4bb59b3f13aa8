"""Reclaiming what crashed writes and interrupted deletions leave behind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from services.storage.application.ports import BlobStore, Clock, ObjectRepository
from services.storage.domain.errors import StorageFull, StorageUnavailable

_BATCH = 200


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep did."""

    abandoned: int
    """Pending rows that were given up."""
    removed: int
    """Objects whose bytes and row are gone."""
    failed: int
    """Objects whose bytes could not be removed; the next sweep tries again."""


class Sweep:
    """One pass over the rows: pending ones older than the grace end, then the bytes of deleted ones go.

    Every step may be repeated and may run in several processes at once. A row is dropped only after its
    bytes, so a sweep that is killed loses track of nothing.
    """

    def __init__(self, objects: ObjectRepository, blobs: BlobStore, clock: Clock, pending_grace: timedelta) -> None:
        self._objects = objects
        self._blobs = blobs
        self._clock = clock
        self._pending_grace = pending_grace

    async def __call__(self) -> Swept:
        """Sweep everything that is due now."""
        abandoned = await self._abandon()
        removed = failed = 0
        after: str | None = None
        while rows := await self._objects.deleted(after, _BATCH):
            for row in rows:
                try:
                    await self._blobs.delete(row.address)
                except (StorageUnavailable, StorageFull):
                    failed += 1
                else:
                    await self._objects.purge(row.object_id, row.placement.owner_id)
                    removed += 1
            after = rows[-1].object_id
        return Swept(abandoned, removed, failed)

    async def _abandon(self) -> int:
        now = self._clock.now()
        total = 0
        while count := await self._objects.abandon_stale(now - self._pending_grace, now, _BATCH):
            total += count
        return total

"""The ports of maintenance in memory; `tests/contract/test_storage_inventory.py` proves them equal to the real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from services.storage.application.inventory import BlobPage, FoundBlob, Totals
from services.storage.domain.objects import BlobAddress, Bucket, ObjectState, StoredObject
from tests.fakes.storage import MemoryBlobStore, MemoryObjectRepository

_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


class MemoryInventory:
    """`BlobInventory` of a `MemoryBlobStore`; `begun` are the uploads that nobody completed."""

    def __init__(self, store: MemoryBlobStore) -> None:
        self._store = store
        self.begun: dict[BlobAddress, datetime] = {}

    async def page(self, bucket: Bucket, after: str, limit: int) -> BlobPage:
        self._touch()
        found = [
            FoundBlob(address.key, len(data), self._store.modified.get(address, _LONG_AGO))
            for address, data in self._store.blobs.items()
            if address.bucket is bucket and address.key.encode() > after.encode()
        ]
        page = sorted(found, key=lambda each: each.key.encode())[:limit]
        return BlobPage(page, page[-1].key if len(found) > limit else None)

    async def unfinished(self, bucket: Bucket, limit: int) -> Sequence[FoundBlob]:
        self._touch()
        found = sorted((each.key, at) for each, at in self.begun.items() if each.bucket is bucket)
        return [FoundBlob(key, 0, at) for key, at in found[:limit]]

    async def discard_unfinished(self, address: BlobAddress) -> None:
        self._touch()
        self.begun.pop(address, None)

    def _touch(self) -> None:
        if self._store.failing is not None:
            raise self._store.failing


class MemoryLedger:
    """`ObjectLedger` of a `MemoryObjectRepository`."""

    def __init__(self, objects: MemoryObjectRepository) -> None:
        self._objects = objects

    async def states(self, bucket: Bucket, keys: Sequence[str]) -> Mapping[str, ObjectState]:
        rows = self._objects.rows.values()
        return {row.key: row.state for row in rows if row.placement.bucket is bucket and row.key in keys}

    async def committed(
        self, after: str | None, limit: int, *, committed_before: datetime | None = None
    ) -> Sequence[StoredObject]:
        return [
            row
            for row in self._committed()
            if row.object_id > (after or "")
            and (committed_before is None or (row.committed_at is not None and row.committed_at <= committed_before))
        ][:limit]

    async def totals(self) -> Totals:
        rows = self._committed()
        return Totals(len(rows), sum(row.size_bytes for row in rows))

    async def expire(self, bucket: Bucket, created_before: datetime, now: datetime, limit: int) -> int:
        due = [row for row in self._committed() if row.placement.bucket is bucket and row.created_at < created_before][
            :limit
        ]
        for row in due:
            self._objects.rows[row.object_id] = replace(row, state=ObjectState.DELETED)
        return len(due)

    def _committed(self) -> list[StoredObject]:
        rows = [row for row in self._objects.rows.values() if row.state is ObjectState.COMMITTED]
        return sorted(rows, key=lambda row: row.object_id)


class MemoryCopyJournal:
    """`CopyJournal` in a set of target and object id."""

    def __init__(self, objects: MemoryObjectRepository) -> None:
        self._objects = objects
        self.known: set[tuple[str, str]] = set()

    async def verified(self, target: str, object_ids: Sequence[str]) -> frozenset[str]:
        return frozenset(each for each in object_ids if (target, each) in self.known)

    async def note(self, target: str, stored: StoredObject) -> bool:
        if await self._objects.find(stored.object_id, None) is None:
            return False
        self.known.add((target, stored.object_id))
        return True

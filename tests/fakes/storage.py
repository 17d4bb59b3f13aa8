"""Storage's ports in memory; `tests/contract/test_storage_*.py` prove them equal to the real adapters."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from services.storage.application.ports import ObjectFilter, Presentation
from services.storage.domain.errors import BytesLost, WriteSuperseded
from services.storage.domain.objects import ArtifactKind, BlobAddress, BlobReceipt, ObjectState, StoredObject

_READ_CHUNK = 128 * 1024


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: datetime = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def advance(self, by: timedelta) -> None:
        self._now += by


class MemoryBlobStore:
    """`BlobStore` in a dictionary. `failing` is raised by every method while it is set."""

    def __init__(self) -> None:
        self.blobs: dict[BlobAddress, bytes] = {}
        self.modified: dict[BlobAddress, datetime] = {}
        self.failing: Exception | None = None
        self.presigned: str | None = None

    async def put(self, address: BlobAddress, chunks: AsyncIterator[bytes], *, content_type: str) -> BlobReceipt:
        await self._touch()
        data = b"".join([chunk async for chunk in chunks])
        self.blobs[address] = data
        self.modified[address] = datetime.now(UTC)
        return BlobReceipt(len(data), hashlib.sha256(data).hexdigest())

    async def read(self, address: BlobAddress, offset: int, length: int) -> AsyncGenerator[bytes]:
        await self._touch()
        data = self.blobs.get(address)
        if data is None or offset + length > len(data):
            raise BytesLost("the bytes of the object are missing")
        for start in range(offset, offset + length, _READ_CHUNK):
            yield data[start : min(start + _READ_CHUNK, offset + length)]

    async def head(self, address: BlobAddress) -> int | None:
        await self._touch()
        data = self.blobs.get(address)
        return None if data is None else len(data)

    async def delete(self, address: BlobAddress) -> None:
        await self._touch()
        self.blobs.pop(address, None)

    async def presign(
        self, address: BlobAddress, *, expires_at: datetime, content_type: str, presentation: Presentation
    ) -> str | None:
        return self.presigned

    async def _touch(self) -> None:
        await asyncio.sleep(0)
        if self.failing is not None:
            raise self.failing


class MemoryObjectRepository:
    """`ObjectRepository` in a dictionary."""

    def __init__(self) -> None:
        self.rows: dict[str, StoredObject] = {}

    async def add(self, pending: StoredObject) -> None:
        await asyncio.sleep(0)
        assert pending.object_id not in self.rows
        self.rows[pending.object_id] = pending

    async def commit(self, committed: StoredObject) -> bool:
        await asyncio.sleep(0)
        row = self._row(committed.object_id, committed.placement.owner_id, ObjectState.PENDING)
        if row is None:
            raise WriteSuperseded("not pending")
        if await self.find_written(committed.placement.owner_id, committed.request_id) is not None:
            return False
        self.rows[committed.object_id] = committed
        return True

    async def find_written(self, owner_id: str, request_id: str) -> StoredObject | None:
        wanted = (owner_id, request_id, ObjectState.COMMITTED)
        for row in self.rows.values():
            if (row.placement.owner_id, row.request_id, row.state) == wanted:
                return row
        return None

    async def find(self, object_id: str, owner_id: str | None) -> StoredObject | None:
        return self._row(object_id, owner_id, ObjectState.COMMITTED)

    async def find_pending(self, object_id: str, owner_id: str) -> StoredObject | None:
        return self._row(object_id, owner_id, ObjectState.PENDING)

    async def page(self, wanted: ObjectFilter, after: str | None, limit: int) -> Sequence[StoredObject]:
        def matches(row: StoredObject) -> bool:
            place = row.placement
            return (
                row.state is ObjectState.COMMITTED
                and place.owner_id == wanted.owner_id
                and wanted.job_id in (None, place.job_id)
                and wanted.kind in (None, place.kind)
            )

        return self._keyset(matches, after, limit)

    async def mark_deleted(self, object_id: str, owner_id: str | None, now: datetime) -> StoredObject | None:
        return self._delete(self._row(object_id, owner_id, ObjectState.COMMITTED))

    async def mark_job_deleted(
        self, owner_id: str, job_id: str, kinds: frozenset[ArtifactKind], now: datetime
    ) -> Sequence[StoredObject]:
        open_states = (ObjectState.PENDING, ObjectState.COMMITTED)
        found = [
            row
            for _, row in sorted(self.rows.items())
            if (row.placement.owner_id, row.placement.job_id) == (owner_id, job_id)
            and row.state in open_states
            and (not kinds or row.placement.kind in kinds)
        ]
        for row in found:
            self._delete(row)
        return found

    async def abandon(self, object_id: str, owner_id: str, now: datetime) -> bool:
        await asyncio.sleep(0)
        return self._delete(self._row(object_id, owner_id, ObjectState.PENDING)) is not None

    async def abandon_stale(self, created_before: datetime, now: datetime, limit: int) -> int:
        stale = [
            row
            for row in self.rows.values()
            if row.state is ObjectState.PENDING
            and row.created_at < created_before
            and row.placement.kind is not ArtifactKind.FILE_UPLOAD
        ][:limit]
        for row in stale:
            self._delete(row)
        return len(stale)

    async def deleted(self, after: str | None, limit: int) -> Sequence[StoredObject]:
        return self._keyset(lambda row: row.state is ObjectState.DELETED, after, limit)

    async def purge(self, object_id: str, owner_id: str) -> None:
        if self._row(object_id, owner_id, ObjectState.DELETED) is not None:
            del self.rows[object_id]

    def _row(self, object_id: str, owner_id: str | None, state: ObjectState) -> StoredObject | None:
        row = self.rows.get(object_id)
        if row is None or row.state is not state or owner_id not in (None, row.placement.owner_id):
            return None
        return row

    def _delete(self, row: StoredObject | None) -> StoredObject | None:
        if row is None:
            return None
        self.rows[row.object_id] = replace(row, state=ObjectState.DELETED)
        return self.rows[row.object_id]

    def _keyset(self, matches: Callable[[StoredObject], bool], after: str | None, limit: int) -> Sequence[StoredObject]:
        ids = sorted(key for key, row in self.rows.items() if matches(row) and key > (after or ""))
        return [self.rows[key] for key in ids[:limit]]

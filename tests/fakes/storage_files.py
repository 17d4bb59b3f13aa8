"""Ports of users' files in memory; `tests/contract/test_storage_files.py` proves them equal to the real adapters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

from services.storage.domain.errors import ScannerUnavailable, UnsupportedContent
from services.storage.domain.files import PNG, TEXT, FilePlan, FileUsage, check_room
from services.storage.domain.objects import ArtifactKind, ObjectState, StoredObject
from tests.fakes.sample_files import EICAR
from tests.fakes.storage import MemoryObjectRepository

_COUNTED = (ArtifactKind.FILE, ArtifactKind.FILE_UPLOAD)
_OPEN = (ObjectState.PENDING, ObjectState.COMMITTED)


class MemoryFileLedger:
    """`FileLedger` over the rows of a `MemoryObjectRepository`."""

    def __init__(self, objects: MemoryObjectRepository) -> None:
        self._objects = objects

    async def reserve(self, pending: StoredObject, plan: FilePlan) -> None:
        await asyncio.sleep(0)
        check_room(self._usage(pending.placement.owner_id), pending.size_bytes, plan)
        self._objects.rows[pending.object_id] = pending

    async def usage(self, owner_id: str) -> FileUsage:
        return self._usage(owner_id)

    async def release(self, reservation: StoredObject) -> None:
        row = self._objects.rows.get(reservation.object_id)
        if row is not None and (row.placement.kind, row.state) == (ArtifactKind.FILE_UPLOAD, ObjectState.PENDING):
            del self._objects.rows[row.object_id]

    async def arriving(self, owner_id: str, upload_id: str) -> StoredObject | None:
        wanted = (owner_id, upload_id, ArtifactKind.FILE_PART, ObjectState.PENDING)
        found = [
            row
            for row in self._objects.rows.values()
            if (row.placement.owner_id, row.placement.job_id, row.placement.kind, row.state) == wanted and row.sha256
        ]
        return max(found, key=lambda row: row.object_id, default=None)

    async def expire(self, created_before: datetime, now: datetime, limit: int) -> int:
        due = {
            (ArtifactKind.FILE_UPLOAD, ObjectState.PENDING): 0,
            (ArtifactKind.FILE_PART, ObjectState.COMMITTED): 0,
        }
        for row in list(self._objects.rows.values()):
            key = (row.placement.kind, row.state)
            if key in due and row.created_at < created_before and due[key] < limit:
                due[key] += 1
                self._objects._delete(row)
        return sum(due.values())

    def _usage(self, owner_id: str) -> FileUsage:
        sizes: dict[str, int] = {}
        for row in self._objects.rows.values():
            if row.placement.owner_id == owner_id and row.placement.kind in _COUNTED and row.state in _OPEN:
                sizes[row.request_id] = max(row.size_bytes, sizes.get(row.request_id, 0))
        return FileUsage(len(sizes), sum(sizes.values()))


class MemoryScanner:
    """`MalwareScanner` that knows one signature; `away` makes it fail."""

    def __init__(self) -> None:
        self.away = False

    async def scan(self, chunks: AsyncIterator[bytes]) -> str | None:
        data = b"".join([chunk async for chunk in chunks])
        if self.away:
            raise ScannerUnavailable("the malware scanner does not answer")
        return "Eicar-Test-Signature" if EICAR in data else None


class FirstBytesInspector:
    """`ContentInspector` that looks at the beginning only."""

    async def inspect(self, chunks: AsyncIterator[bytes]) -> str:
        data = b"".join([chunk async for chunk in chunks])
        if data.startswith(b"\x89PNG"):
            return PNG
        if b"\0" in data:
            raise UnsupportedContent("this")
        return TEXT

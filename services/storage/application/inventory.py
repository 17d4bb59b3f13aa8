"""What a store has and what the rows say it should have: the ports of the orphan sweep and of migrations.

`tests/contract/test_storage_inventory.py` says what an adapter must do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.storage.domain.objects import BlobAddress, Bucket, ObjectState, StoredObject


@dataclass(frozen=True, slots=True)
class FoundBlob:
    """Something that lies in a bucket, whoever put it there."""

    key: str
    size_bytes: int
    """Of the newest version; 0 of an upload whose length the store does not tell."""
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class BlobPage:
    """A part of a listing."""

    found: Sequence[FoundBlob]
    next_after: str | None
    """Key to go on after; None on the last page."""


class BlobInventory(Protocol):
    """Lists what is in a bucket. Every method raises StorageUnavailable when the store is away."""

    async def page(self, bucket: Bucket, after: str, limit: int) -> BlobPage:
        """Whole blobs with keys greater than `after` in the order of their UTF-8 bytes, at most `limit` (1 to 1000).

        A key of which only old versions or delete markers are left is listed too. A page may be empty and not the last.
        """
        ...

    async def unfinished(self, bucket: Bucket, limit: int) -> Sequence[FoundBlob]:
        """Uploads that began and were neither completed nor aborted, at most `limit`, in the order of their keys."""
        ...

    async def discard_unfinished(self, address: BlobAddress) -> None:
        """Give up the unfinished uploads of a key; a whole blob under it stays. Succeeds when there is nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Totals:
    """How much is committed."""

    objects: int
    total_bytes: int


class ObjectLedger(Protocol):
    """The rows of all owners, for maintenance only: no use case that serves a caller may have it."""

    async def states(self, bucket: Bucket, keys: Sequence[str]) -> Mapping[str, ObjectState]:
        """The state of the row of each key that has one."""
        ...

    async def committed(
        self, after: str | None, limit: int, *, committed_before: datetime | None = None
    ) -> Sequence[StoredObject]:
        """Committed objects with ids greater than `after`, smallest first."""
        ...

    async def totals(self) -> Totals:
        """Of all committed objects."""
        ...

    async def expire(self, bucket: Bucket, created_before: datetime, now: datetime, limit: int) -> int:
        """Committed → deleted for objects of the bucket that were made before; how many, at most `limit`."""
        ...

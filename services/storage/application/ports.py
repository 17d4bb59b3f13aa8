"""What the use cases need; `tests/contract/test_storage_*.py` says what an adapter must do."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Protocol

from services.storage.domain.objects import ArtifactKind, BlobAddress, BlobReceipt, StoredObject


class Clock(Protocol):
    """Tells the time, always aware and in UTC."""

    def now(self) -> datetime:
        """The current moment."""
        ...


@dataclass(frozen=True, slots=True)
class Presentation:
    """How a client should see an object that it fetches by URL."""

    filename: str = ""
    """For `Content-Disposition`; empty: the object's own name."""
    inline: bool = False
    cache_control: str = ""


class BlobStore(Protocol):
    """Bytes by address. Shaped so that a file system and S3 both fit.

    Every method raises StorageUnavailable when the store is away.
    """

    async def put(self, address: BlobAddress, chunks: AsyncIterator[bytes], *, content_type: str) -> BlobReceipt:
        """Store all chunks durably under the address and tell what was stored.

        The bytes appear whole or not at all: when `chunks` raises, or the caller is cancelled, nothing is
        left under the address. Memory use is constant, and `chunks` is read only as fast as it is stored.
        Raises StorageFull.
        """
        ...

    def read(self, address: BlobAddress, offset: int, length: int) -> AsyncGenerator[bytes]:
        """The bytes of a range in order, in chunks of at most 256 KiB; the range lies inside the blob.

        The generator must be closed. Raises BytesLost when the blob is missing or ends before the range does.
        """
        ...

    async def head(self, address: BlobAddress) -> int | None:
        """The length in bytes, None when there is nothing."""
        ...

    async def delete(self, address: BlobAddress) -> None:
        """Remove the bytes and whatever an interrupted `put` left behind; succeeds when there is nothing."""
        ...

    async def presign(
        self, address: BlobAddress, *, expires_at: datetime, content_type: str, presentation: Presentation
    ) -> str | None:
        """An absolute URL by which anybody may GET or HEAD just this blob until `expires_at`.

        None when the store cannot serve clients itself, as the file system cannot.
        """
        ...


@dataclass(frozen=True, slots=True)
class UploadTarget:
    """Takes one PUT of `size_bytes` bytes, from `offset` on, with just these headers."""

    url: str
    headers: Mapping[str, str]
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class UploadTargets:
    """Where a whole object goes, in order and without gaps; `upload_id` is empty for a single part."""

    upload_id: str
    parts: tuple[UploadTarget, ...]


class DirectStore(Protocol):
    """A store that takes bytes from writers itself. Every method raises StorageUnavailable when it is away."""

    async def plan(
        self, address: BlobAddress, size_bytes: int, *, content_type: str, lifetime: timedelta
    ) -> UploadTargets:
        """Where a writer may put an object of this length (more than 0) and type, and nothing else, for so long."""
        ...

    async def join(self, address: BlobAddress, upload_id: str, etags: Sequence[str]) -> None:
        """Make one object of the parts, whose entity tags are given in order. Succeeds when that was done before.

        Raises UploadIncomplete when the store has not got them all.
        """
        ...

    async def measure(self, address: BlobAddress, size_bytes: int, sha256: str) -> BlobReceipt:
        """What the store has under the address; what was announced, where the store is trusted to have checked it."""
        ...


@dataclass(frozen=True, slots=True)
class ObjectFilter:
    """Which objects of an owner a list wants; None: no bound."""

    owner_id: str
    job_id: str | None = None
    kind: ArtifactKind | None = None


class ObjectRepository(Protocol):
    """The rows of objects. `owner_id` None means: a service asks for the object whoever owns it."""

    async def add(self, pending: StoredObject) -> None:
        """Store the row of a write that begins."""
        ...

    async def commit(self, committed: StoredObject) -> bool:
        """Turn the pending row into this committed one, with its length, checksum and content type.

        False when another write with the same owner and request id was committed before.
        Raises WriteSuperseded when the row is not pending any more.
        """
        ...

    async def find_written(self, owner_id: str, request_id: str) -> StoredObject | None:
        """The committed object that this request wrote."""
        ...

    async def find(self, object_id: str, owner_id: str | None) -> StoredObject | None:
        """The committed object with this id."""
        ...

    async def find_pending(self, object_id: str, owner_id: str) -> StoredObject | None:
        """The pending row with this id."""
        ...

    async def page(self, wanted: ObjectFilter, after: str | None, limit: int) -> Sequence[StoredObject]:
        """Committed objects, oldest (smallest id) first, with ids greater than `after`."""
        ...

    async def mark_deleted(self, object_id: str, owner_id: str | None, now: datetime) -> StoredObject | None:
        """Committed → deleted; None when there was no such committed object."""
        ...

    async def mark_job_deleted(
        self, owner_id: str, job_id: str, kinds: frozenset[ArtifactKind], now: datetime
    ) -> Sequence[StoredObject]:
        """Pending and committed → deleted for the objects of a job, all or those of some kinds; their rows as they
        were before.
        """
        ...

    async def abandon(self, object_id: str, owner_id: str, now: datetime) -> bool:
        """Pending → deleted, by the write that owns the row; False when it is not pending any more."""
        ...

    async def abandon_stale(self, created_before: datetime, now: datetime, limit: int) -> int:
        """Pending → deleted for writes that began before the time given; how many, at most `limit`.

        Room reserved for a user's file ends by another rule, that of `FileLedger.expire`.
        """
        ...

    async def deleted(self, after: str | None, limit: int) -> Sequence[StoredObject]:
        """Rows whose bytes are still to be removed, whoever owns them; ids after `after`, smallest first."""
        ...

    async def purge(self, object_id: str, owner_id: str) -> None:
        """Drop a deleted row, its bytes being gone."""
        ...


class Purpose(IntEnum):
    """What a ticket is good for."""

    READ = 1
    """GET and HEAD of one object."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A capability for one object, and how its holder should see it."""

    object_id: str
    owner_id: str
    purpose: Purpose
    expires_at: datetime
    """Whole seconds."""
    presentation: Presentation = Presentation()


class TicketOffice(Protocol):
    """Makes tickets that nobody else can make."""

    def issue(self, ticket: Ticket) -> str:
        """The ticket as URL-safe text."""
        ...

    def verify(self, text: str, purpose: Purpose, now: datetime) -> Ticket:
        """The ticket, if it was made here for this purpose and is not over.

        Raises TicketInvalid, TicketExpired.
        """
        ...

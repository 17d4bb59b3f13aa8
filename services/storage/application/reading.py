"""Reading the bytes and the metadata of committed objects, and removing them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from services.storage.application.ports import (
    BlobStore,
    Clock,
    ObjectFilter,
    ObjectRepository,
    Purpose,
    TicketOffice,
)
from services.storage.domain.errors import ObjectNotFound, ServiceOnly
from services.storage.domain.objects import ArtifactKind, ObjectState, StoredObject
from services.storage.domain.ranges import clip

DEFAULT_PAGE_SIZE = 50


async def require(objects: ObjectRepository, object_id: str, owner_id: str | None) -> StoredObject:
    """The committed object. Raises ObjectNotFound, also when somebody else owns it."""
    found = await objects.find(object_id, owner_id)
    if found is None:
        raise ObjectNotFound(object_id)
    return found


class ReadObject:
    """Streams bytes to whoever holds a ticket, and to services by id."""

    def __init__(self, objects: ObjectRepository, blobs: BlobStore, tickets: TicketOffice, clock: Clock) -> None:
        self._objects = objects
        self._blobs = blobs
        self._tickets = tickets
        self._clock = clock

    async def by_ticket(self, ticket: str, offset: int, limit: int | None) -> AsyncGenerator[bytes]:
        """The bytes from `offset` on, at most `limit`.

        Raises TicketInvalid, TicketExpired, ObjectNotFound, RangeNotSatisfiable; while iterating BytesLost.
        """
        capability = self._tickets.verify(ticket, Purpose.READ, self._clock.now())
        found = await require(self._objects, capability.object_id, capability.owner_id)
        return self._bytes(found, offset, limit)

    async def by_id(
        self, object_id: str, owner_id: str | None, offset: int, limit: int | None, *, caller_is_service: bool
    ) -> AsyncGenerator[bytes]:
        """The same for a service that names the object. Raises ServiceOnly when the caller is none."""
        if not caller_is_service:
            raise ServiceOnly
        return self._bytes(await require(self._objects, object_id, owner_id), offset, limit)

    def _bytes(self, found: StoredObject, offset: int, limit: int | None) -> AsyncGenerator[bytes]:
        wanted = clip(offset, limit, found.size_bytes)
        return self._blobs.read(found.address, wanted.offset, wanted.length)


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list."""

    objects: Sequence[StoredObject]
    next_after: str | None
    """Id to go on after; None on the last page."""


class ListObjects:
    """Committed objects by owner, at constant cost at any depth."""

    def __init__(self, objects: ObjectRepository) -> None:
        self._objects = objects

    async def __call__(self, wanted: ObjectFilter, after: str | None, page_size: int) -> Page:
        """The page after the object id `after`; `page_size` 0 means the default."""
        size = page_size or DEFAULT_PAGE_SIZE
        rows = await self._objects.page(wanted, after, size + 1)
        return Page(rows[:size], rows[size - 1].object_id if len(rows) > size else None)


class DeleteObject:
    """Removes an object: the row stops pointing first, then the bytes go."""

    def __init__(self, objects: ObjectRepository, blobs: BlobStore, clock: Clock) -> None:
        self._objects = objects
        self._blobs = blobs
        self._clock = clock

    async def __call__(self, object_id: str, owner_id: str | None) -> None:
        """Succeeds when there is nothing to remove. Bytes that resist are left to the sweeper."""
        deleted = await self._objects.mark_deleted(object_id, owner_id, self._clock.now())
        if deleted is None:
            return
        await self._blobs.delete(deleted.address)
        await self._objects.purge(object_id, deleted.placement.owner_id)


@dataclass(frozen=True, slots=True)
class Removed:
    """What went."""

    objects: int
    total_bytes: int


class DeleteJobObjects:
    """Removes the objects of a job, all or those of some kinds."""

    def __init__(self, objects: ObjectRepository, blobs: BlobStore, clock: Clock) -> None:
        self._objects = objects
        self._blobs = blobs
        self._clock = clock

    async def __call__(self, owner_id: str, job_id: str, kinds: frozenset[ArtifactKind]) -> Removed:
        """Succeeds when there is nothing. A write in progress can no longer be committed; its bytes are its own to
        remove, or the sweeper's, as are bytes that resist here.
        """
        rows = await self._objects.mark_job_deleted(owner_id, job_id, kinds, self._clock.now())
        committed = [row for row in rows if row.state is ObjectState.COMMITTED]
        for row in committed:
            await self._blobs.delete(row.address)
            await self._objects.purge(row.object_id, owner_id)
        return Removed(len(committed), sum(row.size_bytes or 0 for row in committed))

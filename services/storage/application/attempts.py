"""Attempts at storing an object: what every way of writing has in common."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from services.storage.application.ports import BlobStore, Clock, ObjectRepository
from services.storage.domain.errors import BytesMismatch, ObjectTooLarge, WriteConflict, WriteSuperseded
from services.storage.domain.keys import make_key
from services.storage.domain.objects import BlobReceipt, Placement, StoredObject


@dataclass(frozen=True, slots=True)
class WriteCommand:
    """What a writer announces before the bytes; `sha256` or `size_bytes` or both."""

    request_id: str
    placement: Placement
    content_type: str
    filename: str
    sha256: str = ""
    """Verified when not empty."""
    size_bytes: int | None = None
    """Verified when not None."""


class Attempts:
    """One object per request id of an owner.

    Every attempt has a row and a key of its own, and only a *committed* request id is unique: attempts never
    wait for each other, a crashed one needs no take-over, and of concurrent ones the first to commit wins
    while the others drop their bytes and answer with its object.
    """

    def __init__(
        self, objects: ObjectRepository, blobs: BlobStore, clock: Clock, new_id: Callable[[], str], max_bytes: int
    ) -> None:
        self._objects = objects
        self._blobs = blobs
        self._clock = clock
        self._new_id = new_id
        self._cleanups: set[asyncio.Task[None]] = set()
        self.max_bytes = max_bytes

    async def committed(self, command: WriteCommand) -> StoredObject | None:
        """The object of the same request. Raises WriteConflict when that was for something else."""
        known = await self._objects.find_written(command.placement.owner_id, command.request_id)
        return None if known is None else _same(known, command)

    def prepare(self, command: WriteCommand) -> StoredObject:
        """The row of a new attempt, for `ObjectRepository.add`. Raises ObjectTooLarge, InvalidInput."""
        if (command.size_bytes or 0) > self.max_bytes:
            raise ObjectTooLarge(self.max_bytes)
        object_id, now = self._new_id(), self._clock.now()
        return StoredObject(
            object_id=object_id,
            request_id=command.request_id,
            placement=command.placement,
            key=make_key(command.placement, object_id, command.content_type, now),
            content_type=command.content_type,
            filename=command.filename,
            created_at=now,
        )

    async def commit(self, pending: StoredObject, receipt: BlobReceipt, command: WriteCommand) -> StoredObject:
        """The committed object: this attempt's, or that of another attempt at the same request.

        Raises BytesMismatch when the bytes are not those announced, WriteSuperseded, WriteConflict; the caller
        discards the attempt then.
        """
        if command.sha256 and receipt.sha256 != command.sha256:
            raise BytesMismatch("the SHA-256 of the bytes that arrived is not the one announced")
        committed = pending.commit(receipt, self._clock.now())
        if await self._objects.commit(committed):
            return committed
        await self.discard(pending)
        winner = await self._objects.find_written(command.placement.owner_id, command.request_id)
        if winner is None:
            raise WriteSuperseded("the object of this request was deleted while it was written again")
        return _same(winner, command)

    async def discard(self, pending: StoredObject) -> None:
        """Reclaim the attempt, also when the caller is being cancelled; what fails here is the sweeper's."""
        cleanup = asyncio.ensure_future(self._remove(pending))
        self._cleanups.add(cleanup)
        cleanup.add_done_callback(self._cleanups.discard)
        with contextlib.suppress(Exception):
            await asyncio.shield(cleanup)

    async def forget_bytes(self, pending: StoredObject) -> None:
        """Of an attempt whose row was deleted meanwhile, perhaps with its job: nothing points to these bytes."""
        with contextlib.suppress(Exception):
            await self._blobs.delete(pending.address)

    async def _remove(self, pending: StoredObject) -> None:
        owner = pending.placement.owner_id
        # Only a row that is still pending gives its bytes up: when the answer to `commit` was lost, the row
        # may be committed.
        if await self._objects.abandon(pending.object_id, owner, self._clock.now()):
            await self._blobs.delete(pending.address)
            await self._objects.purge(pending.object_id, owner)


def announced(pending: StoredObject) -> WriteCommand:
    """The command of an attempt whose row carries what was announced."""
    return WriteCommand(
        request_id=pending.request_id,
        placement=pending.placement,
        content_type=pending.content_type,
        filename=pending.filename,
        sha256=pending.sha256,
        size_bytes=pending.size_bytes,
    )


def announcing(pending: StoredObject, command: WriteCommand) -> StoredObject:
    """The row of an attempt that will be completed by another call, which must know what was announced."""
    return replace(pending, sha256=command.sha256, size_bytes=command.size_bytes or 0)


def _same(known: StoredObject, command: WriteCommand) -> StoredObject:
    """The object of an earlier write, if this command could have been the one that wrote it."""
    differs = (
        known.placement != command.placement
        or (command.sha256 and known.sha256 != command.sha256)
        or (command.size_bytes is not None and known.size_bytes != command.size_bytes)
    )
    if differs:
        raise WriteConflict("the request id was used before for a different object")
    return known

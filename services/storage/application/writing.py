"""Storing an object: the row first (pending), the bytes second, the row again (committed) last."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from services.storage.application.ports import BlobStore, Clock, ObjectRepository
from services.storage.domain.errors import (
    BytesMismatch,
    InvalidInput,
    ObjectTooLarge,
    WriteConflict,
    WriteSuperseded,
    WriteTooSlow,
)
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


@dataclass(frozen=True, slots=True)
class WriteLimits:
    """Bounds of one write."""

    max_bytes: int
    timeout_s: float
    """Longest time the bytes may take; shorter than the sweeper's grace, so no live write is swept."""


class WriteObject:
    """Stores one object per request id of an owner.

    Every attempt has a row and a key of its own, and only a *committed* request id is unique: attempts never
    wait for each other, a crashed one needs no take-over, and of concurrent ones the first to commit wins
    while the others drop their bytes and answer with its object.
    """

    def __init__(
        self,
        objects: ObjectRepository,
        blobs: BlobStore,
        clock: Clock,
        new_id: Callable[[], str],
        limits: WriteLimits,
    ) -> None:
        self._objects = objects
        self._blobs = blobs
        self._clock = clock
        self._new_id = new_id
        self._limits = limits
        self._cleanups: set[asyncio.Task[None]] = set()

    async def __call__(self, command: WriteCommand, chunks: AsyncIterator[bytes]) -> StoredObject:
        """Store the chunks, return the committed object; a repeat returns the first one without reading them.

        When anything fails, nothing can be read afterwards. Raises InvalidInput, WriteConflict (the request
        id was used for something else), BytesMismatch, ObjectTooLarge, StorageFull, StorageUnavailable,
        WriteTooSlow, WriteSuperseded, and whatever `chunks` raises.
        """
        known = await self._objects.find_written(command.placement.owner_id, command.request_id)
        if known is not None:
            return _same(known, command)
        self._check(command)
        pending = self._pending(command)
        try:
            await self._objects.add(pending)
            receipt = await self._store(pending, command, chunks)
            committed = pending.commit(receipt, self._clock.now())
            won = await self._objects.commit(committed)
        except WriteSuperseded:
            # The row was deleted meanwhile, perhaps with its job: nothing points to these bytes.
            with contextlib.suppress(Exception):
                await self._blobs.delete(pending.address)
            raise
        except BaseException:
            await self._discard(pending)
            raise
        return committed if won else await self._yield_to_winner(pending, command)

    def _check(self, command: WriteCommand) -> None:
        if command.size_bytes is None and not command.sha256:
            # The end of a stream that was cut can look like the end of a whole one: only this tells them apart.
            raise InvalidInput([("header.size_bytes", "is needed unless sha256 is given")])
        if (command.size_bytes or 0) > self._limits.max_bytes:
            raise ObjectTooLarge(self._limits.max_bytes)

    def _pending(self, command: WriteCommand) -> StoredObject:
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

    async def _store(self, pending: StoredObject, command: WriteCommand, chunks: AsyncIterator[bytes]) -> BlobReceipt:
        deadline = asyncio.timeout(self._limits.timeout_s)
        try:
            async with deadline, aclosing(self._metered(command, chunks)) as metered:
                receipt = await self._blobs.put(pending.address, metered, content_type=command.content_type)
        except TimeoutError as exc:
            if not deadline.expired():
                raise
            raise WriteTooSlow(f"the bytes did not arrive within {self._limits.timeout_s:g} s") from exc
        if command.sha256 and receipt.sha256 != command.sha256:
            raise BytesMismatch("the SHA-256 of the bytes that arrived is not the one announced")
        return receipt

    async def _metered(self, command: WriteCommand, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        """The chunks, refused as soon as they are too many (a lying writer cannot fill the disk) or too few."""
        arrived = 0
        async for chunk in chunks:
            arrived += len(chunk)
            if arrived > self._limits.max_bytes:
                raise ObjectTooLarge(self._limits.max_bytes)
            if command.size_bytes is not None and arrived > command.size_bytes:
                raise BytesMismatch(f"{command.size_bytes} bytes were announced, more arrived")
            yield chunk
        if command.size_bytes is not None and arrived != command.size_bytes:
            raise BytesMismatch(f"{command.size_bytes} bytes were announced, {arrived} arrived")

    async def _yield_to_winner(self, pending: StoredObject, command: WriteCommand) -> StoredObject:
        await self._discard(pending)
        winner = await self._objects.find_written(command.placement.owner_id, command.request_id)
        if winner is None:
            raise WriteSuperseded("the object of this request was deleted while it was written again")
        return _same(winner, command)

    async def _discard(self, pending: StoredObject) -> None:
        """Reclaim the attempt, also when the caller is being cancelled; what fails here is the sweeper's."""
        cleanup = asyncio.ensure_future(self._remove(pending))
        self._cleanups.add(cleanup)
        cleanup.add_done_callback(self._cleanups.discard)
        with contextlib.suppress(Exception):
            await asyncio.shield(cleanup)

    async def _remove(self, pending: StoredObject) -> None:
        owner = pending.placement.owner_id
        # Only a row that is still pending gives its bytes up: when the answer to `commit` was lost, the row
        # may be committed.
        if await self._objects.abandon(pending.object_id, owner, self._clock.now()):
            await self._blobs.delete(pending.address)
            await self._objects.purge(pending.object_id, owner)


def _same(known: StoredObject, command: WriteCommand) -> StoredObject:
    """The object of an earlier write, if this command could have been the one that wrote it."""
    differs = (
        known.placement != command.placement
        or (command.sha256 and known.sha256 != command.sha256)
        or (command.size_bytes is not None and known.size_bytes != command.size_bytes)
    )
    if differs:
        raise WriteConflict(f"request id {command.request_id!r} was used before for a different object")
    return known

"""Storing an object: the row first (pending), the bytes second, the row again (committed) last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from services.storage.application.attempts import Attempts, WriteCommand
from services.storage.application.ports import BlobStore, ObjectRepository
from services.storage.domain.errors import BytesMismatch, InvalidInput, ObjectTooLarge, WriteSuperseded, WriteTooSlow
from services.storage.domain.objects import BlobReceipt, StoredObject


class WriteObject:
    """Stores one object per request id of an owner, from bytes that flow through this process.

    `timeout_s` is the longest time the bytes may take; shorter than the sweeper's grace, so no live write is swept.
    """

    def __init__(self, attempts: Attempts, objects: ObjectRepository, blobs: BlobStore, timeout_s: float) -> None:
        self._attempts = attempts
        self._objects = objects
        self._blobs = blobs
        self._timeout_s = timeout_s

    async def __call__(self, command: WriteCommand, chunks: AsyncIterator[bytes]) -> StoredObject:
        """Store the chunks, return the committed object; a repeat returns the first one without reading them.

        When anything fails, nothing can be read afterwards. Raises InvalidInput, WriteConflict (the request
        id was used for something else), BytesMismatch, ObjectTooLarge, StorageFull, StorageUnavailable,
        WriteTooSlow, WriteSuperseded, and whatever `chunks` raises.
        """
        known = await self._attempts.committed(command)
        if known is not None:
            return known
        if command.size_bytes is None and not command.sha256:
            # The end of a stream that was cut can look like the end of a whole one: only this tells them apart.
            raise InvalidInput([("header.size_bytes", "is needed unless sha256 is given")])
        pending = self._attempts.prepare(command)
        try:
            await self._objects.add(pending)
            receipt = await self.store(pending, command, chunks)
            return await self._attempts.commit(pending, receipt, command)
        except WriteSuperseded:
            await self._attempts.forget_bytes(pending)
            raise
        except BaseException:
            await self._attempts.discard(pending)
            raise

    async def store(self, pending: StoredObject, command: WriteCommand, chunks: AsyncIterator[bytes]) -> BlobReceipt:
        """Only the bytes of an attempt, within the time that a write may take; the rows are the caller's.

        Raises BytesMismatch for another length than announced, ObjectTooLarge, StorageFull, StorageUnavailable,
        WriteTooSlow, and whatever `chunks` raises.
        """
        deadline = asyncio.timeout(self._timeout_s)
        try:
            async with deadline, aclosing(self._metered(command, chunks)) as metered:
                return await self._blobs.put(pending.address, metered, content_type=command.content_type)
        except TimeoutError as exc:
            if not deadline.expired():
                raise
            raise WriteTooSlow(f"the bytes did not arrive within {self._timeout_s:g} s") from exc

    async def _metered(self, command: WriteCommand, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        """The chunks, refused as soon as they are too many (a lying writer cannot fill the disk) or too few."""
        arrived = 0
        async for chunk in chunks:
            arrived += len(chunk)
            if arrived > self._attempts.max_bytes:
                raise ObjectTooLarge(self._attempts.max_bytes)
            if command.size_bytes is not None and arrived > command.size_bytes:
                raise BytesMismatch(f"{command.size_bytes} bytes were announced, more arrived")
            yield chunk
        if command.size_bytes is not None and arrived != command.size_bytes:
            raise BytesMismatch(f"{command.size_bytes} bytes were announced, {arrived} arrived")

"""Uploads whose bytes go from the writer to the store itself; this service plans, verifies and commits them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.storage.application.attempts import Attempts, WriteCommand, announced, announcing
from services.storage.application.ports import BlobStore, Clock, DirectStore, ObjectRepository, UploadTargets
from services.storage.domain.errors import (
    BytesMismatch,
    InvalidInput,
    ObjectNotFound,
    UploadIncomplete,
    WriteSuperseded,
)
from services.storage.domain.objects import StoredObject


@dataclass(frozen=True, slots=True)
class PlannedUpload:
    """An upload that a writer may now carry out."""

    object_id: str
    targets: UploadTargets
    expires_at: datetime


class DirectUploads:
    """Begin, complete, abort. `direct` None: the store takes bytes from this service only.

    `lifetime` is how long the writer has; shorter than the sweeper's grace, so no live upload is swept.
    """

    def __init__(
        self,
        attempts: Attempts,
        objects: ObjectRepository,
        blobs: BlobStore,
        direct: DirectStore | None,
        clock: Clock,
        lifetime: timedelta,
    ) -> None:
        self._attempts = attempts
        self._objects = objects
        self._blobs = blobs
        self._direct = direct
        self._clock = clock
        self._lifetime = lifetime

    async def begin(self, command: WriteCommand) -> StoredObject | PlannedUpload | None:
        """The object of a request that was committed before, where to send the bytes, or None: write them here.

        Raises InvalidInput, ObjectTooLarge, WriteConflict, StorageUnavailable.
        """
        known = await self._attempts.committed(command)
        if known is not None or self._direct is None:
            return known
        if command.size_bytes is None or not command.sha256:
            name = "sha256" if command.size_bytes is not None else "size_bytes"
            raise InvalidInput([(f"header.{name}", "is needed to upload directly")])
        if not command.size_bytes:
            return None  # no part can be empty
        pending = announcing(self._attempts.prepare(command), command)
        expires_at = self._clock.now() + self._lifetime
        try:
            await self._objects.add(pending)
            targets = await self._direct.plan(
                pending.address, pending.size_bytes, content_type=pending.content_type, lifetime=self._lifetime
            )
        except BaseException:
            await self._attempts.discard(pending)
            raise
        return PlannedUpload(pending.object_id, targets, expires_at)

    async def complete(self, object_id: str, owner_id: str, upload_id: str, etags: Sequence[str]) -> StoredObject:
        """The committed object. Raises ObjectNotFound, UploadIncomplete, BytesMismatch, WriteSuperseded, WriteConflict,
        StorageUnavailable; after UploadIncomplete and StorageUnavailable it may be completed again.
        """
        known = await self._objects.find(object_id, owner_id)
        if known is not None:
            return known
        pending = await self._objects.find_pending(object_id, owner_id)
        if pending is None or self._direct is None:
            raise ObjectNotFound(object_id)
        await self._direct.join(pending.address, upload_id, etags)
        size = await self._blobs.head(pending.address)
        if size is None:
            raise UploadIncomplete("the bytes of the upload have not arrived")
        try:
            if size != pending.size_bytes:
                raise BytesMismatch(f"{pending.size_bytes} bytes were announced, {size} arrived")
            receipt = await self._direct.measure(pending.address, pending.size_bytes, pending.sha256)
            return await self._attempts.commit(pending, receipt, announced(pending))
        except WriteSuperseded:
            # Completed by another call in the same moment, or deleted meanwhile.
            known = await self._objects.find(object_id, owner_id)
            if known is not None:
                return known
            await self._attempts.forget_bytes(pending)
            raise
        except BytesMismatch:
            await self._attempts.discard(pending)
            raise

    async def abort(self, object_id: str, owner_id: str) -> None:
        """Give up what is not committed; succeeds when there is nothing."""
        pending = await self._objects.find_pending(object_id, owner_id)
        if pending is not None:
            await self._attempts.discard(pending)

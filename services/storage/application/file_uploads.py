"""Uploads of users' files in parts: interrupted and continued, or sent by the client to the store itself.

The parts are temp objects of the upload's own, whichever way they come. The file is made of them under another key,
so who still holds a presigned URL cannot change what was inspected.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.storage.application.attempts import Attempts, WriteCommand, announced, announcing
from services.storage.application.file_intake import AnnouncedFile, FileIntake, check_sha256
from services.storage.application.file_ports import FileLedger
from services.storage.application.ports import (
    BlobStore,
    Clock,
    DirectStore,
    ObjectFilter,
    ObjectRepository,
    UploadTargets,
)
from services.storage.application.reading import DeleteJobObjects
from services.storage.application.writing import WriteObject
from services.storage.domain.errors import (
    BytesLost,
    InvalidInput,
    MalwareFound,
    ObjectNotFound,
    StorageError,
    UnsupportedContent,
    UploadIncomplete,
    WriteSuperseded,
)
from services.storage.domain.files import (
    PART_BYTES,
    UNKNOWN,
    FilePlan,
    check_announced_type,
    part_length,
)
from services.storage.domain.objects import ArtifactKind, Bucket, Placement, StoredObject

_REFUSALS = (InvalidInput, UnsupportedContent, MalwareFound)
"""These bytes will never do."""


@dataclass(frozen=True, slots=True)
class FileUpload:
    """An upload as it is now."""

    upload_id: str
    filename: str
    size_bytes: int
    offset_bytes: int
    """So many have arrived without a gap."""
    expires_at: datetime
    file_id: str = ""
    targets: UploadTargets | None = None
    """Where the client may put the bytes itself, until `targets_end`."""
    targets_end: datetime | None = None


@dataclass(frozen=True, slots=True)
class UploadTimes:
    """How long a client has."""

    lifetime: timedelta
    """For an upload in parts."""
    presigned: timedelta
    """For bytes that it sends to the store; shorter than the sweeper's grace."""


class FileUploads:
    """Create, continue, complete, abort. `direct` None: the store takes bytes from this service only."""

    def __init__(
        self,
        intake: FileIntake,
        attempts: Attempts,
        objects: ObjectRepository,
        blobs: BlobStore,
        writer: WriteObject,
        ledger: FileLedger,
        direct: DirectStore | None,
        delete_parts: DeleteJobObjects,
        clock: Clock,
        times: UploadTimes,
    ) -> None:
        self._intake = intake
        self._attempts = attempts
        self._objects = objects
        self._blobs = blobs
        self._writer = writer
        self._ledger = ledger
        self._direct = direct
        self._delete_parts = delete_parts
        self._clock = clock
        self._times = times

    async def create(
        self, file: AnnouncedFile, plan: FilePlan, content_type: str = "", *, presigned: bool = False
    ) -> FileUpload:
        """A new upload, for which there is room from now on.

        Raises InvalidInput, UnsupportedContent (by what the client supposes), ObjectTooLarge, FileQuotaExceeded,
        StorageUnavailable.
        """
        check_announced_type(content_type)
        if presigned and not file.sha256:
            raise InvalidInput([("sha256", "is needed for a presigned upload")])
        file = file.checked(plan)
        place = Placement(file.owner_id, "", Bucket.TEMP, ArtifactKind.FILE_UPLOAD)
        command = file.command("", place)
        reservation = announcing(self._attempts.prepare(command), command)
        reservation = replace(reservation, request_id=_request_of(reservation.object_id))
        await self._ledger.reserve(reservation, plan)
        upload = self._shown(reservation, 0)
        if not presigned or self._direct is None:
            return upload
        try:
            targets = await self._plan(self._direct, reservation, content_type or UNKNOWN)
        except BaseException:
            await self._ledger.release(reservation)
            raise
        return replace(upload, targets=targets, targets_end=self._clock.now() + self._times.presigned)

    async def get(self, owner_id: str, upload_id: str) -> FileUpload:
        """Raises ObjectNotFound."""
        file = await self._objects.find_written(owner_id, _request_of(upload_id))
        if file is not None:
            return replace(self._shown(file, file.size_bytes), upload_id=upload_id, file_id=file.object_id)
        reservation = await self._open(owner_id, upload_id)
        return self._shown(reservation, _end(_chain(await self._parts(reservation))))

    async def put_part(
        self, owner_id: str, upload_id: str, offset: int, size_bytes: int, chunks: AsyncIterator[bytes]
    ) -> FileUpload:
        """Store a part that begins at `offset`; one that is there is kept as it is.

        Raises ObjectNotFound, InvalidInput, BytesMismatch, WriteSuperseded, StorageFull, StorageUnavailable,
        WriteTooSlow.
        """
        reservation = await self._open(owner_id, upload_id)
        expected = part_length(reservation.size_bytes, offset)
        if size_bytes != expected:
            raise InvalidInput([("size_bytes", f"must be {expected} for the part at {offset}")])
        command = _part(reservation, f"part/{upload_id}/{offset}", offset, expected)
        await self._writer(command, chunks)
        return await self.get(owner_id, upload_id)

    async def complete(
        self, owner_id: str, upload_id: str, store_upload_id: str = "", etags: Sequence[str] = ()
    ) -> StoredObject:
        """The file. Raises ObjectNotFound, UploadIncomplete, and as `FileIntake.upload`; bytes that are refused end
        the upload, after any other error it is as it was.
        """
        try:
            return await self._complete(owner_id, upload_id, store_upload_id, etags)
        except (BytesLost, ObjectNotFound, UploadIncomplete):
            # Another call may have completed or aborted it in the same moment and removed the parts.
            file = await self._objects.find_written(owner_id, _request_of(upload_id))
            if file is not None:
                return file
            await self._open(owner_id, upload_id)
            raise

    async def abort(self, owner_id: str, upload_id: str) -> None:
        """Succeeds when there is nothing to abort."""
        with contextlib.suppress(ObjectNotFound):
            await self._close(await self._open(owner_id, upload_id))

    async def _complete(
        self, owner_id: str, upload_id: str, store_upload_id: str, etags: Sequence[str]
    ) -> StoredObject:
        file = await self._objects.find_written(owner_id, _request_of(upload_id))
        if file is not None:
            return file
        reservation = await self._open(owner_id, upload_id)
        try:
            await self._receive(reservation, store_upload_id, etags)
            chain = _chain(await self._parts(reservation))
            if _end(chain) != reservation.size_bytes:
                raise UploadIncomplete(f"{reservation.size_bytes} bytes were announced, {_end(chain)} have arrived")
            async with aclosing(self._joined(chain)) as chunks:
                file = await self._intake.assemble(reservation, chunks)
        except _REFUSALS:
            await self._close_quietly(reservation)
            raise
        await self._close_quietly(reservation)
        return file

    async def _plan(self, direct: DirectStore, reservation: StoredObject, content_type: str) -> UploadTargets:
        """One part for the whole file, which may be several to the store."""
        command = _part(reservation, f"part/{reservation.object_id}/whole", 0, reservation.size_bytes)
        command = replace(command, sha256=reservation.sha256, content_type=content_type)
        pending = announcing(self._attempts.prepare(command), command)
        await self._objects.add(pending)
        return await direct.plan(
            pending.address, pending.size_bytes, content_type=content_type, lifetime=self._times.presigned
        )

    async def _receive(self, reservation: StoredObject, store_upload_id: str, etags: Sequence[str]) -> None:
        """Commit what the client has sent to the store, if it was to."""
        pending = await self._ledger.arriving(reservation.placement.owner_id, reservation.object_id)
        if pending is None or self._direct is None:
            return
        await self._direct.join(pending.address, store_upload_id, etags)
        size = await self._blobs.head(pending.address)
        if size is None:
            return
        if size != pending.size_bytes:
            raise InvalidInput([("size_bytes", f"is not that of the bytes that arrived: {size}")])
        receipt = await self._direct.measure(pending.address, pending.size_bytes, pending.sha256)
        check_sha256(receipt, pending.sha256)
        with contextlib.suppress(WriteSuperseded):  # by another call in the same moment
            await self._attempts.commit(pending, receipt, announced(pending))

    async def _open(self, owner_id: str, upload_id: str) -> StoredObject:
        found = await self._objects.find_pending(upload_id, owner_id)
        if (
            found is None
            or found.placement.kind is not ArtifactKind.FILE_UPLOAD
            or found.created_at + self._times.lifetime <= self._clock.now()
        ):
            raise ObjectNotFound(upload_id)
        return found

    async def _parts(self, reservation: StoredObject) -> Sequence[StoredObject]:
        wanted = ObjectFilter(reservation.placement.owner_id, reservation.object_id, ArtifactKind.FILE_PART)
        return await self._objects.page(wanted, None, reservation.size_bytes // PART_BYTES + 3)

    async def _joined(self, chain: Sequence[StoredObject]) -> AsyncGenerator[bytes]:
        for part in chain:
            async with aclosing(self._blobs.read(part.address, 0, part.size_bytes)) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def _close(self, reservation: StoredObject) -> None:
        """The room first: parts that resist are the sweep's."""
        await self._ledger.release(reservation)
        await self._delete_parts(reservation.placement.owner_id, reservation.object_id, frozenset())

    async def _close_quietly(self, reservation: StoredObject) -> None:
        with contextlib.suppress(StorageError):  # what is left expires
            await self._close(reservation)

    def _shown(self, row: StoredObject, offset: int) -> FileUpload:
        return FileUpload(
            row.object_id, row.filename, row.size_bytes, offset, expires_at=row.created_at + self._times.lifetime
        )


def _request_of(upload_id: str) -> str:
    """The request id of an upload's file; the reservation has the same, so that both count once."""
    return f"file/{upload_id}"


def _part(reservation: StoredObject, request_id: str, offset: int, size_bytes: int) -> WriteCommand:
    place = Placement(
        reservation.placement.owner_id, reservation.object_id, Bucket.TEMP, ArtifactKind.FILE_PART, fence=offset
    )
    return WriteCommand(request_id, place, UNKNOWN, "part", size_bytes=size_bytes)


def _chain(parts: Sequence[StoredObject]) -> list[StoredObject]:
    """The parts that follow one another without a gap, from the first byte on."""
    by_offset: dict[int, StoredObject] = {}
    for part in sorted(parts, key=lambda part: part.size_bytes):
        by_offset[part.placement.fence] = part
    chain: list[StoredObject] = []
    while (following := by_offset.get(_end(chain))) is not None and following.size_bytes:
        chain.append(following)
    return chain


def _end(chain: Sequence[StoredObject]) -> int:
    return sum(part.size_bytes for part in chain)

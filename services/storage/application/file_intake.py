"""How bytes of a user become a file: room is reserved, bytes are stored, inspected and scanned, then committed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace

from services.storage.application.attempts import Attempts, WriteCommand, announcing
from services.storage.application.file_ports import ContentInspector, FileLedger, MalwareScanner
from services.storage.application.ports import BlobStore, ObjectRepository
from services.storage.application.writing import WriteObject
from services.storage.domain.errors import InvalidInput, MalwareFound, WriteSuperseded
from services.storage.domain.files import UNKNOWN, FilePlan, check_size, clean_name
from services.storage.domain.objects import ArtifactKind, BlobAddress, BlobReceipt, Bucket, Placement, StoredObject


@dataclass(frozen=True, slots=True)
class AnnouncedFile:
    """What a user says about a file before its bytes."""

    owner_id: str
    filename: str
    size_bytes: int
    sha256: str = ""
    """Verified when not empty."""

    def checked(self, plan: FilePlan) -> AnnouncedFile:
        """With its clean name. Raises InvalidInput, ObjectTooLarge."""
        check_size(self.size_bytes, plan)
        return replace(self, filename=clean_name(self.filename))

    def command(self, request_id: str, placement: Placement | None = None) -> WriteCommand:
        """The write of the file, or of something else in its name."""
        return WriteCommand(
            request_id,
            placement or Placement(self.owner_id, "", Bucket.CODE, ArtifactKind.FILE),
            UNKNOWN,  # until somebody has looked
            self.filename,
            self.sha256,
            self.size_bytes,
        )


class FileIntake:
    """The steps that every way of uploading has in common, and the upload in one go.

    A pending row cannot be read by anybody, so nothing that was not inspected ever is. `scanner` None: none is
    configured.
    """

    def __init__(
        self,
        attempts: Attempts,
        objects: ObjectRepository,
        blobs: BlobStore,
        writer: WriteObject,
        ledger: FileLedger,
        inspector: ContentInspector,
        scanner: MalwareScanner | None,
    ) -> None:
        self._attempts = attempts
        self._objects = objects
        self._blobs = blobs
        self._writer = writer
        self._ledger = ledger
        self._inspector = inspector
        self._scanner = scanner

    async def upload(
        self, announced: AnnouncedFile, request_id: str, plan: FilePlan, chunks: AsyncIterator[bytes]
    ) -> StoredObject:
        """The file of these bytes; a repeat with the same request id (if not empty) returns the first one.

        Raises InvalidInput, ObjectTooLarge, FileQuotaExceeded, WriteConflict, BytesMismatch, UnsupportedContent,
        MalwareFound, ScannerUnavailable, StorageFull, StorageUnavailable, WriteTooSlow, WriteSuperseded.
        """
        announced = announced.checked(plan)
        command = announced.command(f"file/key/{request_id}")
        if request_id and (known := await self._attempts.committed(command)) is not None:
            return known
        pending = announcing(self._attempts.prepare(command), command)
        if not request_id:
            command = announced.command(f"file/direct/{pending.object_id}")
            pending = replace(pending, request_id=command.request_id)
        await self._ledger.reserve(pending, plan)
        return await self._admit(pending, command, chunks)

    async def assemble(self, reservation: StoredObject, chunks: AsyncIterator[bytes]) -> StoredObject:
        """The file of an upload whose bytes are `chunks`; the room was reserved with the upload. Raises as `upload`."""
        announced = AnnouncedFile(
            reservation.placement.owner_id, reservation.filename, reservation.size_bytes, reservation.sha256
        )
        command = announced.command(reservation.request_id)
        pending = announcing(self._attempts.prepare(command), command)
        await self._objects.add(pending)
        return await self._admit(pending, command, chunks)

    async def _admit(self, pending: StoredObject, command: WriteCommand, chunks: AsyncIterator[bytes]) -> StoredObject:
        try:
            receipt = await self._writer.store(pending, command, chunks)
            check_sha256(receipt, command.sha256)
            content_type = await self._examine(pending.address, receipt.size_bytes)
            return await self._attempts.commit(replace(pending, content_type=content_type), receipt, command)
        except WriteSuperseded:
            await self._attempts.forget_bytes(pending)
            raise
        except BaseException:
            await self._attempts.discard(pending)
            raise

    async def _examine(self, address: BlobAddress, size_bytes: int) -> str:
        async with aclosing(self._blobs.read(address, 0, size_bytes)) as chunks:
            content_type = await self._inspector.inspect(chunks)
        if self._scanner is not None:
            async with aclosing(self._blobs.read(address, 0, size_bytes)) as chunks:
                found = await self._scanner.scan(chunks)
            if found is not None:
                raise MalwareFound(found)
        return content_type


def check_sha256(receipt: BlobReceipt, expected: str) -> None:
    """Raises InvalidInput: other bytes than a user announced are the user's to put right, not a loss of ours."""
    if expected and receipt.sha256 != expected:
        raise InvalidInput([("sha256", "is not that of the bytes that arrived")])

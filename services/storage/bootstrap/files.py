"""Builds what users can do with files, on the parts that `bootstrap` has built."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from services.storage.adapters.clamd import ClamdScanner
from services.storage.adapters.inspection import FileInspector, Limits
from services.storage.adapters.postgres import PostgresFileLedger
from services.storage.api.file_servicer import FileUseCases
from services.storage.api.servicer import UseCases
from services.storage.application.attempts import Attempts
from services.storage.application.expiry import ExpireUploads
from services.storage.application.file_intake import FileIntake
from services.storage.application.file_uploads import FileUploads, UploadTimes
from services.storage.application.files import FileLibrary
from services.storage.application.ports import BlobStore, Clock, DirectStore, ObjectRepository
from services.storage.settings import StorageSettings


@dataclass(frozen=True, slots=True)
class Parts:
    """What there is already."""

    engine: AsyncEngine
    objects: ObjectRepository
    blobs: BlobStore
    direct: DirectStore | None
    attempts: Attempts
    use_cases: UseCases
    clock: Clock


@dataclass(frozen=True, slots=True)
class Files:
    """The built use cases."""

    use_cases: FileUseCases
    expire: ExpireUploads
    inspector: FileInspector

    def close(self) -> None:
        """Give back the thread."""
        self.inspector.close()


def build_files(settings: StorageSettings, parts: Parts) -> Files:
    """Touches neither disk nor network yet."""
    ledger = PostgresFileLedger(parts.engine)
    inspector = FileInspector(Limits(pixels=settings.file_max_pixels))
    scanner = ClamdScanner(settings.clamd_address, settings.clamd_timeout_s) if settings.clamd_address else None
    do = parts.use_cases
    intake = FileIntake(parts.attempts, parts.objects, parts.blobs, do.write, ledger, inspector, scanner)
    times = UploadTimes(timedelta(seconds=settings.file_upload_lifetime_s), timedelta(seconds=settings.write_timeout_s))
    uploads = FileUploads(
        intake, parts.attempts, parts.objects, parts.blobs, do.write, ledger, parts.direct, do.delete_job, parts.clock,
        times,
    )  # fmt: skip
    library = FileLibrary(parts.objects, do.page, do.locate, do.delete)
    use_cases = FileUseCases(intake, uploads, library, ledger, settings.known_file_plans())
    return Files(use_cases, ExpireUploads(ledger, parts.clock, times.lifetime), inspector)

"""Builds storage: the only place that knows which adapter stands behind which port."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.runtime.client import ServiceCredentials, auth_channel
from services.runtime.clock import Clock, SystemClock
from services.runtime.db import create_engine
from services.runtime.ids import new_id
from services.runtime.revocations import token_checks
from services.runtime.server import BackgroundTask, ServiceServer
from services.runtime.tokens import KeySource
from services.storage.adapters.filesystem import FilesystemBlobStore, FilesystemInventory
from services.storage.adapters.postgres import PostgresObjectLedger, PostgresObjectRepository, PostgresOwnedObjects
from services.storage.adapters.s3 import (
    CloudFrontOptions,
    CloudFrontUrls,
    S3BlobStore,
    S3DirectStore,
    S3Inventory,
    S3Options,
    create_client,
)
from services.storage.adapters.tickets import HmacTicketOffice
from services.storage.api.errors import ERROR_TABLE
from services.storage.api.file_servicer import FileServicer
from services.storage.api.servicer import ObjectServicer, UseCases
from services.storage.application.attempts import Attempts
from services.storage.application.direct_uploads import DirectUploads
from services.storage.application.erasing import EraseOwner
from services.storage.application.expiry import ExpireTemp
from services.storage.application.locating import LocateObject
from services.storage.application.orphans import Finding, OrphanPolicy, OrphanReport, OrphanSweep
from services.storage.application.reading import DeleteJobObjects, DeleteObject, ListObjects, ReadObject
from services.storage.application.sweeping import Sweep
from services.storage.application.writing import WriteObject
from services.storage.bootstrap.files import Files, Parts, build_files
from services.storage.bootstrap.record import build_record
from services.storage.settings import StorageSettings
from t2m.storage.v1 import file_service_pb2_grpc, object_service_pb2_grpc

SERVICE = "t2m.storage.v1.ObjectService"
FILE_SERVICE = "t2m.storage.v1.FileService"

_MOST_LINES = 100
"""Of findings in the log, for each comparison; the sums tell of all."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Storage:
    """The built service without its server."""

    engine: AsyncEngine
    blobs: FilesystemBlobStore | S3BlobStore
    direct: S3DirectStore | None
    use_cases: UseCases
    sweep: Sweep
    expire: ExpireTemp
    orphans: OrphanSweep
    files: Files
    erase: EraseOwner

    async def close(self) -> None:
        """Give back connections and threads."""
        await self.engine.dispose()
        self.blobs.close()
        if self.direct is not None:
            self.direct.close()
        self.files.close()


def build(settings: StorageSettings, clock: Clock | None = None) -> Storage:
    """Everything but the server; touches neither disk nor network yet."""
    clock = clock or SystemClock()
    engine = create_engine(settings.database_url, application_name="t2m-storage")
    objects = PostgresObjectRepository(engine)
    blobs, direct = _blobs(settings)
    tickets = HmacTicketOffice(settings.signing_keys())
    attempts = Attempts(objects, blobs, clock, new_id, settings.max_object_bytes)
    lifetime = timedelta(seconds=settings.write_timeout_s)
    writer = WriteObject(attempts, objects, blobs, settings.write_timeout_s)
    use_cases = UseCases(
        write=writer,
        uploads=DirectUploads(attempts, objects, blobs, direct, clock, lifetime),
        read=ReadObject(objects, blobs, tickets, clock),
        page=ListObjects(objects),
        delete=DeleteObject(objects, blobs, clock),
        delete_job=DeleteJobObjects(objects, blobs, clock),
        locate=LocateObject(objects, blobs, tickets, clock, settings.public_url),
        objects=objects,
    )
    grace = timedelta(seconds=settings.pending_grace_s)
    ledger = PostgresObjectLedger(engine)
    orphans = OrphanSweep(objects, ledger, blobs, _inventory(settings), clock)
    sweep, expire = Sweep(objects, blobs, clock, grace), ExpireTemp(ledger, clock)
    files = build_files(settings, Parts(engine, objects, blobs, direct, attempts, use_cases, clock))
    erase = EraseOwner(PostgresOwnedObjects(engine), objects, blobs, clock)
    return Storage(engine, blobs, direct, use_cases, sweep, expire, orphans, files, erase)


def _blobs(settings: StorageSettings) -> tuple[FilesystemBlobStore, None] | tuple[S3BlobStore, S3DirectStore]:
    buckets, threads = settings.buckets(), settings.storage_threads
    if settings.storage_backend == "filesystem":
        return FilesystemBlobStore(settings.storage_root, buckets, threads), None
    client = s3_client(settings)
    return (
        S3BlobStore(client, buckets, threads=threads, verify=settings.s3_verify, edge=_edge(settings)),
        S3DirectStore(client, buckets, threads=threads, verify=settings.s3_verify),
    )


def _edge(settings: StorageSettings) -> CloudFrontUrls | None:
    if not settings.cloudfront_url:
        return None
    key = settings.cloudfront_private_key.get_secret_value().encode()
    return CloudFrontUrls(CloudFrontOptions(settings.cloudfront_url, settings.cloudfront_key_id, key))


def _inventory(settings: StorageSettings) -> FilesystemInventory | S3Inventory:
    if settings.storage_backend == "filesystem":
        return FilesystemInventory(settings.storage_root, settings.buckets())
    return S3Inventory(s3_client(settings), settings.buckets())


def s3_client(settings: StorageSettings) -> Any:
    """The client of the S3 backend; makes no connection yet."""
    endpoint, connections = settings.s3_endpoint_url or None, settings.storage_threads * 3
    return create_client(S3Options(settings.storage_region, endpoint, settings.s3_path_style, connections))


def build_server(settings: StorageSettings, clock: Clock | None = None, keys: KeySource | None = None) -> ServiceServer:
    """The server, ready to `run`. `keys` verify tokens; by default they are fetched from auth."""
    storage = build(settings, clock)
    to_auth = auth_channel(settings)
    credentials = ServiceCredentials(to_auth, settings.service_id, settings.service_secret)
    verifier, checks = token_checks(settings, to_auth, credentials, keys=keys, clock=clock)

    def add_services(server: grpc.aio.Server) -> Sequence[str]:
        servicer = ObjectServicer(storage.use_cases, verifier.authenticate)
        object_service_pb2_grpc.add_ObjectServiceServicer_to_server(servicer, server)
        file_service_pb2_grpc.add_FileServiceServicer_to_server(FileServicer(storage.files.use_cases), server)
        return [SERVICE, FILE_SERVICE]

    async def sweep() -> None:
        while True:
            await storage.expire()
            await storage.files.expire()
            await storage.erase.again()
            swept = await storage.sweep()
            if swept.abandoned or swept.removed or swept.failed:
                _log.info("swept", abandoned=swept.abandoned, removed=swept.removed, failed=swept.failed)
            await asyncio.sleep(settings.sweep_interval_s)

    async def compare() -> None:
        policy = orphan_policy(settings)
        # Soon after the start, since a process may not live for a whole interval; then in step.
        await asyncio.sleep(settings.orphan_interval_s / 24)
        while True:
            log_report(await storage.orphans(policy, FindingLog()))
            await asyncio.sleep(settings.orphan_interval_s)

    record = build_record(settings, storage.engine, storage.erase, credentials)

    async def close() -> None:
        await record.auth.close()
        await to_auth.close()
        await storage.close()

    return ServiceServer(
        settings,
        table=ERROR_TABLE,
        verifier=verifier,
        add_services=add_services,
        background=[
            *checks,
            BackgroundTask("sweep objects", sweep),
            *([BackgroundTask("compare store and rows", compare)] if settings.orphan_interval_s else []),
            *record.background,
        ],
        on_close=close,
        audit=record.journal,
    )


def orphan_policy(settings: StorageSettings) -> OrphanPolicy:
    """What the service itself does about what does not fit together."""
    return OrphanPolicy(
        timedelta(seconds=settings.orphan_grace_s), settings.orphan_limit, mark_lost=settings.orphan_mark_lost
    )


class FindingLog:
    """One line for each thing that does not fit, up to a number: a folder full of foreign files is no flood."""

    def __init__(self) -> None:
        self._lines = 0

    def __call__(self, finding: Finding) -> None:
        """Log it."""
        self._lines += 1
        if self._lines > _MOST_LINES:
            return
        _log.warning(
            "store and rows differ",
            kind=finding.kind.value,
            bucket=finding.bucket.value,
            key=ascii(finding.key),  # somebody else's may hold anything
            object_id=finding.object_id,
            repaired=finding.repaired,
        )


def log_report(report: OrphanReport) -> None:
    """What a comparison saw."""
    found = {kind.value: count for kind, count in report.found.items()}
    _log.info("compared store and rows", blobs=report.blobs, rows=report.rows, **found, failed=report.failed)

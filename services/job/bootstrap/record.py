"""The part of the record: audit entries on their way to auth, exports, and the erasure of users."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from services.job.adapters.account_client import GrpcAccountRecords
from services.job.adapters.kept_files import GrpcKeptFiles
from services.job.adapters.postgres.export_turns import PostgresExportTurns
from services.job.adapters.postgres.log_tables import JOB_LOGS
from services.job.adapters.postgres.owned_records import PostgresOwnedRecords
from services.job.adapters.postgres.retention import PostgresRetention
from services.job.adapters.postgres.tables import METADATA
from services.job.adapters.postgres.webhook_tables import WEBHOOK_DELIVERIES
from services.job.adapters.zip_stream import pack_zip
from services.job.api.export_servicer import SHOWS, ExportServicer
from services.job.application.erasing import Eraser
from services.job.application.export import Export
from services.job.application.neighbours import Objects, Renders
from services.job.application.retention import Retention
from services.job.bootstrap.base import JOB_STREAM_PREFIX, Base, Part
from services.job.bootstrap.batches import BATCH_STREAM_PREFIX
from services.job.bootstrap.logs import LOG_STREAM_PREFIX
from services.runtime.audit import AuditJournal
from services.runtime.audit.outbox import AuditOutbox, audit_outbox_table
from services.runtime.erasure import ErasureFollower
from services.runtime.server import BackgroundTask
from services.runtime.streamkeys import StreamKeys
from t2m.job.v1 import export_service_pb2_grpc

AUDIT_OUTBOX = audit_outbox_table(METADATA)
RECORD_CALLS = ("t2m.auth.v1.AuditService", "t2m.auth.v1.ErasureService", "t2m.auth.v1.AccountDataService")
"""What this part calls at auth."""


@dataclass(frozen=True, slots=True)
class Record:
    """The part, and where calls leave their entries."""

    part: Part
    journal: AuditJournal


def build_record(
    base: Base, auth: grpc.aio.Channel, storage: grpc.aio.Channel, renders: Renders, objects: Objects
) -> Record:
    """`ExportService`, the relay of audit entries, and the follower of erasures. Channels carry the service's token."""
    outbox = AuditOutbox(base.engine, AUDIT_OUTBOX, auth)
    records = PostgresOwnedRecords(base.engine, SHOWS)
    export = Export(
        GrpcAccountRecords(auth),
        records,
        GrpcKeptFiles(storage),
        PostgresExportTurns(base.engine),
        pack_zip,
        base.clock,
    )
    store = PostgresRetention(base.engine, [JOB_LOGS.c.stream_id, WEBHOOK_DELIVERIES.c.subject_id])
    retention = Retention(store, base.store, renders, objects, base.plans, base.clock)
    job_streams = StreamKeys(base.redis, JOB_STREAM_PREFIX, LOG_STREAM_PREFIX)
    batch_streams = StreamKeys(base.redis, BATCH_STREAM_PREFIX)
    erase = Eraser(records, base.orders, retention, job_streams, batch_streams, base.clock)

    async def purge(user_id: str) -> bool:
        return await erase(user_id) and not await outbox.holds(user_id)

    def add(server: grpc.aio.Server) -> str:
        export_service_pb2_grpc.add_ExportServiceServicer_to_server(ExportServicer(export), server)
        return "t2m.job.v1.ExportService"

    follower = ErasureFollower(
        auth, purge, poll_s=base.settings.erasure_poll_s, settle_s=base.settings.erasure_settle_s
    )
    background = [
        BackgroundTask("relay audit entries", outbox.run),
        BackgroundTask("purge erased users", follower.run),
    ]
    return Record(Part([add], background), AuditJournal("job", outbox))

"""Builds the record: the audit trail, erasures, and what an export gets from auth."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from services.auth.adapters.audit_sink import AuthAuditSink
from services.auth.adapters.mail.forgetting import OutboxFiles
from services.auth.adapters.postgres.account_data import PostgresAccountData
from services.auth.adapters.postgres.audit import PostgresAudit
from services.auth.adapters.postgres.unit_of_work import postgres_units
from services.auth.api.audit_servicer import AuditServicer
from services.auth.api.erasure_servicer import AccountDataServicer, ErasureServicer
from services.auth.application.audit import Audit
from services.auth.application.erasure import EndSubscription, Erasures
from services.auth.application.ports import Clock, Ids
from services.auth.settings import AuthSettings
from services.runtime.audit import AuditJournal
from services.runtime.server import BackgroundTask
from t2m.auth.v1 import account_data_service_pb2_grpc, audit_service_pb2_grpc, erasure_service_pb2_grpc

RECORD_SERVICES = ("t2m.auth.v1.AuditService", "t2m.auth.v1.ErasureService", "t2m.auth.v1.AccountDataService")
_PURGE_EVERY_S = 3600.0
_COMPLETE_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Record:
    """The built use cases."""

    journal: AuditJournal
    audit: Audit
    erasures: Erasures
    data: PostgresAccountData

    def add_services(self, server: grpc.aio.Server) -> tuple[str, ...]:
        """Serve them; the names of the services."""
        audit_service_pb2_grpc.add_AuditServiceServicer_to_server(AuditServicer(self.audit), server)
        erasure_service_pb2_grpc.add_ErasureServiceServicer_to_server(ErasureServicer(self.erasures), server)
        account_data_service_pb2_grpc.add_AccountDataServiceServicer_to_server(AccountDataServicer(self.data), server)
        return RECORD_SERVICES

    def background(self) -> list[BackgroundTask]:
        """What goes on by itself."""

        async def purge() -> None:
            while True:
                await self.audit.purge()
                await asyncio.sleep(_PURGE_EVERY_S)

        async def complete() -> None:
            while True:
                await self.erasures.complete()
                await asyncio.sleep(_COMPLETE_EVERY_S)

        return [
            BackgroundTask("delete old audit entries", purge),
            BackgroundTask("complete erasures", complete),
        ]


def build_record(
    settings: AuthSettings,
    engine: AsyncEngine,
    clock: Clock,
    ids: Ids,
    end_subscription: EndSubscription | None = None,
) -> Record:
    """On the engine of the service."""
    store = PostgresAudit(engine)
    mail = OutboxFiles(settings.mail_outbox) if settings.mail_outbox is not None else None
    return Record(
        journal=AuditJournal("auth", AuthAuditSink(store)),
        audit=Audit(store, timedelta(days=settings.audit_days)),
        erasures=Erasures(postgres_units(engine), settings.erasure_services, clock, ids, end_subscription, mail),
        data=PostgresAccountData(engine),
    )

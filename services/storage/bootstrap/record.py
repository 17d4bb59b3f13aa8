"""Builds the record: audit entries on their way to auth, and the erasure of owners."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from services.runtime.audit import AuditJournal
from services.runtime.audit.outbox import AuditOutbox, audit_outbox_table
from services.runtime.client import ServiceCredentials, channel
from services.runtime.erasure import ErasureFollower
from services.runtime.server import BackgroundTask
from services.storage.adapters.postgres.tables import metadata
from services.storage.application.erasing import EraseOwner
from services.storage.settings import StorageSettings

AUDIT_OUTBOX = audit_outbox_table(metadata)


@dataclass(frozen=True, slots=True)
class Record:
    """What the server needs of it."""

    journal: AuditJournal
    background: tuple[BackgroundTask, ...]
    auth: grpc.aio.Channel


def build_record(
    settings: StorageSettings, engine: AsyncEngine, erase: EraseOwner, credentials: ServiceCredentials
) -> Record:
    """`credentials` are the service's own: the record has a channel to auth with them."""
    auth = channel(
        settings.auth_address,
        settings,
        credentials,
        services=["t2m.auth.v1.AuditService", "t2m.auth.v1.ErasureService"],
    )
    outbox = AuditOutbox(engine, AUDIT_OUTBOX, auth)

    async def purge(user_id: str) -> bool:
        return await erase(user_id) and not await outbox.holds(user_id)

    follower = ErasureFollower(auth, purge, poll_s=settings.erasure_poll_s, settle_s=settings.erasure_settle_s)
    background = (
        BackgroundTask("relay audit entries", outbox.run),
        BackgroundTask("purge erased users", follower.run),
    )
    return Record(AuditJournal("storage", outbox), background, auth)

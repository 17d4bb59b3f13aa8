"""The part of batches."""

from __future__ import annotations

import asyncio

import grpc
from sqlalchemy.ext.asyncio import AsyncConnection

from services.job.adapters.live_events import LiveEvents
from services.job.adapters.postgres.batch_tables import BATCH_EVENTS
from services.job.adapters.postgres.batches import PostgresBatches
from services.job.api import batch_codec
from services.job.api.batch_servicer import BatchServicer
from services.job.application.batches import Batches, BatchProgress
from services.job.application.orders import Orders
from services.job.application.ticking import Wakeup
from services.job.application.webhooks import payloads
from services.job.bootstrap.base import Announcement, Base, Part
from services.job.domain.batch import Batch
from services.job.domain.values import JobStatus
from services.job.domain.webhooks import WebhookEvent
from services.runtime.eventlog import EventStore
from services.runtime.eventreader import EventReader
from services.runtime.ids import new_id
from services.runtime.relay import Relay
from services.runtime.server import BackgroundTask
from t2m.job.v1 import batch_service_pb2_grpc

_PURGE_EVERY_S = 3600.0
BATCH_STREAM_PREFIX = "batch:"
"""The Redis stream of a batch is `batch:{batch_id}`."""


def build_batches(base: Base, orders: Orders) -> Part:
    """`BatchService`, the progress of batches, and their events."""
    settings = base.settings
    log = EventStore(base.engine, BATCH_EVENTS)
    relay = Relay(
        log.fetch_unrelayed, log.mark_relayed, base.redis, prefix=BATCH_STREAM_PREFIX, keep=settings.event_keep
    )
    reader = EventReader(base.redis, log.load, prefix=BATCH_STREAM_PREFIX, queue_limit=settings.event_queue)

    async def announce(connection: AsyncConnection, batch: Batch) -> None:
        ended = batch.completed_at or batch.updated_at
        counts = {f"{status}_count": batch.counts[status] for status in JobStatus if status.terminal}
        counts |= {"total_count": batch.total, "refused_count": len(batch.refusals)}
        data = payloads.batch_data(batch.batch_id, batch.status.value, counts, batch.created_at, ended)
        body = payloads.payload(WebhookEvent.BATCH_ENDED, ended, data)
        await base.webhook_queue.enqueue(
            connection, batch.owner_id, WebhookEvent.BATCH_ENDED, batch.batch_id, batch.webhook_url, body, ended
        )

    store = PostgresBatches(base.engine, base.writer, batch_codec.event_payload, Announcement(relay.wake), announce)
    base.writer.effects.append(store.job_changed)
    source = LiveEvents(reader, batch_codec.is_last)
    batches = Batches(store, orders, base.tokens, source, base.clock, new_id, base.wake.dispatch)
    progress = BatchProgress(store, batches, base.clock)

    async def purge() -> None:
        while True:
            await store.purge_requests(base.clock.now())
            await asyncio.sleep(_PURGE_EVERY_S)

    def add(server: grpc.aio.Server) -> str:
        batch_service_pb2_grpc.add_BatchServiceServicer_to_server(BatchServicer(batches), server)
        return "t2m.job.v1.BatchService"

    return Part(
        [add],
        [
            BackgroundTask("advance batches", lambda: progress.run(Wakeup(settings.poll_s))),
            BackgroundTask("forget request ids of batches", purge),
            BackgroundTask("relay batch events", relay.run, outlives_calls=True),
            BackgroundTask("read batch events", reader.run, outlives_calls=True),
        ],
    )

"""The part that tells users' own systems what became of their orders (J8)."""

from __future__ import annotations

from datetime import timedelta

import grpc

from services.job.adapters.postgres.webhook_queue import PostgresDeliveryQueue
from services.job.adapters.postgres.webhooks import PostgresDeliveries
from services.job.adapters.webhook_http import HttpMessenger
from services.job.adapters.webhook_metrics import WebhookMetrics
from services.job.api.webhook_servicer import WebhookServicer
from services.job.application.webhooks.sender import Sender, SenderRules, forget_old_deliveries
from services.job.bootstrap.base import Base, Part
from services.runtime.db import create_engine
from services.runtime.server import BackgroundTask
from t2m.job.v1 import webhook_service_pb2_grpc

_CONNECTIONS = 2


def build_webhooks(base: Base) -> Part:
    """`WebhookService`, the sender, and the end of each job as an occasion to tell.

    The sender has a few database connections of its own: however many receivers answer at once, calls and jobs find
    theirs.
    """
    settings, clock = base.settings, base.clock
    base.writer.effects.append(base.webhook_queue.job_ended)
    engine = create_engine(
        settings.database_url, application_name="t2m-job-webhooks", pool_size=_CONNECTIONS, max_overflow=_CONNECTIONS
    )
    sender = Sender(
        PostgresDeliveryQueue(engine, timedelta(seconds=settings.webhook_lease_s)),
        HttpMessenger(base.webhook_rules, timeout_s=settings.webhook_timeout_s),
        base.webhook_seal,
        clock,
        SenderRules(settings.webhook_at_once, settings.webhook_per_endpoint),
        base.wake.webhooks,
        WebhookMetrics(),
    )

    async def send() -> None:
        try:
            await sender.run()
        finally:
            await engine.dispose()

    async def forget() -> None:
        await forget_old_deliveries(PostgresDeliveries(base.engine), clock)

    def add_webhooks(server: grpc.aio.Server) -> str:
        webhook_service_pb2_grpc.add_WebhookServiceServicer_to_server(WebhookServicer(base.webhooks), server)
        return "t2m.job.v1.WebhookService"

    return Part(
        [add_webhooks],
        [BackgroundTask("send webhooks", send), BackgroundTask("forget old deliveries", forget)],
    )

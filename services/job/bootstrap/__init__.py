"""Builds the order service: the only place that knows which adapter stands behind which port."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from redis.asyncio import Redis

from services.job.adapters.credit_client import GrpcCredits
from services.job.adapters.picture_files import WithPictureFiles
from services.job.adapters.render_client import GrpcRenders
from services.job.adapters.storage_client import GrpcObjects
from services.job.adapters.storyboard_client import GrpcStoryboards
from services.job.api.errors import TABLE
from services.job.application.follow import FollowRules
from services.job.application.ports import Clock
from services.job.bootstrap.admin import build_admin
from services.job.bootstrap.base import Base
from services.job.bootstrap.batches import build_batches
from services.job.bootstrap.credits import build_credits
from services.job.bootstrap.dashboard import build_dashboard
from services.job.bootstrap.logs import build_logs
from services.job.bootstrap.orders import build_orders, follow_rules
from services.job.bootstrap.queue import build_queue
from services.job.bootstrap.record import RECORD_CALLS, build_record
from services.job.bootstrap.retention import build_retention
from services.job.bootstrap.storyboards import build_storyboards
from services.job.bootstrap.webhooks import build_webhooks
from services.job.settings import JobSettings
from services.runtime.client import ServiceCredentials, auth_channel, channel
from services.runtime.clock import SystemClock
from services.runtime.db import create_engine
from services.runtime.revocations import token_checks
from services.runtime.server import ServiceServer
from t2m.storage.v1 import object_service_pb2_grpc


def build_server(
    settings: JobSettings, *, clock: Clock | None = None, rules: FollowRules | None = None
) -> ServiceServer:
    """The server with its connections, ready to `run`. `clock` and `rules` take the place of the usual ones."""
    engine = create_engine(settings.database_url, application_name="t2m-job")
    redis = Redis.from_url(settings.redis_url)
    auth = auth_channel(settings)
    credentials = ServiceCredentials(auth, settings.service_id, settings.service_secret)
    render_channel = channel(
        settings.video_render_address,
        settings,
        credentials,
        services=["t2m.video_render.v1.RenderService", "t2m.video_render.v1.StoryboardService"],
    )
    storage_channel = channel(
        settings.storage_address, settings, credentials, services=["t2m.storage.v1.ObjectService"]
    )
    renders, objects = GrpcRenders(render_channel), GrpcObjects(storage_channel)
    storage_stub = object_service_pb2_grpc.ObjectServiceStub(storage_channel)

    credit_channel = channel(
        settings.auth_address, settings, credentials, services=["t2m.auth.v1.CreditService", *RECORD_CALLS]
    )
    credit_accounts = GrpcCredits(credit_channel)
    base = Base(settings, engine, redis, clock or SystemClock(), credit_accounts)
    record = build_record(base, credit_channel, storage_channel, renders, objects)
    parts = [
        record.part,
        build_orders(base, renders, objects, rules or follow_rules(settings)),
        build_batches(base, base.orders),
        build_storyboards(base, WithPictureFiles(GrpcStoryboards(render_channel), storage_stub)),
        build_credits(base, credit_accounts),
        build_retention(base, renders, objects),
        build_logs(base),
        build_dashboard(base),
        build_admin(base),
        build_queue(base),
        build_webhooks(base),
    ]

    def add_services(server: grpc.aio.Server) -> Sequence[str]:
        return [register(server) for part in parts for register in part.services]

    async def close() -> None:
        for connection in (credit_channel, storage_channel, render_channel, auth):
            await connection.close()
        await redis.aclose()
        await engine.dispose()

    verifier, checks = token_checks(settings, auth, credentials)
    return ServiceServer(
        settings,
        table=TABLE,
        verifier=verifier,
        add_services=add_services,
        background=[*checks, *(task for part in parts for task in part.background)],
        on_close=close,
        audit=record.journal,
    )

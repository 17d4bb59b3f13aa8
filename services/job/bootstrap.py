"""Builds the order service: the only place that knows which adapter stands behind which port."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import grpc
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from services.job.adapters.live_events import STREAM_PREFIX, LiveEvents
from services.job.adapters.postgres.jobs import PostgresJobs
from services.job.adapters.postgres.leases import PostgresLeases
from services.job.adapters.postgres.outbox import PostgresOutbox
from services.job.adapters.postgres.queue import PostgresQueue
from services.job.adapters.postgres.tables import JOB_EVENTS
from services.job.adapters.render_client import GrpcRenders
from services.job.adapters.storage_client import GrpcObjects
from services.job.api.codec import event_payload
from services.job.api.errors import TABLE
from services.job.api.servicer import JobServicer, VideoServicer
from services.job.application.coalesce import Coalescing
from services.job.application.deliver import Deliveries
from services.job.application.dispatch import Dispatcher
from services.job.application.estimates import Estimates
from services.job.application.follow import Follower, FollowRules, RenderLog
from services.job.application.neighbours import Objects, Renders
from services.job.application.orders import Orders
from services.job.application.page_tokens import PageTokens
from services.job.application.ports import AdmissionLimits, Clock
from services.job.application.queries import Queries
from services.job.application.ticking import Wakeup
from services.job.application.videos import Videos
from services.job.application.watch import Watch
from services.job.domain.retry import RetryPolicy
from services.job.settings import JobSettings
from services.runtime.client import ServiceCredentials, auth_channel, channel
from services.runtime.clock import SystemClock
from services.runtime.db import create_engine
from services.runtime.eventlog import EventStore
from services.runtime.eventreader import EventReader
from services.runtime.ids import new_id
from services.runtime.jwks import RemoteKeys
from services.runtime.relay import Relay
from services.runtime.server import BackgroundTask, ServiceServer
from services.runtime.tokens import TokenVerifier
from t2m.job.v1 import job_service_pb2_grpc, video_service_pb2_grpc

SERVICES = ("t2m.job.v1.JobService", "t2m.job.v1.VideoService")
_PURGE_EVERY_S = 3600.0
_DISPATCH_LINGER_S = 0.02
"""Nothing against a render of seconds, and one admission for all orders that come meanwhile."""


@dataclass(frozen=True, slots=True)
class Job:
    """The built service without its server."""

    jobs: JobServicer
    videos: VideoServicer
    background: Sequence[BackgroundTask]


@dataclass(frozen=True, slots=True)
class _Announcement:
    """A `Signal` that calls a function."""

    call: Callable[[], None]

    def set(self) -> None:
        """There is work."""
        self.call()


@dataclass(frozen=True, slots=True)
class _Wakeups:
    """Who wakes whom within the process."""

    dispatch: Wakeup
    deliver: Wakeup
    follow: Wakeup


def build(
    settings: JobSettings,
    engine: AsyncEngine,
    redis: Redis,
    renders: Renders,
    objects: Objects,
    *,
    clock: Clock | None = None,
    rules: FollowRules | None = None,
) -> Job:
    """Everything but the server, over the given connections."""
    clock, rules = clock or SystemClock(), rules or follow_rules(settings)
    log = EventStore(engine, JOB_EVENTS)
    relay = Relay(log.fetch_unrelayed, log.mark_relayed, redis, prefix=STREAM_PREFIX, keep=settings.event_keep)
    reader = EventReader(redis, log.load, prefix=STREAM_PREFIX, queue_limit=settings.event_queue)
    stored = _Announcement(relay.wake)
    wake = _Wakeups(Wakeup(settings.poll_s, _DISPATCH_LINGER_S), Wakeup(settings.poll_s), Wakeup(settings.poll_s))
    limits = admission_limits(settings)

    store = PostgresJobs(engine, event_payload, stored)
    queue = PostgresQueue(engine, event_payload, stored)
    leases = PostgresLeases(engine, timedelta(seconds=settings.follow_lease_s))
    estimates = Estimates(queue, clock)
    tokens = PageTokens(settings.service_secret.get_secret_value().encode())
    queries = Queries(store, queue, estimates, tokens, limits.in_flight)
    orders = Orders(store, estimates, clock, new_id, wake.dispatch, wake.deliver)

    dispatcher = Dispatcher(queue, clock, limits, wake.dispatch, wake.deliver)
    deliveries = Deliveries(
        PostgresOutbox(engine), store, renders, clock, wake.deliver, accepted=wake.follow, freed=wake.dispatch
    )
    render_log = RenderLog(store, clock, rules, wake.deliver)
    follower = Follower(new_id(), leases, renders, render_log, rules, wake.follow, wake.dispatch)

    async def purge() -> None:
        while True:
            await store.purge_requests(clock.now())
            await asyncio.sleep(_PURGE_EVERY_S)

    return Job(
        JobServicer(orders, queries, Watch(queries, store, LiveEvents(reader))),
        VideoServicer(Videos(queries, objects)),
        [
            BackgroundTask("dispatch jobs", dispatcher.run),
            BackgroundTask("deliver commands", deliveries.run),
            BackgroundTask("follow renders", follower.run),
            BackgroundTask("forget request ids", purge),
            # Watchers are sent what happened up to the end.
            BackgroundTask("relay events", relay.run, outlives_calls=True),
            BackgroundTask("read events", reader.run, outlives_calls=True),
        ],
    )


def follow_rules(settings: JobSettings) -> FollowRules:
    """How renders are followed."""
    base, cap = timedelta(seconds=settings.retry_base_s), timedelta(seconds=settings.retry_cap_s)
    return FollowRules(
        settings.follow_at_once,
        RetryPolicy(base, cap),
        Coalescing(settings.progress_step, settings.progress_window_s),
    )


def admission_limits(settings: JobSettings) -> AdmissionLimits:
    """How many renders may run."""
    return AdmissionLimits(
        settings.max_in_flight,
        settings.max_in_flight_per_user,
        timedelta(seconds=settings.fair_share_step_s),
    )


def build_server(
    settings: JobSettings, *, clock: Clock | None = None, rules: FollowRules | None = None
) -> ServiceServer:
    """The server with its connections, ready to `run`. `clock` and `rules` take the place of the usual ones."""
    engine = create_engine(settings.database_url, application_name="t2m-job")
    redis = Redis.from_url(settings.redis_url)
    auth = auth_channel(settings)
    credentials = ServiceCredentials(auth, settings.service_id, settings.service_secret)
    render_channel = channel(
        settings.video_render_address, settings, credentials, services=["t2m.video_render.v1.RenderService"]
    )
    storage_channel = channel(
        settings.storage_address, settings, credentials, services=["t2m.storage.v1.ObjectService"]
    )
    renders, objects = GrpcRenders(render_channel), GrpcObjects(storage_channel)
    job = build(settings, engine, redis, renders, objects, clock=clock, rules=rules)

    def add_services(server: grpc.aio.Server) -> Sequence[str]:
        job_service_pb2_grpc.add_JobServiceServicer_to_server(job.jobs, server)
        video_service_pb2_grpc.add_VideoServiceServicer_to_server(job.videos, server)
        return SERVICES

    async def close() -> None:
        for connection in (storage_channel, render_channel, auth):
            await connection.close()
        await redis.aclose()
        await engine.dispose()

    return ServiceServer(
        settings,
        table=TABLE,
        verifier=TokenVerifier(RemoteKeys(auth)),
        add_services=add_services,
        background=job.background,
        on_close=close,
    )

"""Builds the service and the worker: the only place that knows which adapter stands behind which port."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import grpc
import sqlalchemy as sa
import structlog
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from services.runtime.client import ServiceCredentials, auth_channel, channel
from services.runtime.clock import Clock
from services.runtime.eventlog import EventStore
from services.runtime.eventreader import EventReader
from services.runtime.outbox import Outbox
from services.runtime.relay import Relay
from services.runtime.revocations import token_checks
from services.runtime.server import BackgroundTask, ServiceServer
from services.runtime.streamkeys import StreamKeys
from services.runtime.tokens import KeySource
from services.runtime.wake import PgListener
from services.video_render.adapters.celery.app import WorkerLimits, create_app
from services.video_render.adapters.celery.pool import PipeShutdown, WorkerPool
from services.video_render.adapters.celery.queue import CeleryQueue
from services.video_render.adapters.manim.version import engine_version
from services.video_render.adapters.postgres import tables
from services.video_render.adapters.postgres.engine import create_render_engine
from services.video_render.adapters.postgres.store import PostgresRenderStore
from services.video_render.adapters.process.liveness import ProcLiveness
from services.video_render.adapters.process.zygote import Zygote
from services.video_render.adapters.storage.files import GrpcFileStore
from services.video_render.adapters.storage.scratch import LocalSegments, ScratchFolders
from services.video_render.adapters.storage.spool import DiskSpool
from services.video_render.adapters.voice.espeak import EspeakVoice
from services.video_render.adapters.voice.openai_speech import OpenAiVoice
from services.video_render.api import codec
from services.video_render.api.errors import ERRORS
from services.video_render.api.servicer import RenderServicer
from services.video_render.api.storyboard_servicer import StoryboardServicer
from services.video_render.application.assemble_step import AssembleStep
from services.video_render.application.engine import MediaTools, Planner, SceneRenderer
from services.video_render.application.lease import LeaseKeeper
from services.video_render.application.plan_step import PlanStep
from services.video_render.application.planning import ScriptPlanner
from services.video_render.application.ports import Delivery, FileStore, StoreUnavailable
from services.video_render.application.renders import Renders
from services.video_render.application.scene_step import SceneStep
from services.video_render.application.steps import StepRunner, StepWork
from services.video_render.application.storyboards import Storyboards
from services.video_render.application.sweeper import Sweeper, SweepPolicy
from services.video_render.application.voice import Voice
from services.video_render.domain.request import DEFAULT_PLANNER, Priority
from services.video_render.domain.steps import LeasePolicy, StepKind
from services.video_render.settings import VideoRenderSettings
from t2m.video_render.v1 import render_service_pb2_grpc, storyboard_service_pb2_grpc

SERVICES = ("t2m.video_render.v1.RenderService", "t2m.video_render.v1.StoryboardService")
EVENTS_PREFIX = "render:"
"""Redis key of a render's event stream: this and the render's id."""
_DRAIN_MARGIN_S = 10.0
_EVICT_EVERY_S = 600.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Engine:
    """What plans, draws and joins; tests put their own in place."""

    planners: Mapping[str, Planner]
    renderer: SceneRenderer
    media: MediaTools


def real_engine() -> Engine:
    """Manim and PyAV; imported here because the service process needs neither."""
    from services.video_render.adapters.manim.scene_renderer import ManimSceneRenderer
    from services.video_render.adapters.media.tools import AvMediaTools

    return Engine({DEFAULT_PLANNER: ScriptPlanner()}, ManimSceneRenderer(), AvMediaTools())


def build_server(
    settings: VideoRenderSettings, clock: Clock | None = None, keys: KeySource | None = None
) -> ServiceServer:
    """The service, ready to `run`. `keys` verify tokens; by default they are fetched from auth."""
    engine = create_render_engine(settings.database_url, application_name="t2m-video-render")
    events = _event_store(engine)
    store = PostgresRenderStore(engine, events, codec.encode_event)
    queue = _queue(settings)
    redis = Redis.from_url(settings.redis_url)
    reader = EventReader(redis, events.load, prefix=EVENTS_PREFIX)
    to_auth = auth_channel(settings)
    verifier, checks = token_checks(settings, to_auth, keys=keys, clock=clock)

    def add_services(server: grpc.aio.Server) -> Sequence[str]:
        servicer = RenderServicer(Renders(store, queue, StreamKeys(redis, EVENTS_PREFIX)), reader.follow)
        render_service_pb2_grpc.add_RenderServiceServicer_to_server(servicer, server)
        planners = {DEFAULT_PLANNER: ScriptPlanner()}
        storyboards = StoryboardServicer(Storyboards(store, planners, engine_version, voice_of(settings).name))
        storyboard_service_pb2_grpc.add_StoryboardServiceServicer_to_server(storyboards, server)
        return SERVICES

    async def close() -> None:
        await to_auth.close()
        await redis.aclose()
        await engine.dispose()

    return ServiceServer(
        settings,
        table=ERRORS,
        verifier=verifier,
        add_services=add_services,
        background=[
            *checks,
            *_publishing(settings, engine, events, queue, redis),
            BackgroundTask("sweep steps", _sweeping(settings, store, queue)),
            BackgroundTask("forget scenes", _evicting(settings, store)),
            BackgroundTask("read events", reader.run, outlives_calls=True),
        ],
        on_close=close,
    )


def build_worker(settings: VideoRenderSettings, engine: Engine) -> WorkerPool:
    """A worker process, ready to `serve`."""
    app = create_app(settings.broker, _limits(settings))
    engine_version = engine.renderer.engine_version  # read once, here, rather than in every forked process

    async def run_step(step_id: str, task_id: str, zygote: Zygote, shutdown: PipeShutdown) -> None:
        # Everything that owns a connection is made per step: it belongs to the event loop of this step.
        database = create_render_engine(settings.database_url, application_name="t2m-render-worker", pool_size=3)
        to_auth = auth_channel(settings)
        credentials = ServiceCredentials(to_auth, settings.service_id, settings.service_secret)
        to_storage = channel(settings.storage_address, settings, credentials)
        try:
            files = GrpcFileStore(to_storage)
            store = PostgresRenderStore(database, _event_store(database), codec.encode_event)
            runner = StepRunner(
                store,
                CeleryQueue(app),
                _lease(settings),
                LeaseKeeper(store, shutdown, _lease(settings).lease, settings.heartbeat_s, settings.soft_time_limit_s),
                ProcLiveness(),
                _works(settings, engine, engine_version, store, files, zygote),
            )
            await runner.run(step_id, task_id)
        finally:
            await to_storage.close()
            await to_auth.close()
            await database.dispose()

    return WorkerPool(
        app,
        engine.renderer,
        run_step,
        ScratchFolders(settings.scratch_dir).purge,
        concurrency=settings.worker_concurrency,
        grace_s=settings.shutdown_grace_s,
        scene_memory_bytes=settings.scene_memory_bytes,
    )


def _works(
    settings: VideoRenderSettings,
    engine: Engine,
    engine_version: str,
    store: PostgresRenderStore,
    files: FileStore,
    zygote: Zygote,
) -> Mapping[StepKind, StepWork]:
    workspace = ScratchFolders(settings.scratch_dir)
    segments = LocalSegments(settings.scratch_dir, settings.segments_max_bytes)
    spool = DiskSpool(settings.scratch_dir, settings.spool_max_bytes)
    voice, every_s = voice_of(settings), settings.progress_every_s
    return {
        StepKind.PLAN: PlanStep(store, engine.planners, engine_version, voice.name),
        StepKind.SCENE: SceneStep(store, files, segments, zygote, engine.media, voice, workspace, spool, every_s),
        StepKind.ASSEMBLE: AssembleStep(store, files, segments, engine.media, workspace, every_s),
    }


def voice_of(settings: VideoRenderSettings) -> Voice:
    """Who speaks."""
    if settings.voice_url:
        key = settings.voice_key.get_secret_value()
        return OpenAiVoice(settings.voice_url.rstrip("/"), key, settings.voice_model, settings.voice_name)
    return EspeakVoice()


def _publishing(
    settings: VideoRenderSettings, engine: AsyncEngine, events: EventStore, queue: CeleryQueue, redis: Redis
) -> list[BackgroundTask]:
    """What carries committed rows out: steps to the broker, events to Redis."""

    async def publish(row: sa.RowMapping) -> None:
        task_id = f"{row['step_id']}.{row['id']}"
        await queue.publish(Delivery(row["step_id"], task_id, Priority(row["queue"])))

    outbox = Outbox(engine, tables.outbox, publish)
    relay = Relay(events.fetch_unrelayed, events.mark_relayed, redis, prefix=EVENTS_PREFIX)
    wakes = {tables.OUTBOX_CHANNEL: outbox.wake, tables.EVENTS_CHANNEL: relay.wake}
    return [
        BackgroundTask("publish steps", outbox.run),
        BackgroundTask("relay events", relay.run),
        BackgroundTask("listen for commits", PgListener(settings.database_url, wakes).run),
    ]


def _sweeping(settings: VideoRenderSettings, store: PostgresRenderStore, queue: CeleryQueue) -> _Loop:
    policy = SweepPolicy(timedelta(seconds=settings.empty_queue_s), timedelta(seconds=settings.busy_queue_s))
    sweeper = Sweeper(store, queue, _lease(settings), policy, ProcLiveness())
    return _Loop(sweeper, settings.sweep_interval_s)


def _evicting(settings: VideoRenderSettings, store: PostgresRenderStore) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        while True:
            with suppress(StoreUnavailable):
                await store.evict_scenes(timedelta(seconds=settings.cache_unused_s), settings.cache_max_bytes)
            await asyncio.sleep(_EVICT_EVERY_S)

    return run


class _Loop:
    """Sweeps again and again; a database that is away is waited for."""

    def __init__(self, sweeper: Sweeper, interval_s: float) -> None:
        self._sweeper = sweeper
        self._interval_s = interval_s

    async def __call__(self) -> None:
        while True:
            try:
                if found := await self._sweeper.sweep():
                    _log.warning("steps were lost and are offered again", steps=found)
            except StoreUnavailable as exc:
                _log.warning("not sweeping", error=str(exc))
            await asyncio.sleep(self._interval_s)


def _event_store(engine: AsyncEngine) -> EventStore:
    return EventStore(engine, tables.events, notify_channel=tables.EVENTS_CHANNEL)


def _queue(settings: VideoRenderSettings) -> CeleryQueue:
    return CeleryQueue(create_app(settings.broker, _limits(settings)))


def _limits(settings: VideoRenderSettings) -> WorkerLimits:
    return WorkerLimits(
        settings.hard_time_limit_s, settings.shutdown_grace_s + _DRAIN_MARGIN_S, settings.pool_memory_bytes
    )


def _lease(settings: VideoRenderSettings) -> LeasePolicy:
    pause = timedelta(seconds=settings.retry_pause_s)
    return LeasePolicy(timedelta(seconds=settings.lease_s), settings.max_attempts, pause)

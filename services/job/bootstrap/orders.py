"""The part that accepts, runs and shows jobs."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import grpc

from services.job.adapters.live_events import LiveEvents, is_terminal
from services.job.adapters.postgres.leases import PostgresLeases
from services.job.adapters.postgres.storyboards import PostgresStoryboards
from services.job.api.playback_servicer import PlaybackServicer
from services.job.api.servicer import JobServicer, VideoServicer
from services.job.application.coalesce import Coalescing
from services.job.application.dispatch import Dispatcher
from services.job.application.follow import Follower, FollowRules, RenderLog
from services.job.application.neighbours import Objects, Renders
from services.job.application.orders import Pins
from services.job.application.overdue import Overdue
from services.job.application.playback import Playback
from services.job.application.render_commands import RenderCommands
from services.job.application.ticking import Wakeup
from services.job.application.videos import Videos
from services.job.application.watch import Watch
from services.job.bootstrap.base import JOB_STREAM_PREFIX, Base, Part
from services.job.domain.events import Lane
from services.job.domain.retry import RetryPolicy
from services.job.settings import JobSettings
from services.runtime.eventreader import EventReader
from services.runtime.ids import new_id
from services.runtime.server import BackgroundTask
from t2m.job.v1 import job_service_pb2_grpc, playback_service_pb2_grpc, video_service_pb2_grpc

_PURGE_EVERY_S = 3600.0
_OVERDUE_EVERY_S = 10.0
_MEASURE_EVERY_S = 10.0


def follow_rules(settings: JobSettings) -> FollowRules:
    """How renders are followed."""
    base, cap = timedelta(seconds=settings.retry_base_s), timedelta(seconds=settings.retry_cap_s)
    return FollowRules(
        settings.follow_at_once,
        RetryPolicy(base, cap),
        Coalescing(settings.progress_step, settings.progress_window_s),
    )


def build_orders(base: Base, renders: Renders, objects: Objects, rules: FollowRules) -> Part:
    """`JobService` and `VideoService`, the dispatcher, the couriers to video_render, the follower."""
    settings, clock, wake = base.settings, base.clock, base.wake
    reader = EventReader(base.redis, base.log.load, prefix=JOB_STREAM_PREFIX, queue_limit=settings.event_queue)
    pins = Pins(base.store, base.plans, clock)
    watch = Watch(base.queries, base.store, LiveEvents(reader, is_terminal))
    videos = Videos(base.queries, objects)

    leases = PostgresLeases(base.engine, timedelta(seconds=settings.follow_lease_s))
    dispatcher = Dispatcher(base.queue, clock, base.limits, wake.dispatch, wake.deliver)
    commands = RenderCommands(
        base.store, renders, PostgresStoryboards(base.engine), clock, wake.follow, wake.dispatch, rules.retry
    )
    overdue = Overdue(base.queue, base.store, clock, settings.time_limits(), rules.retry, base.commanded)
    render_log = RenderLog(base.store, clock, rules, base.commanded, base.estimates)
    follower = Follower(new_id(), leases, renders, render_log, rules, wake.follow, wake.dispatch)

    async def purge() -> None:
        while True:
            await base.store.purge_requests(clock.now())
            await asyncio.sleep(_PURGE_EVERY_S)

    async def measure() -> None:
        while True:
            base.metrics.queue(await base.queue.state(clock.now()))
            await asyncio.sleep(_MEASURE_EVERY_S)

    def add_jobs(server: grpc.aio.Server) -> str:
        job_service_pb2_grpc.add_JobServiceServicer_to_server(
            JobServicer(base.orders, pins, base.queries, watch), server
        )
        return "t2m.job.v1.JobService"

    def add_videos(server: grpc.aio.Server) -> str:
        video_service_pb2_grpc.add_VideoServiceServicer_to_server(VideoServicer(videos), server)
        return "t2m.job.v1.VideoService"

    def add_playback(server: grpc.aio.Server) -> str:
        playback = PlaybackServicer(Playback(base.queries, renders, objects, clock))
        playback_service_pb2_grpc.add_PlaybackServiceServicer_to_server(playback, server)
        return "t2m.job.v1.PlaybackService"

    return Part(
        [add_jobs, add_videos, add_playback],
        [
            BackgroundTask("dispatch jobs", dispatcher.run),
            base.courier(Lane.RENDER, commands, wake.deliver),
            BackgroundTask("follow renders", follower.run),
            BackgroundTask("forget request ids", purge),
            BackgroundTask("break off overdue attempts", lambda: overdue.run(Wakeup(_OVERDUE_EVERY_S))),
            BackgroundTask("measure the queue", measure),
            # Watchers are sent what happened up to the end.
            BackgroundTask("relay events", base.relay.run, outlives_calls=True),
            BackgroundTask("read events", reader.run, outlives_calls=True),
        ],
    )

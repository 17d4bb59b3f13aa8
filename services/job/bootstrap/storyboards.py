"""The part that deals with storyboards before they are jobs."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import grpc

from services.job.adapters.postgres.storyboards import PostgresStoryboards
from services.job.api.storyboard_servicer import StoryboardServicer
from services.job.application.storyboards import Storyboards, StoryboardTools
from services.job.bootstrap.base import Base, Part
from services.runtime.server import BackgroundTask
from t2m.job.v1 import storyboard_service_pb2_grpc

_PURGE_EVERY_S = 3600.0
_KEPT_UNUSED = timedelta(days=1)


def build_storyboards(base: Base, tools: StoryboardTools) -> Part:
    """`StoryboardService`, and the end of what no job refers to any more."""
    store = PostgresStoryboards(base.engine)
    storyboards = Storyboards(tools, store, base.orders, base.queries, base.estimates, base.reservations, base.clock)

    async def purge() -> None:
        while True:
            await store.purge(base.clock.now() - _KEPT_UNUSED)
            await asyncio.sleep(_PURGE_EVERY_S)

    def add(server: grpc.aio.Server) -> str:
        storyboard_service_pb2_grpc.add_StoryboardServiceServicer_to_server(StoryboardServicer(storyboards), server)
        return "t2m.job.v1.StoryboardService"

    return Part([add], [BackgroundTask("forget storyboards", purge)])

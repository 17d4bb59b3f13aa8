"""`RenderService`: decode, use case, encode."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Protocol

import grpc

from services.runtime.errors import unavailable
from services.video_render.api import codec
from services.video_render.application.renders import Renders
from t2m.video_render.v1 import render_service_pb2 as pb
from t2m.video_render.v1 import render_service_pb2_grpc


class StoredEvent(Protocol):
    """An event of the log."""

    @property
    def payload(self) -> bytes:
        """A serialised `RenderEvent`."""
        ...


Follow = Callable[[str, int], AsyncIterator[StoredEvent]]
"""(render id, after seq) → every later event in order; ends when the server drains."""


class RenderServicer(render_service_pb2_grpc.RenderServiceServicer):
    """Serves renders to the job service."""

    def __init__(self, renders: Renders, follow: Follow) -> None:
        self._renders = renders
        self._follow = follow

    async def StartRender(
        self, request: pb.StartRenderRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> pb.StartRenderResponse:
        """Accept a render."""
        render = await self._renders.start(codec.decode_request(request))
        return pb.StartRenderResponse(render=codec.encode_render(render))

    async def GetRender(
        self, request: pb.GetRenderRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> pb.GetRenderResponse:
        """The render as it is."""
        return pb.GetRenderResponse(render=codec.encode_render(await self._renders.get(request.render_id)))

    async def WatchRender(
        self, request: pb.WatchRenderRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> AsyncGenerator[pb.WatchRenderResponse, None]:
        """Every event after a position; ends after the terminal one."""
        render = await self._renders.watchable(request.render_id, request.after_seq)
        if render.state.terminal and request.after_seq == render.seq:
            return
        async with aclosing(self._follow(request.render_id, request.after_seq)) as events:  # type: ignore[type-var]
            async for stored in events:
                event = codec.decode_event(stored.payload)
                yield pb.WatchRenderResponse(event=event)
                if codec.is_terminal(event):
                    return
        raise unavailable("the server is shutting down; watch again from the last seq received")

    async def CancelRender(
        self, request: pb.CancelRenderRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> pb.CancelRenderResponse:
        """Stop a render."""
        render = await self._renders.cancel(request.render_id)
        return pb.CancelRenderResponse(render=codec.encode_render(render))

    async def ListSegments(
        self, request: pb.ListSegmentsRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> pb.ListSegmentsResponse:
        """What can be played of a render."""
        playable, complete = await self._renders.playable(request.render_id)
        scenes = [
            pb.PlayableScene(
                index=index,
                segments=[codec.encode_segment(each) for each in scene.segments],
                audio=codec.encode_segment(scene.audio) if scene.audio else None,
            )
            for index, scene in enumerate(playable)
        ]
        return pb.ListSegmentsResponse(scenes=scenes, complete=complete)

    async def DeleteRenders(
        self, request: pb.DeleteRendersRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> pb.DeleteRendersResponse:
        """Forget the renders of a job."""
        return pb.DeleteRendersResponse(
            render_count=await self._renders.delete_of_job(request.owner_id, request.job_id)
        )

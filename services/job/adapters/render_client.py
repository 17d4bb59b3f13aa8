"""video_render over gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import grpc
from google.protobuf import json_format, struct_pb2

from services.job.adapters import render_codec
from services.job.application.neighbours import (
    Playable,
    RenderAway,
    RenderCursorAhead,
    RenderFaulty,
    RenderRefused,
    RenderUnknown,
)
from services.job.domain.job import Job
from services.job.domain.order import SCRIPT_MODEL
from services.job.domain.render import RenderFact
from services.job.domain.values import Priority
from services.runtime.errors import rpc_error_details
from t2m.video_render.v1 import render_pb2, render_service_pb2_grpc, storyboard_pb2
from t2m.video_render.v1 import render_service_pb2 as pb

_POLICIES: Mapping[bool, Any] = {
    False: render_pb2.SCENE_FAILURE_POLICY_FAIL,
    True: render_pb2.SCENE_FAILURE_POLICY_FALLBACK,
}
_REFUSALS = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
    }
)
_FAULTS = frozenset(
    {
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.OUT_OF_RANGE,
    }
)


class GrpcRenders:
    """The `Renders` over `t2m.video_render.v1.RenderService`."""

    def __init__(self, channel: grpc.aio.Channel, timeout_s: float = 5.0) -> None:
        self._stub: Any = render_service_pb2_grpc.RenderServiceStub(channel)
        self._timeout_s = timeout_s

    async def start(self, job: Job, priority: Priority, storyboard: bytes | None = None) -> None:
        """Start the render of the current attempt."""
        order = job.order
        configuration = struct_pb2.Struct()
        json_format.ParseDict(dict(order.configuration), configuration)
        request = pb.StartRenderRequest(
            render_id=job.render_id,
            owner_id=order.owner_id,
            job_id=job.job_id,
            topic=order.topic,
            context=order.context,
            planner=SCRIPT_MODEL,
            quality=render_codec.QUALITIES[order.quality],
            lower_qualities=[render_codec.QUALITIES[lower] for lower in order.lower_qualities],
            priority=render_codec.PRIORITIES[priority],
            configuration=configuration,
            storyboard=None if storyboard is None else storyboard_pb2.Storyboard.FromString(storyboard),
            narration=order.narration,
            on_scene_failure=_POLICIES[order.scene_fallback],
        )
        try:
            await self._stub.StartRender(request, timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            failure = rpc_error_details(error)
            if failure.code in _FAULTS:
                raise RenderFaulty(f"{failure.code.name}: {failure.message}") from error
            if failure.code not in _REFUSALS:
                raise _away(error) from error
            details = "; ".join(f"{path}: {text}" for path, text in failure.violations)
            raise RenderRefused(details or failure.message) from error

    async def cancel(self, render_id: str) -> None:
        """Stop the render."""
        try:
            await self._stub.CancelRender(pb.CancelRenderRequest(render_id=render_id), timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            raise _lost(error, render_id) from error

    async def forget(self, owner_id: str, job_id: str) -> None:
        """Stop and forget every render of the job."""
        try:
            request = pb.DeleteRendersRequest(owner_id=owner_id, job_id=job_id)
            await self._stub.DeleteRenders(request, timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            raise _away(error) from error

    async def playable(self, render_id: str) -> Playable:
        """What can be played of a render."""
        try:
            request = pb.ListSegmentsRequest(render_id=render_id)
            answer = await self._stub.ListSegments(request, timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            raise _lost(error, render_id) from error
        return render_codec.playable(answer)

    async def watch(self, render_id: str, after_seq: int) -> AsyncGenerator[RenderFact]:
        """What happens to the render after the position."""
        call = self._stub.WatchRender(pb.WatchRenderRequest(render_id=render_id, after_seq=after_seq))
        try:
            async for answer in call:
                yield render_codec.fact_of(answer.event)
        except grpc.aio.AioRpcError as error:
            raise _lost(error, render_id) from error
        finally:
            call.cancel()


def _lost(error: grpc.aio.AioRpcError, render_id: str) -> Exception:
    match error.code():
        case grpc.StatusCode.NOT_FOUND:
            return RenderUnknown(render_id)
        case grpc.StatusCode.OUT_OF_RANGE:
            return RenderCursorAhead(render_id)
        case _:
            return _away(error)


def _away(error: grpc.aio.AioRpcError) -> RenderAway:
    """Everything that another try may mend, refused credentials and internal faults included: nothing is lost by
    waiting.
    """
    return RenderAway(f"{error.code().name}: {error.details()}")

"""video_render's storyboards over gRPC."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

import grpc
from google.protobuf import json_format, struct_pb2

from services.job.adapters import render_codec
from services.job.application.neighbours import RenderAway, RenderUnknown
from services.job.application.storyboards import SceneForecast, Storyboard
from services.job.domain.errors import FieldsRefused, StateConflict
from services.job.domain.values import Quality
from services.runtime.errors import rpc_error_details
from t2m.video_render.v1 import storyboard_pb2, storyboard_service_pb2_grpc
from t2m.video_render.v1 import storyboard_service_pb2 as pb


class GrpcStoryboards:
    """The `StoryboardTools` over `t2m.video_render.v1.StoryboardService`."""

    def __init__(self, channel: grpc.aio.Channel, timeout_s: float = 10.0) -> None:
        self._stub: Any = storyboard_service_pb2_grpc.StoryboardServiceStub(channel)
        self._timeout_s = timeout_s

    async def plan(self, topic: str, context: str, configuration: Mapping[str, Any]) -> tuple[Storyboard, list[str]]:
        """What a planner makes of a topic."""
        options = struct_pb2.Struct()
        json_format.ParseDict(dict(configuration), options)
        request = pb.PlanStoryboardRequest(topic=topic, context=context, configuration=options)
        answer = await _answered(self._stub.PlanStoryboard(request, timeout=self._timeout_s))
        return storyboard_of(answer.storyboard), list(answer.warnings)

    async def forecast(
        self, owner_id: str, storyboard: Storyboard, quality: Quality, *, narration: bool = False
    ) -> list[SceneForecast]:
        """What is known of its scenes."""
        request = pb.CheckStoryboardRequest(
            owner_id=owner_id,
            storyboard=message_of(storyboard),
            quality=render_codec.QUALITIES[quality],
            narration=narration,
        )
        answer = await _answered(self._stub.CheckStoryboard(request, timeout=self._timeout_s))
        return [
            SceneForecast(
                scene.id, scene.title, scene.kind, scene.duration.ToTimedelta(), scene.frame_count, scene.rendered
            )
            for scene in answer.scenes
        ]

    async def edit(self, storyboard: Storyboard, edits: bytes) -> Storyboard:
        """The storyboard after edits."""
        request = pb.EditStoryboardRequest(
            storyboard=message_of(storyboard), edits=pb.StoryboardEdits.FromString(edits)
        )
        answer = await _answered(self._stub.EditStoryboard(request, timeout=self._timeout_s))
        return storyboard_of(answer.storyboard)

    async def of_render(self, render_id: str) -> Storyboard:
        """The storyboard of a render."""
        request = pb.GetRenderStoryboardRequest(render_id=render_id)
        answer = await _answered(self._stub.GetRenderStoryboard(request, timeout=self._timeout_s), render_id)
        return storyboard_of(answer.storyboard)


def storyboard_of(message: storyboard_pb2.Storyboard) -> Storyboard:
    """A storyboard as bytes that are equal for equal storyboards."""
    return Storyboard(message.SerializeToString(deterministic=True), message.title)


def message_of(storyboard: Storyboard) -> storyboard_pb2.Storyboard:
    """The message behind the bytes."""
    return storyboard_pb2.Storyboard.FromString(storyboard.data)


async def _answered(call: Awaitable[Any], render_id: str = "") -> Any:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        failure = rpc_error_details(error)
        match failure.code:
            case grpc.StatusCode.INVALID_ARGUMENT:
                raise FieldsRefused(failure.violations or [("", failure.message)]) from error
            case grpc.StatusCode.NOT_FOUND:
                raise RenderUnknown(render_id) from error
            case grpc.StatusCode.FAILED_PRECONDITION:
                raise StateConflict("there is no storyboard yet: the job is being planned") from error
        raise RenderAway(f"{failure.code.name}: {failure.message}") from error

"""`StoryboardService`: decode, use case, encode."""

from __future__ import annotations

from datetime import timedelta

import grpc
from google.protobuf import duration_pb2, json_format

from services.video_render.api import storyboard_codec
from services.video_render.api.codec import QUALITIES
from services.video_render.application.storyboards import SceneForecast, Storyboards
from t2m.video_render.v1 import storyboard_service_pb2 as pb
from t2m.video_render.v1 import storyboard_service_pb2_grpc

Context = grpc.aio.ServicerContext[object, object]


class StoryboardServicer(storyboard_service_pb2_grpc.StoryboardServiceServicer):
    """Serves storyboards to the job service."""

    def __init__(self, storyboards: Storyboards) -> None:
        self._storyboards = storyboards

    async def PlanStoryboard(self, request: pb.PlanStoryboardRequest, context: Context) -> pb.PlanStoryboardResponse:
        """Make one of a topic."""
        options = json_format.MessageToDict(request.configuration)
        board = await self._storyboards.plan(request.topic, request.context, request.planner, options)
        return pb.PlanStoryboardResponse(storyboard=storyboard_codec.encode(board), warnings=board.warnings)

    async def CheckStoryboard(self, request: pb.CheckStoryboardRequest, context: Context) -> pb.CheckStoryboardResponse:
        """Say what it costs, or what is wrong with it."""
        board = storyboard_codec.decode(request.storyboard)
        forecasts = await self._storyboards.forecast(
            request.owner_id, board, [QUALITIES[request.quality]], narration=request.narration
        )
        return pb.CheckStoryboardResponse(scenes=[_forecast(each) for each in forecasts])

    async def EditStoryboard(self, request: pb.EditStoryboardRequest, context: Context) -> pb.EditStoryboardResponse:
        """Change it."""
        board = storyboard_codec.decode_edits(request.edits).apply(storyboard_codec.decode(request.storyboard))
        return pb.EditStoryboardResponse(storyboard=storyboard_codec.encode(board))

    async def GetRenderStoryboard(
        self, request: pb.GetRenderStoryboardRequest, context: Context
    ) -> pb.GetRenderStoryboardResponse:
        """What a render draws."""
        board = await self._storyboards.of_render(request.render_id)
        return pb.GetRenderStoryboardResponse(storyboard=storyboard_codec.encode(board))


def _forecast(scene: SceneForecast) -> pb.SceneForecast:
    duration = duration_pb2.Duration()
    duration.FromTimedelta(timedelta(seconds=scene.duration_s))
    return pb.SceneForecast(
        id=scene.id,
        title=scene.title,
        kind=scene.kind,
        duration=duration,
        frame_count=scene.frames,
        rendered=scene.rendered,
    )

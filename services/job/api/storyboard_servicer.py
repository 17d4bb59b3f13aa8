"""`StoryboardService`: decode, use case, encode."""

from __future__ import annotations

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from services.job.api import codec
from services.job.api.servicer import Context, current_viewer
from services.job.application.queries import JobView
from services.job.application.request import OrderRequest
from services.job.application.storyboards import Estimate, Storyboard, Storyboards
from services.job.domain.values import Quality
from t2m.job.v1 import storyboard_service_pb2 as pb
from t2m.job.v1 import storyboard_service_pb2_grpc
from t2m.video_render.v1 import storyboard_pb2, storyboard_service_pb2


class StoryboardServicer(storyboard_service_pb2_grpc.StoryboardServiceServicer):
    """Storyboards for users."""

    def __init__(self, storyboards: Storyboards) -> None:
        self._storyboards = storyboards

    async def PlanStoryboard(self, request: pb.PlanStoryboardRequest, context: Context) -> pb.PlanStoryboardResponse:
        """Make one of a topic."""
        board, warnings, estimate = await self._storyboards.plan(
            current_viewer(),
            request.topic,
            request.context,
            request.model,
            codec.json_of(request.configuration),
            codec.QUALITY_OF.get(request.quality, Quality.MEDIUM),
        )
        return pb.PlanStoryboardResponse(storyboard=_message(board), warnings=warnings, estimate=_estimate(estimate))

    async def ValidateStoryboard(
        self, request: pb.ValidateStoryboardRequest, context: Context
    ) -> pb.ValidateStoryboardResponse:
        """Say what it costs, or what is wrong with it."""
        quality = codec.QUALITY_OF.get(request.quality, Quality.MEDIUM)
        estimate = await self._storyboards.estimate(current_viewer(), _storyboard(request.storyboard), quality)
        return pb.ValidateStoryboardResponse(estimate=_estimate(estimate))

    async def RenderStoryboard(
        self, request: pb.RenderStoryboardRequest, context: Context
    ) -> pb.RenderStoryboardResponse:
        """Accept an order for its video."""
        wish = OrderRequest(
            topic="",
            context="",
            quality=codec.QUALITY_OF.get(request.quality),
            priority=codec.PRIORITY_OF.get(request.priority),
            thumbnails=request.thumbnails if request.HasField("thumbnails") else None,
            max_retries=request.max_retries if request.HasField("max_retries") else None,
            webhook_url=request.webhook_url,
            narration=request.narration,
            scene_fallback=codec.wants_fallback(request.on_scene_failure),
        )
        job, estimate = await self._storyboards.render(
            current_viewer(), _storyboard(request.storyboard), wish, request.request_id
        )
        accepted = codec.job(JobView(job, job.first_estimate))
        return pb.RenderStoryboardResponse(job=accepted, estimate=_estimate(estimate))

    async def GetStoryboard(self, request: pb.GetStoryboardRequest, context: Context) -> pb.GetStoryboardResponse:
        """What a job draws."""
        board = await self._storyboards.of_job(current_viewer(), codec.canonical_id(request.job_id))
        return pb.GetStoryboardResponse(storyboard=_message(board))

    async def RemixJob(self, request: pb.RemixJobRequest, context: Context) -> pb.RemixJobResponse:
        """Order another video of a job's storyboard."""
        wish = OrderRequest(
            topic="",
            context="",
            quality=codec.QUALITY_OF.get(request.quality),
            priority=codec.PRIORITY_OF.get(request.priority),
            max_retries=request.max_retries if request.HasField("max_retries") else None,
            webhook_url=request.webhook_url,
            origin_job_id=codec.canonical_id(request.job_id),
        )
        edits = request.edits.SerializeToString(deterministic=True)
        job, estimate = await self._storyboards.remix(
            current_viewer(), codec.canonical_id(request.job_id), edits, wish, request.request_id
        )
        return pb.RemixJobResponse(job=codec.job(JobView(job, job.first_estimate)), estimate=_estimate(estimate))


def _storyboard(message: storyboard_pb2.Storyboard) -> Storyboard:
    return Storyboard(message.SerializeToString(deterministic=True), message.title)


def _message(board: Storyboard) -> storyboard_pb2.Storyboard:
    return storyboard_pb2.Storyboard.FromString(board.data)


def _estimate(source: Estimate) -> pb.StoryboardEstimate:
    message = pb.StoryboardEstimate(
        duration=_duration(sum((scene.duration for scene in source.scenes), timedelta())),
        frame_count=sum(scene.frames for scene in source.scenes),
        credits=source.credits,
        scene_count=len(source.scenes),
        rendered_scene_count=sum(scene.rendered for scene in source.scenes),
        scenes=[
            storyboard_service_pb2.SceneForecast(
                id=scene.id,
                title=scene.title,
                kind=scene.kind,
                duration=_duration(scene.duration),
                frame_count=scene.frames,
                rendered=scene.rendered,
            )
            for scene in source.scenes
        ],
    )
    if source.processing is not None:
        message.processing_time.CopyFrom(_duration(source.processing))
    return message


def _duration(length: timedelta) -> Duration:
    message = Duration()
    message.FromTimedelta(length)
    return message

"""`JobService` and `VideoService`: decode, use case, encode."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc

from services.job.api import codec, video_codec
from services.job.api.errors import TABLE
from services.job.application.orders import Orders, Pins
from services.job.application.ports import Viewer
from services.job.application.queries import JobView, Queries
from services.job.application.videos import Videos
from services.job.application.watch import Snapshot, Watch
from services.job.domain.errors import PositionExpired
from services.job.domain.order import DEFAULT_PLAN
from services.runtime.errors import DETAILS_KEY, status_from_exception, unavailable
from services.runtime.identity import Role, current_drain, current_principal
from t2m.job.v1 import job_pb2, job_service_pb2_grpc, video_service_pb2_grpc
from t2m.job.v1 import job_service_pb2 as pb
from t2m.job.v1 import video_service_pb2 as video_pb

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
_DEFAULT_EVENTS = 100


def current_viewer() -> Viewer:
    """Who is asking, from the call's token."""
    principal = current_principal()
    return Viewer(principal.subject, principal.role is Role.ADMIN, principal.plan or DEFAULT_PLAN)


class JobServicer(job_service_pb2_grpc.JobServiceServicer):
    """Orders for videos."""

    def __init__(self, orders: Orders, pins: Pins, queries: Queries, watch: Watch) -> None:
        self._orders = orders
        self._pins = pins
        self._queries = queries
        self._watch = watch

    async def CreateJob(self, request: pb.CreateJobRequest, context: Context) -> pb.CreateJobResponse:
        """Accept an order."""
        job = await self._orders.create(current_viewer(), codec.order_request(request), request.request_id)
        return pb.CreateJobResponse(job=codec.job(JobView(job, job.first_estimate)))

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:
        """The order."""
        view = await self._queries.get(current_viewer(), codec.canonical_id(request.job_id))
        return pb.GetJobResponse(job=codec.job(view))

    async def GetJobProgress(self, request: pb.GetJobProgressRequest, context: Context) -> pb.GetJobProgressResponse:
        """How far the order is."""
        view = await self._queries.progress(current_viewer(), codec.canonical_id(request.job_id))
        return pb.GetJobProgressResponse(job_progress=codec.progress(view))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        """A page of the caller's orders."""
        query = codec.job_query(request, current_viewer())
        page = await self._queries.page(query, codec.page_wish(request))
        return pb.ListJobsResponse(
            jobs=[codec.job(view) for view in page.views],
            next_page_token=page.next_page_token,
            total_count=page.total,
        )

    async def ListJobEvents(self, request: pb.ListJobEventsRequest, context: Context) -> pb.ListJobEventsResponse:
        """A page of a job's history."""
        events, token = await self._queries.history(
            current_viewer(),
            codec.canonical_id(request.job_id),
            request.page_token,
            request.page_size or _DEFAULT_EVENTS,
        )
        messages = [job_pb2.JobEvent.FromString(event.payload) for event in events]
        return pb.ListJobEventsResponse(events=messages, next_page_token=token)

    async def CancelJob(self, request: pb.CancelJobRequest, context: Context) -> pb.CancelJobResponse:
        """Stop a job."""
        job = await self._orders.cancel(current_viewer(), codec.canonical_id(request.job_id))
        return pb.CancelJobResponse(job=codec.job(JobView(job, None)))

    async def DeleteJob(self, request: pb.DeleteJobRequest, context: Context) -> pb.DeleteJobResponse:
        """Remove a job from every list."""
        await self._orders.delete(current_viewer(), codec.canonical_id(request.job_id))
        return pb.DeleteJobResponse()

    async def PinJob(self, request: pb.PinJobRequest, context: Context) -> pb.PinJobResponse:
        """Keep a job."""
        job = await self._pins.pin(current_viewer(), codec.canonical_id(request.job_id))
        return pb.PinJobResponse(job=codec.job(await self._queries.view(job)))

    async def UnpinJob(self, request: pb.UnpinJobRequest, context: Context) -> pb.UnpinJobResponse:
        """Leave a job to retention."""
        job = await self._pins.unpin(current_viewer(), codec.canonical_id(request.job_id))
        return pb.UnpinJobResponse(job=codec.job(await self._queries.view(job)))

    async def WatchJob(self, request: pb.WatchJobRequest, context: Context) -> AsyncIterator[pb.WatchJobResponse]:
        """Follow a job to its end."""
        viewer, job_id = current_viewer(), codec.canonical_id(request.job_id)
        after = request.after_seq if request.HasField("after_seq") else None
        try:
            opened = await self._watch.open(viewer, job_id, after)
        except PositionExpired as expired:
            view = await self._queries.progress(viewer, job_id)
            await _abort_with_progress(context, expired, view)
        terminal = False
        async with aclosing(opened) as stream:
            async for item in stream:
                if isinstance(item, Snapshot):
                    terminal = item.view.job.status.terminal
                    yield pb.WatchJobResponse(event=codec.snapshot(item.view))
                else:
                    terminal = item.terminal
                    yield pb.WatchJobResponse(event=job_pb2.JobEvent.FromString(item.payload))
        if not terminal and current_drain().is_set():
            raise unavailable("the server is shutting down; watch again from the last seq received")


async def _abort_with_progress(context: Context, expired: PositionExpired, view: JobView) -> None:
    """OUT_OF_RANGE with the job's progress in the details, from which the watcher can go on. Always raises."""
    status = status_from_exception(expired, TABLE)
    status.details.add().Pack(codec.progress(view))
    trailers = ((DETAILS_KEY, status.SerializeToString()),)
    await context.abort(grpc.StatusCode.OUT_OF_RANGE, status.message, trailers)


class VideoServicer(video_service_pb2_grpc.VideoServiceServicer):
    """Finished videos."""

    def __init__(self, videos: Videos) -> None:
        self._videos = videos

    async def DownloadVideo(
        self, request: video_pb.DownloadVideoRequest, context: Context
    ) -> video_pb.DownloadVideoResponse:
        """Where the MP4 is."""
        found = await self._videos.download(current_viewer(), codec.canonical_id(request.job_id), request.quality)
        return video_pb.DownloadVideoResponse(location=video_codec.location(found))

    async def GetVideo(self, request: video_pb.GetVideoRequest, context: Context) -> video_pb.GetVideoResponse:
        """What the file is."""
        view = await self._videos.get(current_viewer(), codec.canonical_id(request.job_id))
        return video_pb.GetVideoResponse(video=video_codec.video(view))

    async def GetThumbnail(
        self, request: video_pb.GetThumbnailRequest, context: Context
    ) -> video_pb.GetThumbnailResponse:
        """Where a still is."""
        scene = request.scene if request.HasField("scene") else None
        width = video_codec.WIDTHS.get(request.size)
        found = await self._videos.thumbnail(current_viewer(), codec.canonical_id(request.job_id), scene, width)
        return video_pb.GetThumbnailResponse(location=video_codec.location(found))

    async def GetSeekSprite(
        self, request: video_pb.GetSeekSpriteRequest, context: Context
    ) -> video_pb.GetSeekSpriteResponse:
        """Where the small stills are."""
        found = await self._videos.sprite(current_viewer(), codec.canonical_id(request.job_id))
        return video_pb.GetSeekSpriteResponse(location=video_codec.location(found))

    async def GetSeekSpriteMap(
        self, request: video_pb.GetSeekSpriteMapRequest, context: Context
    ) -> video_pb.GetSeekSpriteMapResponse:
        """Which of them belongs to which time."""
        found = await self._videos.sprite(current_viewer(), codec.canonical_id(request.job_id), places=True)
        return video_pb.GetSeekSpriteMapResponse(location=video_codec.location(found))

    async def GetCaptions(self, request: video_pb.GetCaptionsRequest, context: Context) -> video_pb.GetCaptionsResponse:
        """Where the captions are."""
        subrip = request.format == video_pb.CAPTIONS_FORMAT_SRT
        found = await self._videos.captions(current_viewer(), codec.canonical_id(request.job_id), subrip=subrip)
        return video_pb.GetCaptionsResponse(location=video_codec.location(found))

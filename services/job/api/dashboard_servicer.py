"""`DashboardService`: decode, use case, encode."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from services.job.api import codec
from services.job.api.servicer import Context, current_viewer
from services.job.application.dashboard import Dashboard, Stats
from t2m.job.v1 import dashboard_service_pb2 as pb
from t2m.job.v1 import dashboard_service_pb2_grpc

_DEFAULT_RECENT = 10


class DashboardServicer(dashboard_service_pb2_grpc.DashboardServiceServicer):
    """What a user sees first."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard

    async def GetDashboardStats(
        self, request: pb.GetDashboardStatsRequest, context: Context
    ) -> pb.GetDashboardStatsResponse:
        """Counts and durations."""
        return pb.GetDashboardStatsResponse(stats=stats(await self._dashboard.stats(current_viewer(), request.days)))

    async def ListRecentJobs(self, request: pb.ListRecentJobsRequest, context: Context) -> pb.ListRecentJobsResponse:
        """The jobs that changed last."""
        views = await self._dashboard.recent(current_viewer(), request.limit or _DEFAULT_RECENT)
        return pb.ListRecentJobsResponse(jobs=[codec.job(view) for view in views])


def stats(source: Stats) -> pb.DashboardStats:
    """The figures."""
    figures = source.figures
    duration = Duration()
    duration.FromNanoseconds(round(figures.video_duration_total_s * 1e9))
    message = pb.DashboardStats(
        total_count=figures.total,
        queued_count=figures.queued,
        processing_count=figures.processing,
        completed_count=figures.completed,
        failed_count=figures.failed,
        cancelled_count=figures.cancelled,
        completion_rate=source.completion_rate,
        video_duration_total=duration,
        video_bytes_total=figures.video_bytes_total,
        credits_spent=figures.credits_spent,
        since=codec.stamp(source.since),
        days=[
            pb.DashboardDay(
                day=codec.stamp(day.day),
                created_count=day.created,
                completed_count=day.completed,
                failed_count=day.failed,
            )
            for day in source.days
        ],
    )
    if figures.processing_time_median is not None:
        message.processing_time_median.FromTimedelta(figures.processing_time_median)
    return message

"""The dashboard over a real server (J11)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from services.runtime.identity import Role
from t2m.job.v1 import dashboard_service_pb2 as pb
from tests.fakes.render_server import failed, planned, succeeded
from tests.integration.job_harness import new_world


async def test_J11_a_user_sees_own_figures_and_what_changed_last(
    postgres: Callable[[], str], redis_server: str
) -> None:
    """J11: counts, rate, durations and days of the caller's jobs; recent ones by their last change."""
    async with new_world(postgres, redis_server) as world:
        server = await world.start()
        user, other, admin = server.caller(), server.caller(), server.caller(role=Role.ADMIN)
        good, bad, waiting = await user.create(), await user.create(max_retries=0), await user.create()
        await other.create()
        for job in (good, bad, waiting):
            await world.renders.started(f"{job.job_id}-1")
        await world.renders.emit(f"{bad.job_id}-1", failed(retryable=False))
        await user.ended(bad.job_id)
        await world.renders.emit(f"{good.job_id}-1", planned("One"), succeeded("v", "t"))
        await user.ended(good.job_id)

        figures = (await user.call("GetDashboardStats", pb.GetDashboardStatsRequest(days=7))).stats
        assert (figures.total_count, figures.processing_count, figures.queued_count) == (3, 1, 0)
        assert (figures.completed_count, figures.failed_count, figures.completion_rate) == (1, 1, 0.5)
        assert figures.video_duration_total.ToTimedelta() == timedelta(seconds=12.5)
        assert figures.video_bytes_total == 4
        assert figures.processing_time_median.ToTimedelta() > timedelta(0)
        assert len(figures.days) == 7
        assert figures.days[0].day == figures.since
        assert figures.days[-1].day.ToDatetime(tzinfo=UTC).date() == datetime.now(UTC).date()
        assert (figures.days[-1].created_count, figures.days[-1].completed_count) == (3, 1)

        recent = (await user.call("ListRecentJobs", pb.ListRecentJobsRequest(limit=2))).jobs
        assert [job.job_id for job in recent] == [good.job_id, bad.job_id]
        nothing = (await admin.call("GetDashboardStats", pb.GetDashboardStatsRequest())).stats
        assert (nothing.total_count, len(nothing.days), nothing.HasField("completion_rate")) == (0, 30, False)
        assert not (await admin.call("ListRecentJobs", pb.ListRecentJobsRequest())).jobs
        await server.stop()

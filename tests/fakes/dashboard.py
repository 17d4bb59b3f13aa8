"""The dashboard's port in memory; `tests/contract/test_job_dashboard.py` proves it equal to the real adapter."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from services.job.application.dashboard import DayCounts, Figures
from services.job.domain.job import Job
from services.job.domain.values import JobStatus
from tests.fakes.job import FakeDatabase


class FakeDashboard:
    """`DashboardStore` in memory."""

    def __init__(self, database: FakeDatabase) -> None:
        self._db = database

    async def figures(self, owner_id: str, since: datetime) -> Figures:
        """Figures of the owner's jobs that are in the lists."""
        alive = [job for job in self._db.jobs.values() if job.order.owner_id == owner_id and job.deleted_at is None]
        jobs = [job for job in alive if job.created_at >= since]
        counted = Counter(job.status for job in jobs)
        completed = [job for job in jobs if job.status is JobStatus.COMPLETED]
        videos = [(job, job.video) for job in completed if job.video]
        return Figures(
            queued=sum(job.status is JobStatus.QUEUED for job in alive),
            processing=sum(job.status is JobStatus.PROCESSING for job in alive),
            completed=counted[JobStatus.COMPLETED],
            failed=counted[JobStatus.FAILED],
            cancelled=counted[JobStatus.CANCELLED],
            total=len(jobs),
            processing_time_median=_median(completed),
            video_duration_total_s=sum(video.duration_s for _, video in videos),
            video_bytes_total=sum(video.size_bytes for job, video in videos if job.expired_at is None),
            credits_spent=sum(job.order.credit_cost for job in completed),
            days=_days(jobs),
        )


def _median(jobs: list[Job]) -> timedelta | None:
    spans = [job.completed_at - job.started_at for job in jobs if job.completed_at and job.started_at]
    seconds = [span.total_seconds() for span in spans]
    return timedelta(seconds=statistics.median(seconds)) if seconds else None


def _days(jobs: list[Job]) -> tuple[DayCounts, ...]:
    def day(job: Job) -> datetime:
        return job.created_at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    def count(when: datetime, fits: Callable[[Job], bool]) -> int:
        return sum(day(job) == when and fits(job) for job in jobs)

    return tuple(
        DayCounts(
            when,
            count(when, lambda job: True),
            count(when, lambda job: job.status is JobStatus.COMPLETED),
            count(when, lambda job: job.status is JobStatus.FAILED),
        )
        for when in sorted({day(job) for job in jobs})
    )

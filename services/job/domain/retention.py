"""How long what is kept of a job that has ended (J10)."""

from __future__ import annotations

from datetime import datetime, timedelta

from services.job.domain.errors import StateConflict
from services.job.domain.job import Job
from services.job.domain.plan import Kept, Plan
from services.job.domain.values import JobStatus

UNPINNED_GRACE = timedelta(days=1)
"""What is unpinned after its time stays so long."""
DELETED_GRACE = timedelta(seconds=60)
"""What a user has deleted goes after so long: uploads that were under way have come to their end."""


def schedule(job: Job, plan: Plan, not_before: datetime | None = None) -> None:
    """Set when the job's files and the job itself go, from the plan that it was accepted under.

    A pinned job is kept whole; a deleted one goes soon, pinned or not. Without an effect on a job that runs.
    """
    if job.deleted_at is not None:
        job.purge_at = job.deleted_at + DELETED_GRACE
        return
    if job.completed_at is None:
        return
    if job.pinned_at is not None:
        job.expires_at = job.segments_expire_at = job.purge_at = None
        return
    gone = job.expired_at is not None
    job.purge_at = _end(job.completed_at, plan.kept_for(Kept.JOB), not_before)
    job.expires_at = job.segments_expire_at = None
    if job.status is JobStatus.COMPLETED and not gone:
        job.expires_at = _end(job.completed_at, plan.kept_for(Kept.VIDEO), not_before)
    if job.status is not JobStatus.CANCELLED and job.attempt and not gone:
        job.segments_expire_at = _end(job.completed_at, plan.kept_for(Kept.SEGMENT), not_before)


def pin(job: Job, plan: Plan, now: datetime) -> None:
    """Keep the job and its files. Raises StateConflict when the files have expired."""
    if job.expired_at is not None:
        raise StateConflict(f"the files expired on {job.expired_at:%Y-%m-%d}")
    if job.pinned_at is None:
        job.pinned_at = job.updated_at = max(now, job.updated_at)
        schedule(job, plan)


def unpin(job: Job, plan: Plan, now: datetime) -> None:
    """Leave the job to retention again; nothing of it goes within a day."""
    if job.pinned_at is not None:
        job.pinned_at, job.updated_at = None, max(now, job.updated_at)
        schedule(job, plan, now + UNPINNED_GRACE)


def _end(start: datetime, kept: timedelta | None, not_before: datetime | None) -> datetime | None:
    if kept is None:
        return None
    return max(start + kept, not_before) if not_before else start + kept

"""What the service counts of its jobs."""

from __future__ import annotations

from typing import Protocol

from services.job.application.queueing import QueueState
from services.job.domain import events as ev
from services.job.domain.job import Job
from services.job.domain.values import JobStage, JobStatus


class JobMetrics(Protocol):
    """Takes the figures."""

    def admitted(self, quality: str, waited_s: float) -> None:
        """A job has left the queue for the first time, so long after its acceptance."""
        ...

    def retried(self, code: str) -> None:
        """An attempt failed and will be followed by another."""
        ...

    def ended(self, status: str, code: str) -> None:
        """A job has ended; `code` of its failure, empty for none."""
        ...

    def completed(self, quality: str, seconds: float) -> None:
        """A job completed, so long after its first start."""
        ...

    def eta_error(self, at: str, ratio: float) -> None:
        """How far off a promise was: the error ÷ the time that was to go; `at` is `accepted` or `half`."""
        ...

    def queue(self, state: QueueState) -> None:
        """The queue as it is now."""
        ...


def observe(metrics: JobMetrics, job: Job) -> None:
    """Take the figures of a change that has just been stored, from its events."""
    for event in job.events:
        match event.happening:
            case ev.StatusChanged(status=JobStatus.PROCESSING, attempt=1, stage=JobStage.PLANNING):
                metrics.admitted(job.order.quality, max((event.occurred_at - job.created_at).total_seconds(), 0.0))
            case ev.StatusChanged(status=JobStatus.QUEUED, failure=failure) if failure is not None:
                metrics.retried(failure.code)
            case ev.StatusChanged(status=status, failure=failure) if status.terminal:
                metrics.ended(status, failure.code if failure is not None and status is JobStatus.FAILED else "")
                if status is JobStatus.COMPLETED:
                    _completed(metrics, job)


def _completed(metrics: JobMetrics, job: Job) -> None:
    end = job.completed_at
    if end is None:
        return
    if job.started_at is not None:
        metrics.completed(job.order.quality, (end - job.started_at).total_seconds())
    promises = (
        ("accepted", job.created_at, job.first_estimate),
        ("half", job.half_way_at, job.half_way_estimate),
    )
    for name, made_at, promised in promises:
        if made_at is not None and promised is not None and end > made_at:
            metrics.eta_error(name, abs((promised - end) / (end - made_at)))

"""Figures of jobs for Prometheus (O2). Each job is counted by the replica that stored the change."""

from __future__ import annotations

from collections import deque

from prometheus_client import Counter, Gauge, Histogram

from services.job.application.queueing import QueueState
from services.job.domain.values import JobStatus

_SECONDS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
_ENDED = Counter("jobs_ended_total", "Jobs that reached a terminal status.", ["status", "code"])
_RETRIES = Counter("job_retries_total", "Attempts that failed and were followed by another.", ["code"])
_PROCESSING = Histogram(
    "job_processing_time_seconds", "From the first start of a completed job to its end.", ["quality"], buckets=_SECONDS
)
_WAITING = Histogram(
    "job_queue_wait_seconds",
    "From acceptance to the first start.",
    ["quality"],
    buckets=(0.1, 0.5, *_SECONDS),
)
_ETA_ERROR = Histogram(
    "job_eta_error_ratio",
    "Error of a promised completion ÷ the time that was to go when it was promised.",
    ["at"],
    buckets=(0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 5),
)
_DEPTH = Gauge("job_queue_depth", "Jobs that wait, over all replicas.", ["priority", "state"])
_FLYING = Gauge("job_in_flight", "Jobs that run, over all replicas.")
_DRAINED = Gauge("job_queue_drained", "1 while no job is started.")
_RATE = Gauge("job_completion_rate", "Completed ÷ (completed + failed) of the last 100 jobs that ended here.")
_LAST: deque[bool] = deque(maxlen=100)
"""Of this process, as every figure here: whether each of the last jobs completed."""


class PrometheusJobs:
    """The `JobMetrics` over Prometheus."""

    def admitted(self, quality: str, waited_s: float) -> None:
        """A job has left the queue for the first time."""
        _WAITING.labels(quality).observe(waited_s)

    def retried(self, code: str) -> None:
        """An attempt will be followed by another."""
        _RETRIES.labels(code).inc()

    def ended(self, status: str, code: str) -> None:
        """A job has ended."""
        _ENDED.labels(status, code).inc()
        if status != JobStatus.CANCELLED:
            _LAST.append(status == JobStatus.COMPLETED)
            _RATE.set(sum(_LAST) / len(_LAST))

    def completed(self, quality: str, seconds: float) -> None:
        """A job completed."""
        _PROCESSING.labels(quality).observe(seconds)

    def eta_error(self, at: str, ratio: float) -> None:
        """How far off a promise was."""
        _ETA_ERROR.labels(at).observe(ratio)

    def queue(self, state: QueueState) -> None:
        """The queue as it is now."""
        for depth in state.depths:
            _DEPTH.labels(depth.priority, "ready").set(depth.ready)
            _DEPTH.labels(depth.priority, "delayed").set(depth.delayed)
        _FLYING.set(state.processing)
        _DRAINED.set(state.drained_at is not None)

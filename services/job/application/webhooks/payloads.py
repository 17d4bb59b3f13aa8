"""What a message says: small, in the names and spellings of the REST interface."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from services.job.domain.job import Job
from services.job.domain.render import Failure
from services.job.domain.values import JobStatus
from services.job.domain.webhooks import WebhookEvent

EVENT_OF = {
    JobStatus.COMPLETED: WebhookEvent.JOB_COMPLETED,
    JobStatus.FAILED: WebhookEvent.JOB_FAILED,
    JobStatus.CANCELLED: WebhookEvent.JOB_CANCELLED,
}
"""What the end of a job is called."""


def payload(event: WebhookEvent, happened: datetime, data: Mapping[str, Any]) -> str:
    """The body of a message; moments in `data` become RFC 3339."""
    message = {"type": event.value, "timestamp": happened, "data": data}
    return json.dumps(message, default=_rfc_3339, separators=(",", ":"), ensure_ascii=False)


def job_data(job: Job) -> dict[str, Any]:
    """An ended job. `video` is there when it completed, `error` when it failed."""
    data: dict[str, Any] = {
        "job_id": job.job_id,
        "status": job.status.value,
        "topic": job.order.topic,
        "title": job.title,
        "progress": round(job.progress, 2),
        "attempt": job.attempt,
        "batch_id": job.order.batch_id,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "completed_at": job.completed_at,
    }
    if job.status is JobStatus.COMPLETED:
        data["video"] = _video_data(job)
    if job.status is JobStatus.FAILED and job.failure is not None:
        data["error"] = _error_data(job.failure)
    return data


def batch_data(
    batch_id: str, status: str, counts: Mapping[str, int], created_at: datetime, completed_at: datetime
) -> dict[str, Any]:
    """A batch whose last job has ended; `counts` by the names of the REST interface, such as `completed_count`."""
    return {"batch_id": batch_id, "status": status, **counts, "created_at": created_at, "completed_at": completed_at}


def _video_data(job: Job) -> dict[str, Any]:
    """Paths below the address of the REST interface, which the receiver knows and this service does not."""
    base = f"/api/v1/videos/jobs/{job.job_id}"
    data: dict[str, Any] = {
        "download": f"{base}/download",
        "metadata": f"{base}/metadata",
        "thumbnail": f"{base}/thumbnail",
    }
    if job.video is not None:
        data["duration_seconds"] = job.video.duration_s
        data["size_bytes"] = job.video.size_bytes
    return data


def _error_data(failure: Failure) -> dict[str, Any]:
    data: dict[str, Any] = {
        "code": failure.code,
        "message": failure.message,
        "stage": failure.stage.value,
        "retryable": failure.retryable,
    }
    if failure.scene_index is not None:
        data["scene_index"] = failure.scene_index
    return data


def _rfc_3339(value: object) -> str:
    if not isinstance(value, datetime):
        raise TypeError(f"a message holds no {type(value).__name__}")
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")

"""Jobs: where they are, what they logged, and how to stop, keep or remove them."""

from __future__ import annotations

from typing import Any, Unpack

from gateway.client.core.calls import Call, Flow, delete, get, paged, post, quoted
from gateway.client.core.retries import Repeat
from gateway.client.core.streams import Event, followed
from gateway.client.models.jobs import (
    Job,
    JobEvent,
    JobLogEntry,
    JobProgress,
    ListJobEventsResponse,
    ListJobLogsResponse,
    ListJobsResponse,
)
from gateway.client.models.orders import JobFilter, LogFilter
from gateway.client.models.videos import DashboardStats

JOBS = "/api/v1/jobs"
VIDEOS = "/api/v1/videos/jobs"
ENDED = frozenset({"completed", "failed", "cancelled"})
"""Statuses of a job that never change."""


def job(job_id: str) -> Call[Job]:
    """The job as it is now."""
    return get(f"{JOBS}/{quoted(job_id)}")


def status(job_id: str) -> Call[JobProgress]:
    """How far the job is: stage, place in the queue, scenes, error."""
    return get(f"{VIDEOS}/{quoted(job_id)}/status")


def list_jobs(page_token: str = "", **filters: Unpack[JobFilter]) -> Call[ListJobsResponse]:
    """A page of the caller's jobs, newest first."""
    return get(JOBS, query(filters, page_token))


def jobs(**filters: Unpack[JobFilter]) -> Flow[Job]:
    """All of the caller's jobs, newest first, page by page as they are taken."""
    return paged(lambda token: list_jobs(token, **filters), "jobs")


def list_history(job_id: str, page_token: str = "", page_size: int = 0) -> Call[ListJobEventsResponse]:
    """A page of what has happened to the job, oldest first."""
    return get(f"{JOBS}/{quoted(job_id)}/history", query({"page_size": page_size}, page_token))


def history(job_id: str) -> Flow[JobEvent]:
    """All that has happened to the job, oldest first."""
    return paged(lambda token: list_history(job_id, token), "events")


def list_logs(job_id: str, page_token: str = "", **filters: Unpack[LogFilter]) -> Call[ListJobLogsResponse]:
    """A page of the job's log, oldest line first."""
    return get(f"{JOBS}/{quoted(job_id)}/logs", query(filters, page_token))


def logs(job_id: str, **filters: Unpack[LogFilter]) -> Flow[JobLogEntry]:
    """All lines of the job's log so far."""
    return paged(lambda token: list_logs(job_id, token, **filters), "entries")


def watch(job_id: str, after: int | None = None) -> Flow[Event]:
    """Every event after a position, each once, until the job ends; a snapshot first without a position.

    Resumes by itself. PositionExpiredError when the position is no longer kept.
    """
    return followed(f"{JOBS}/{quoted(job_id)}/events", after, _job_ended)


def follow_logs(job_id: str, after: int | None = 0) -> Flow[Event]:
    """Every line after a position (0: all; None: from now on) as it is written, until the job has ended.

    The kind of a line's event is `entry`. Resumes by itself.
    """
    return followed(f"{JOBS}/{quoted(job_id)}/logs/stream", after, lambda event: bool(event.body.get("last")))


def cancel(job_id: str) -> Call[Job]:
    """Stop it. ConflictError when it has ended otherwise."""
    return post(f"{JOBS}/{quoted(job_id)}/cancel", {}, Repeat.SAFE)


def delete_job(job_id: str) -> Call[None]:
    """Remove it with its files, logs and history; a running one is stopped first."""
    return delete(f"{JOBS}/{quoted(job_id)}")


def pin(job_id: str) -> Call[Job]:
    """Keep it beyond retention."""
    return post(f"{JOBS}/{quoted(job_id)}/pin", {}, Repeat.SAFE)


def unpin(job_id: str) -> Call[Job]:
    """Leave it to retention."""
    return post(f"{JOBS}/{quoted(job_id)}/unpin", {}, Repeat.SAFE)


def stats(days: int = 30) -> Call[DashboardStats]:
    """Counts and durations of the caller's jobs over so many days."""
    return get("/api/v1/dashboard/stats", {"days": days})


def recent_jobs(limit: int = 10) -> Call[list[Job]]:
    """The caller's jobs that changed last."""
    call = get("/api/v1/dashboard/recent-jobs", {"limit": limit})
    return Call(call.request, call.repeat, lambda answer: answer["jobs"])


def query(filters: Any, page_token: str) -> dict[str, Any]:
    """Query parameters: what is set, as the API writes it."""
    given = {**filters, "page_token": page_token}
    return {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in given.items()
        if value not in ("", None, [])
    }


def _job_ended(event: Event) -> bool:
    return event.kind in {"status", "snapshot"} and event.body.get("status") in ENDED

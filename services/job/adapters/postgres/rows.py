"""How a job is kept in its row."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from services.job.adapters.postgres.tables import JOBS
from services.job.domain.job import Job
from services.job.domain.order import Order
from services.job.domain.render import Chapter, Failure, Rendition, Scene, Still, Video
from services.job.domain.values import JobStage, JobStatus, Priority, Quality, SceneStatus

LISTED = [column for column in JOBS.c if column.name not in ("scenes", "video", "ready_at", "due_at", "stage_seconds")]
"""What a list needs: everything but the large columns."""


def state_values(job: Job) -> dict[str, Any]:
    """The columns that change in the life of a job."""
    return {
        "status": job.status.value,
        "stage": job.stage.value,
        "progress": job.progress,
        "attempt": job.attempt,
        "requeues": job.requeues,
        "title": job.title,
        "scenes": [asdict(scene) for scene in job.scenes],
        "video": asdict(job.video) if job.video else None,
        "failure": asdict(job.failure) if job.failure else None,
        "revision": job.revision,
        "updated_at": job.updated_at,
        "changed_at": job.changed_at or job.updated_at,
        "next_attempt_at": job.next_attempt_at,
        "started_at": job.started_at,
        "attempt_started_at": job.attempt_started_at,
        "stage_started_at": job.stage_started_at,
        "stage_seconds": dict(job.stage_seconds),
        "half_way_at": job.half_way_at,
        "half_way_estimate": job.half_way_estimate,
        "completed_at": job.completed_at,
        "deleted_at": job.deleted_at,
        "ready_at": job.ready_at,
        "due_at": job.due_at,
        "pinned_at": job.pinned_at,
        "expires_at": job.expires_at,
        "expired_at": job.expired_at,
        "segments_expire_at": job.segments_expire_at,
        "purge_at": job.purge_at,
        "retention_at": job.retention_at,
        "waits_for": job.waits_for,
        "log_seq": job.log_seq,
        "render_cursor": job.render_cursor,
        "render_accepted": job.render_accepted,
    }


def new_values(job: Job) -> dict[str, Any]:
    """All columns of a new job."""
    order = job.order
    return {
        "job_id": job.job_id,
        "owner_id": order.owner_id,
        "topic": order.topic,
        "context": order.context,
        "quality": order.quality.value,
        "priority": order.priority.value,
        "model": order.model,
        "thumbnails": order.thumbnails,
        "max_retries": order.max_retries,
        "batch_id": order.batch_id,
        "configuration": dict(order.configuration),
        "plan": order.plan,
        "credit_cost": order.credit_cost,
        "webhook_url": order.webhook_url,
        "origin_job_id": order.origin_job_id or None,
        "storyboard": order.storyboard,
        "scene_fallback": order.scene_fallback,
        "narration": order.narration,
        "lower_qualities": [lower.value for lower in order.lower_qualities],
        "created_at": job.created_at,
        "first_estimate": job.first_estimate,
        **state_values(job),
    }


def job_of(row: RowMapping) -> Job:
    """The job in a row; one read for a list has no scenes and no video."""
    return Job(
        job_id=str(row["job_id"]),
        order=_order_of(row),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        status=JobStatus(row["status"]),
        stored_status=JobStatus(row["status"]),
        stage=JobStage(row["stage"]),
        progress=row["progress"],
        attempt=row["attempt"],
        requeues=row["requeues"],
        title=row["title"],
        scenes=tuple(_scene_of(scene) for scene in row.get("scenes") or ()),
        video=_video_of(row.get("video")),
        failure=_failure_of(row["failure"]),
        revision=row["revision"],
        next_attempt_at=row["next_attempt_at"],
        started_at=row["started_at"],
        attempt_started_at=row["attempt_started_at"],
        stage_started_at=row["stage_started_at"],
        stage_seconds=dict(row.get("stage_seconds") or {}),
        half_way_at=row["half_way_at"],
        half_way_estimate=row["half_way_estimate"],
        changed_at=row["changed_at"],
        completed_at=row["completed_at"],
        deleted_at=row["deleted_at"],
        first_estimate=row["first_estimate"],
        pinned_at=row["pinned_at"],
        expires_at=row["expires_at"],
        expired_at=row["expired_at"],
        segments_expire_at=row["segments_expire_at"],
        purge_at=row["purge_at"],
        waits_for=row["waits_for"],
        log_seq=row["log_seq"],
        render_cursor=row["render_cursor"],
        render_accepted=row["render_accepted"],
    )


def _order_of(row: RowMapping) -> Order:
    return Order(
        owner_id=row["owner_id"],
        topic=row["topic"],
        context=row["context"],
        quality=Quality(row["quality"]),
        priority=Priority(row["priority"]),
        model=row["model"],
        thumbnails=row["thumbnails"],
        max_retries=row["max_retries"],
        batch_id=row["batch_id"],
        configuration=row["configuration"],
        plan=row["plan"],
        credit_cost=row["credit_cost"],
        webhook_url=row["webhook_url"],
        origin_job_id=str(row["origin_job_id"] or ""),
        storyboard=row["storyboard"],
        scene_fallback=row["scene_fallback"],
        narration=row["narration"],
        lower_qualities=tuple(Quality(lower) for lower in row["lower_qualities"]),
    )


def _scene_of(value: dict[str, Any]) -> Scene:
    return Scene(**{**value, "status": SceneStatus(value["status"]), "warnings": tuple(value["warnings"])})


def _failure_of(value: dict[str, Any] | None) -> Failure | None:
    if not value:
        return None
    return Failure(**{**value, "stage": JobStage(value["stage"]), "log": tuple(value.get("log", ()))})


def _video_of(value: dict[str, Any] | None) -> Video | None:
    if value is None:
        return None
    published = value["published_at"]
    return Video(
        **{
            **value,
            "chapters": tuple(Chapter(**chapter) for chapter in value["chapters"]),
            "stills": tuple(Still(**each) for each in value.get("stills", ())),
            "renditions": tuple(Rendition(**each) for each in value.get("renditions", ())),
            "published_at": datetime.fromisoformat(published) if published else None,
        }
    )

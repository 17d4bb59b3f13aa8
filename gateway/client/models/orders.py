"""What a caller may say beside the necessary: options of orders, filters of lists. All may be left out."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from gateway.client.models.jobs import JobPriority, JobStage, JobStatus, LogSeverity, Quality

JobOrder = Literal["created_at", "updated_at"]
SceneFailurePolicy = Literal["fail", "fallback"]


class GenerateOptions(TypedDict, total=False):
    """Options of an order by topic. `quality_levels` are rungs such as `["1080p", "720p"]`."""

    model: str
    quality: Quality
    quality_levels: list[str]
    use_rag: bool
    priority: JobPriority
    narration: bool
    thumbnails: bool
    configuration: dict[str, Any]
    max_retries: int
    webhook_url: str
    on_scene_failure: SceneFailurePolicy


class VideoOrder(GenerateOptions, total=False):
    """One item of a batch; `topic` and `context` are needed."""

    topic: str
    context: str


class RenderOptions(TypedDict, total=False):
    """Options of an order by storyboard."""

    quality: Quality
    priority: JobPriority
    narration: bool
    thumbnails: bool
    max_retries: int
    webhook_url: str
    on_scene_failure: SceneFailurePolicy


class RemixOptions(TypedDict, total=False):
    """Options of another video of a job's storyboard; what is left out is as of that job."""

    quality: Quality
    priority: JobPriority
    max_retries: int
    webhook_url: str


class PlanOptions(TypedDict, total=False):
    """Options of a plan; the estimate is made for `quality`."""

    model: str
    quality: Quality
    configuration: dict[str, Any]


class JobFilter(TypedDict, total=False):
    """Which jobs to list. Times are RFC 3339, `2026-11-21T20:40:00Z`."""

    page_size: int
    status: list[JobStatus]
    priority: JobPriority
    batch_id: str
    created_after: str
    created_before: str
    topic: str
    order_by: JobOrder
    include_total: bool
    skip: int
    take: int


class LogFilter(TypedDict, total=False):
    """Which lines of a log."""

    page_size: int
    min_severity: LogSeverity
    stage: JobStage
    scene_index: int
    attempt: int

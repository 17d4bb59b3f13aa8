"""Jobs: where they are, what happened to them, what they logged."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

JobPriority = Literal["unspecified", "high", "default", "low"]
JobStage = Literal["unspecified", "queued", "planning", "rendering", "assembling", "publishing"]
JobStatus = Literal["unspecified", "queued", "processing", "completed", "failed", "cancelled"]
SceneStatus = Literal["unspecified", "queued", "processing", "completed", "failed", "cancelled"]
LogSeverity = Literal["unspecified", "debug", "info", "warning", "error"]
Quality = Literal["unspecified", "low", "medium", "high"]


class JobError(TypedDict):
    """Why a job, or an attempt of it, failed."""

    code: str
    message: str
    stage: JobStage
    scene_index: NotRequired[int]
    retryable: bool
    log_excerpt: list[str]


class Job(TypedDict):
    """An order for one video: who asked, for what, and what became of it."""

    job_id: str
    owner_id: str
    status: JobStatus
    progress: float
    current_stage: JobStage
    topic: str
    context: str
    model: str
    quality: Quality
    priority: JobPriority
    configuration: NotRequired[dict[str, Any]]
    batch_id: str
    attempt: int
    max_retries: int
    next_attempt_at: NotRequired[str]
    error: NotRequired[JobError]
    revision: int
    created_at: str
    updated_at: str
    started_at: NotRequired[str]
    completed_at: NotRequired[str]
    estimated_completion: NotRequired[str]
    plan: str
    credit_cost: int
    pinned: bool
    expires_at: NotRequired[str]
    expired_at: NotRequired[str]
    origin_job_id: str
    webhook_url: str
    quality_levels: list[str]
    narration: bool


class JobScene(TypedDict):
    """One scene of a job's video."""

    index: int
    title: str
    status: SceneStatus
    frames_done: int
    frames_total: int
    attempts: int
    warnings: list[str]
    fallback: bool
    cached: bool


class JobProgress(TypedDict):
    """The job, what it waits for and how far each scene is (V3)."""

    job_id: str
    status: JobStatus
    progress: float
    current_stage: JobStage
    queue_position: NotRequired[int]
    estimated_completion: NotRequired[str]
    scenes: list[JobScene]
    error: NotRequired[JobError]
    attempt: int
    max_retries: int
    next_attempt_at: NotRequired[str]
    revision: int
    created_at: str
    updated_at: str
    started_at: NotRequired[str]
    completed_at: NotRequired[str]
    waits_for: str


class JobStatusChanged(TypedDict):
    """The status, stage or attempt changed, or what the job waits for; or bytes of the finished video were
    stored.
    """

    status: JobStatus
    current_stage: JobStage
    progress: float
    attempt: int
    error: NotRequired[JobError]
    next_attempt_at: NotRequired[str]
    waits_for: str


class JobProgressed(TypedDict):
    """Frames were drawn."""

    progress: float
    scene_index: int
    frames_done: int
    frames_total: int


class JobPlanned(TypedDict):
    """The scenes are known."""

    title: str
    scenes: list[JobScene]


class JobSceneChanged(TypedDict):
    """A scene changed."""

    scene: NotRequired[JobScene]
    progress: float


class JobEvent(TypedDict):
    """Something that happened to a job."""

    seq: int
    job_id: str
    occurred_at: NotRequired[str]
    snapshot: NotRequired[JobProgress]
    status: NotRequired[JobStatusChanged]
    progress: NotRequired[JobProgressed]
    planned: NotRequired[JobPlanned]
    scene: NotRequired[JobSceneChanged]


class JobLogEntry(TypedDict):
    """A line of a job's log (J4): what the job service and the workers did for it."""

    seq: int
    job_id: str
    occurred_at: NotRequired[str]
    severity: LogSeverity
    stage: JobStage
    scene_index: NotRequired[int]
    attempt: int
    step_attempt: int
    message: str
    last: bool


class ListJobsResponse(TypedDict):
    """A page of jobs."""

    jobs: list[Job]
    next_page_token: str
    total_count: NotRequired[int]


class ListJobEventsResponse(TypedDict):
    """A page of events."""

    events: list[JobEvent]
    next_page_token: str


class ListJobLogsResponse(TypedDict):
    """A page of lines."""

    entries: list[JobLogEntry]
    next_page_token: str

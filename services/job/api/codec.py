"""Jobs as protos, and requests as what the use cases take."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from google.protobuf import struct_pb2
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.job.application.ports import JobQuery, Viewer
from services.job.application.queries import JobView, PageWish
from services.job.application.request import OrderRequest
from services.job.domain import events as ev
from services.job.domain.errors import FieldsRefused
from services.job.domain.render import Failure, Scene
from services.job.domain.values import JobStage, JobStatus, Priority, Quality, SceneStatus
from t2m.job.v1 import job_pb2
from t2m.job.v1 import job_service_pb2 as pb
from t2m.video_render.v1 import quality_pb2, render_pb2

STATUSES: Mapping[JobStatus, Any] = {
    status: job_pb2.JobStatus.Value(f"JOB_STATUS_{status.name}") for status in JobStatus
}
STAGES: Mapping[JobStage, Any] = {
    stage: job_pb2.JobStage.Value(f"JOB_STAGE_{stage.name}") if stage is not JobStage.NONE else 0 for stage in JobStage
}
PRIORITIES: Mapping[Priority, Any] = {
    priority: job_pb2.JobPriority.Value(f"JOB_PRIORITY_{priority.name}") for priority in Priority
}
QUALITIES: Mapping[Quality, Any] = {
    quality: quality_pb2.Quality.Value(f"QUALITY_{quality.name}") for quality in Quality
}
SCENE_STATUSES: Mapping[SceneStatus, Any] = {
    status: job_pb2.SceneStatus.Value(f"SCENE_STATUS_{status.name}") for status in SceneStatus
}
_STATUS_OF: Mapping[int, JobStatus] = {number: status for status, number in STATUSES.items()}
PRIORITY_OF: Mapping[int, Priority] = {number: priority for priority, number in PRIORITIES.items()}
QUALITY_OF: Mapping[int, Quality] = {number: quality for quality, number in QUALITIES.items()}

DEFAULT_PAGE = 20


def canonical_id(value: str) -> str:
    """The id as it is stored: a UUID may come in upper case."""
    return str(UUID(value))


def stamp(moment: datetime | None) -> Timestamp | None:
    """A moment as a Timestamp; None stays unset."""
    if moment is None:
        return None
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def order_request(request: pb.CreateJobRequest) -> OrderRequest:
    """What the client wants."""
    return OrderRequest(
        topic=request.topic,
        context=request.context,
        model=request.model,
        quality=QUALITY_OF.get(request.quality),
        quality_levels=tuple(request.quality_levels),
        use_rag=request.use_rag,
        priority=PRIORITY_OF.get(request.priority),
        narration=request.narration,
        thumbnails=request.thumbnails if request.HasField("thumbnails") else None,
        configuration=json_of(request.configuration),
        max_retries=request.max_retries if request.HasField("max_retries") else None,
        webhook_url=request.webhook_url,
        scene_fallback=wants_fallback(request.on_scene_failure),
    )


def wants_fallback(policy: int) -> bool:
    """Whether a plain scene shall take the place of one that cannot be drawn."""
    return policy == render_pb2.SCENE_FAILURE_POLICY_FALLBACK


def json_of(value: Any) -> Any:
    """A Struct as plain values. (`MessageToDict` would raise on numbers that JSON has not; they are refused later.)"""
    match value:
        case struct_pb2.Struct():
            return {key: json_of(item) for key, item in value.fields.items()}
        case struct_pb2.ListValue():
            return [json_of(item) for item in value.values]
    kind = value.WhichOneof("kind")
    if kind in ("struct_value", "list_value"):
        return json_of(getattr(value, kind))
    return None if kind in (None, "null_value") else getattr(value, kind)


def job_query(request: pb.ListJobsRequest, viewer: Viewer) -> JobQuery:
    """Which jobs are asked for."""
    return JobQuery(
        owner_id=viewer.owner_filter,
        statuses=frozenset(_STATUS_OF[number] for number in request.status if number in _STATUS_OF),
        priority=PRIORITY_OF.get(request.priority),
        batch_id=without_nul("batch_id", request.batch_id),
        created_after=moment_of(request, "created_after"),
        created_before=moment_of(request, "created_before"),
        topic=without_nul("topic", request.topic),
        by_update=request.order_by == pb.JOB_ORDER_UPDATED_AT,
    )


def page_wish(request: pb.ListJobsRequest) -> PageWish:
    """Which page is asked for. Raises FieldsRefused for wishes that contradict each other."""
    if request.page_token and request.skip:
        raise FieldsRefused([("skip", "must not be set together with page_token")])
    if request.take and request.page_size and request.take != request.page_size:
        raise FieldsRefused([("take", "must not differ from page_size")])
    limit = request.page_size or request.take or DEFAULT_PAGE
    return PageWish(limit, request.page_token, request.skip, request.include_total)


def without_nul(path: str, value: str) -> str:
    """The text, if Postgres can hold it. Raises FieldsRefused."""
    if "\0" in value:
        raise FieldsRefused([(path, "must not contain the character U+0000")])
    return value


def moment_of(request: Message, field: str) -> datetime | None:
    """The moment in a field; None when it is not set. Raises FieldsRefused for one that no calendar has."""
    if not request.HasField(field):
        return None
    try:
        moment: datetime = getattr(request, field).ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise FieldsRefused([(field, "must be a time between the years 1 and 9999")]) from error
    return moment


def job(view: JobView) -> job_pb2.Job:
    """The order as it is now."""
    source, order = view.job, view.job.order
    message = job_pb2.Job(
        job_id=source.job_id,
        owner_id=order.owner_id,
        status=STATUSES[source.status],
        progress=source.progress,
        current_stage=STAGES[source.stage],
        topic=order.topic,
        context=order.context,
        model=order.model,
        quality=QUALITIES[order.quality],
        priority=PRIORITIES[order.priority],
        batch_id=order.batch_id,
        attempt=source.attempt,
        max_retries=order.max_retries,
        next_attempt_at=stamp(source.next_attempt_at),
        error=failure(source.failure),
        revision=source.revision,
        created_at=stamp(source.created_at),
        updated_at=stamp(source.updated_at),
        started_at=stamp(source.started_at),
        completed_at=stamp(source.completed_at),
        estimated_completion=stamp(view.estimated_completion),
        plan=order.plan,
        credit_cost=order.credit_cost,
        pinned=source.pinned_at is not None,
        expires_at=stamp(source.expires_at),
        expired_at=stamp(source.expired_at),
        origin_job_id=order.origin_job_id,
        webhook_url=order.webhook_url,
        quality_levels=order.levels,
        narration=order.narration,
    )
    message.configuration.SetInParent()  # also an empty one was said
    message.configuration.update(order.configuration)
    return message


def progress(view: JobView) -> job_pb2.JobProgress:
    """How far the order is."""
    source = view.job
    return job_pb2.JobProgress(
        job_id=source.job_id,
        status=STATUSES[source.status],
        progress=source.progress,
        current_stage=STAGES[source.stage],
        queue_position=view.queue_position,
        estimated_completion=stamp(view.estimated_completion),
        scenes=[scene(item) for item in source.scenes],
        error=failure(source.failure),
        attempt=source.attempt,
        max_retries=source.order.max_retries,
        next_attempt_at=stamp(source.next_attempt_at),
        revision=source.revision,
        created_at=stamp(source.created_at),
        updated_at=stamp(source.updated_at),
        started_at=stamp(source.started_at),
        completed_at=stamp(source.completed_at),
        waits_for=source.waits_for,
    )


def scene(source: Scene) -> job_pb2.JobScene:
    """One scene."""
    return job_pb2.JobScene(
        index=source.index,
        title=source.title,
        status=SCENE_STATUSES[source.status],
        frames_done=source.frames_done,
        frames_total=source.frames_total,
        attempts=source.attempts,
        warnings=source.warnings,
        fallback=source.fallback,
        cached=source.cached,
    )


def failure(source: Failure | None) -> job_pb2.JobError | None:
    """Why an attempt failed; None stays unset."""
    if source is None:
        return None
    return job_pb2.JobError(
        code=source.code,
        message=source.message,
        stage=STAGES[source.stage],
        scene_index=source.scene_index,
        retryable=source.retryable,
        log_excerpt=source.log,
    )


def snapshot(view: JobView) -> job_pb2.JobEvent:
    """The first message of a watch without a position."""
    return job_pb2.JobEvent(
        seq=view.job.revision,
        job_id=view.job.job_id,
        occurred_at=stamp(view.job.updated_at),
        snapshot=progress(view),
    )


def event(source: ev.JobEvent) -> job_pb2.JobEvent:
    """An entry of the history."""
    message = job_pb2.JobEvent(seq=source.seq, job_id=source.job_id, occurred_at=stamp(source.occurred_at))
    match source.happening:
        case ev.StatusChanged() as changed:
            message.status.CopyFrom(_status_changed(changed))
        case ev.Progressed() as drawn:
            message.progress.CopyFrom(
                job_pb2.JobProgressed(
                    progress=drawn.progress,
                    scene_index=drawn.scene_index,
                    frames_done=drawn.frames_done,
                    frames_total=drawn.frames_total,
                )
            )
        case ev.Planned(title=title, scenes=scenes):
            message.planned.CopyFrom(job_pb2.JobPlanned(title=title, scenes=[scene(item) for item in scenes]))
        case ev.SceneChanged(scene=changed_scene, progress=share):
            message.scene.CopyFrom(job_pb2.JobSceneChanged(scene=scene(changed_scene), progress=share))
    return message


def _status_changed(source: ev.StatusChanged) -> job_pb2.JobStatusChanged:
    return job_pb2.JobStatusChanged(
        status=STATUSES[source.status],
        current_stage=STAGES[source.stage],
        progress=source.progress,
        attempt=source.attempt,
        error=failure(source.failure),
        next_attempt_at=stamp(source.next_attempt_at),
        waits_for=source.waits_for,
    )


def event_payload(source: ev.JobEvent) -> bytes:
    """An entry of the history as it is stored and sent."""
    return event(source).SerializeToString()

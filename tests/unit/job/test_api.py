"""The gRPC face of the job service: the error table, the codec, the terminal event."""

from __future__ import annotations

import inspect
from datetime import UTC, timedelta

import grpc
import pytest
from google.protobuf import struct_pb2

from services.job.adapters import render_codec
from services.job.adapters.live_events import is_terminal
from services.job.api import codec, video_codec
from services.job.api.errors import TABLE
from services.job.application.ports import Viewer
from services.job.application.queries import JobView
from services.job.domain import errors
from services.job.domain import events as ev
from services.job.domain.errors import FieldsRefused
from services.job.domain.job import Job
from services.job.domain.order import Order
from services.job.domain.render import Failure, RenderState, Scene, StateFact, UnknownFact
from services.job.domain.values import JobStage, JobStatus, Priority, Quality, SceneStatus
from services.runtime.errors import reason_name, status_from_exception
from t2m.job.v1 import job_pb2
from t2m.job.v1 import job_service_pb2 as pb
from t2m.storage.v1 import object_pb2
from t2m.video_render.v1 import render_pb2
from tests.fakes.job import START

ERRORS = [
    (errors.JobNotFound("x"), grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
    (errors.ArtifactNotFound(), grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
    (errors.StateConflict(), grpc.StatusCode.FAILED_PRECONDITION, "STATE_CONFLICT"),
    (errors.FieldsRefused([("a", "b")]), grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED"),
    (errors.Unsupported([("a", "b")]), grpc.StatusCode.INVALID_ARGUMENT, "UNSUPPORTED"),
    (errors.IdempotencyConflict(), grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_CONFLICT"),
    (errors.CreditsExhausted("no"), grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXHAUSTED"),
    (errors.RendersUnavailable(), grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE"),
    (errors.CreditsUnavailable(), grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE"),
    (errors.BatchNotFound("x"), grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
    (errors.ExportRunning(), grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED"),
    (errors.QuotaExhausted(), grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXHAUSTED"),
    (errors.PositionBeyondEnd(), grpc.StatusCode.OUT_OF_RANGE, "POSITION_EXPIRED"),
    (errors.PositionExpired(), grpc.StatusCode.OUT_OF_RANGE, "POSITION_EXPIRED"),
    (errors.WebhookNotFound("x"), grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
    (errors.WebhookExists(), grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS"),
    (errors.WebhookLimitReached(20), grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXHAUSTED"),
]


@pytest.mark.parametrize(("error", "code", "reason"), ERRORS, ids=lambda value: type(value).__name__)
def test_error_table(error: Exception, code: grpc.StatusCode, reason: str) -> None:
    spec = TABLE[type(error)]
    assert (spec.code, reason_name(spec.reason)) == (code, reason)
    assert status_from_exception(error, TABLE).code == code.value[0]


def test_error_table_is_complete() -> None:
    """Every error of the domain has an entry of its own, and nothing else has."""
    domain = {
        error
        for _, error in inspect.getmembers(errors, inspect.isclass)
        if error.__module__ == errors.__name__ and error is not errors.JobError
    }
    assert set(TABLE) == domain == {type(error) for error, _, _ in ERRORS}


def test_every_value_of_the_domain_has_its_number() -> None:
    assert len(set(codec.STATUSES.values())) == len(JobStatus)
    assert len(set(codec.STAGES.values())) == len(JobStage)
    assert len(set(codec.PRIORITIES.values())) == len(Priority) == len(render_codec.PRIORITIES)
    assert len(set(codec.QUALITIES.values())) == len(Quality) == len(render_codec.QUALITIES)
    assert len(set(codec.SCENE_STATUSES.values())) == len(SceneStatus)


def test_request_is_read_with_its_unset_fields() -> None:
    request = codec.order_request(pb.CreateJobRequest(topic="T", context="C"))
    assert (request.quality, request.priority, request.thumbnails, request.max_retries) == (None, None, None, None)
    full = pb.CreateJobRequest(thumbnails=False, max_retries=0, quality_levels=["720p"])
    full.configuration.update({"a": [1, "x", None, {"b": True}], "c": {}})
    read = codec.order_request(full)
    assert (read.thumbnails, read.max_retries, read.quality_levels) == (False, 0, ("720p",))
    assert read.configuration == {"a": [1.0, "x", None, {"b": True}], "c": {}}


def test_unset_value_in_a_struct_is_null() -> None:
    request = pb.CreateJobRequest(configuration=struct_pb2.Struct(fields={"a": struct_pb2.Value()}))
    assert codec.order_request(request).configuration == {"a": None}


@pytest.mark.parametrize("seconds", [-62135596801, 253402300800, 2**62])
def test_time_that_no_calendar_has_is_refused(seconds: int) -> None:
    request = pb.ListJobsRequest()
    request.created_after.seconds = seconds
    with pytest.raises(FieldsRefused) as caught:
        codec.job_query(request, Viewer("ada"))
    assert caught.value.field_violations[0][0] == "created_after"


def view() -> JobView:
    terms = {"narration": True, "batch_id": "b", "webhook_url": "https://a.b/", "origin_job_id": "o", "credit_cost": 2}
    job = Job.accept("id", Order("ada", "T", "C", configuration={"a": 1.0}, **terms), START)  # type: ignore[arg-type]
    job.start_attempt(START)
    job.scenes = (Scene(0, "One", SceneStatus.PROCESSING, 1, 2, 3, ("w",), fallback=True, cached=True),)
    job.failure = Failure("C", "M", JobStage.RENDERING, 0, retryable=True)
    job.next_attempt_at = START
    return JobView(job, START + timedelta(seconds=5), 3)


def test_job_and_progress_are_complete() -> None:
    """No field of the messages is forgotten: each is set for a job that has everything."""
    source = view()
    source.job.completed_at = source.job.next_attempt_at = START
    source.job.pinned_at = source.job.expires_at = source.job.expired_at = START
    source.job.progress, source.job.waits_for = 1.0, "storage"
    job = codec.job(source)
    assert {field.name for field, _ in job.ListFields()} == {field.name for field in job_pb2.Job.DESCRIPTOR.fields}
    progress = codec.progress(source)
    assert {field.name for field, _ in progress.ListFields()} == {
        field.name for field in job_pb2.JobProgress.DESCRIPTOR.fields
    }
    assert {field.name for field, _ in progress.scenes[0].ListFields()} == {
        field.name for field in job_pb2.JobScene.DESCRIPTOR.fields
    } - {"index"}
    assert progress.error.HasField("scene_index")
    assert job.estimated_completion.ToDatetime(UTC) == START + timedelta(seconds=5)


def test_snapshot_carries_the_seq_of_what_it_includes() -> None:
    event = codec.snapshot(view())
    assert (event.seq, event.snapshot.revision, event.snapshot.queue_position) == (2, 2, 3)


@pytest.mark.parametrize(
    ("happening", "kind", "last"),
    [
        (ev.StatusChanged(JobStatus.PROCESSING, JobStage.PLANNING, 0.0, 1), "status", False),
        (ev.StatusChanged(JobStatus.COMPLETED, JobStage.NONE, 100.0, 1), "status", True),
        (ev.StatusChanged(JobStatus.FAILED, JobStage.NONE, 1.0, 1, Failure("C", "M")), "status", True),
        (ev.StatusChanged(JobStatus.CANCELLED, JobStage.NONE, 1.0, 1), "status", True),
        (ev.StatusChanged(JobStatus.QUEUED, JobStage.QUEUED, 0.0, 1, None, START), "status", False),
        (ev.Progressed(5.0, 1, 2, 3), "progress", False),
        (ev.Planned("T", (Scene(0),)), "planned", False),
        (ev.SceneChanged(Scene(0), 5.0), "scene", False),
    ],
)
def test_events_are_stored_as_they_are_sent(happening: ev.Happening, kind: str, last: bool) -> None:
    payload = codec.event_payload(ev.JobEvent("id", 7, START, happening))
    event = job_pb2.JobEvent.FromString(payload)
    assert (event.WhichOneof("event"), event.seq, event.occurred_at.ToDatetime(UTC)) == (kind, 7, START)
    assert is_terminal(payload) is last


def test_render_events_of_a_newer_release_only_move_the_cursor() -> None:
    assert render_codec.fact_of(render_pb2.RenderEvent(seq=3)) == UnknownFact(3)
    newer = render_pb2.RenderEvent(seq=4)
    newer.state_changed.state = 99  # type: ignore[assignment]
    assert render_codec.fact_of(newer) == UnknownFact(4)


def test_render_failure_without_a_scene() -> None:
    event = render_pb2.RenderEvent(seq=1)
    event.state_changed.state = render_pb2.RENDER_STATE_FAILED
    event.state_changed.error.code = "C"
    fact = render_codec.fact_of(event)
    assert isinstance(fact, StateFact)
    assert (fact.state, fact.failure, fact.video) == (RenderState.FAILED, Failure("C", ""), None)


def test_every_kind_of_artifact_has_its_number() -> None:
    """But those of files that users upload: no job keeps them."""
    kinds = {number: name for name, number in object_pb2.ArtifactKind.items() if number}
    assert set(video_codec.KINDS.values()) == {number for number, name in kinds.items() if "_FILE" not in name}

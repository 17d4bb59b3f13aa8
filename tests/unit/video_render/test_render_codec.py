"""Protobuf and domain say the same: every state and event, and every error has its code."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime

import grpc
import pytest

from services.runtime.errors import rpc_error_details, status_from_exception
from services.video_render.api import codec
from services.video_render.api.errors import ERRORS
from services.video_render.domain import errors
from services.video_render.domain.events import (
    Event,
    Planned,
    Progressed,
    RenderState,
    SceneChanged,
    SceneView,
    StateChanged,
)
from services.video_render.domain.outcomes import Chapter, RenderedVideo, RenderFailure, Stage, StoredFile
from services.video_render.domain.request import Priority, Quality
from services.video_render.domain.steps import StepState
from services.video_render.domain.violations import StoryboardInvalid, Violation
from t2m.video_render.v1 import quality_pb2, render_pb2
from t2m.video_render.v1 import render_service_pb2 as pb

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
FILE = StoredFile("o1", "ab" * 32, 1000, "video/mp4")
POSTER = StoredFile("o2", "cd" * 32, 10, "image/jpeg")
VIDEO = RenderedVideo(
    FILE, POSTER, FILE, "T", 90.5, 1280, 720, 30.0, "h264", 2715, (Chapter(0, "S", "title", 1.5, 4.25),)
)
SCENE = SceneView(3, "S", StepState.RUNNING, 10, 60, 2, 1.5, ("small text",))


def roundtrip(event: Event) -> render_pb2.RenderEvent:
    """An event as watchers get it."""
    message = codec.decode_event(codec.encode_event("r1", 7, NOW, event))
    assert (message.seq, message.render_id, message.occurred_at.ToDatetime(UTC)) == (7, "r1", NOW)
    return message


@pytest.mark.parametrize("state", RenderState)
@pytest.mark.parametrize("stage", Stage)
def test_every_state_and_stage_travels(state: RenderState, stage: Stage) -> None:
    """J7: only terminal states end a stream."""
    message = roundtrip(StateChanged(state, stage, 12.5))
    changed = message.state_changed
    assert render_pb2.RenderState.Name(changed.state) == f"RENDER_STATE_{state.upper()}"
    name = "UNSPECIFIED" if stage is Stage.NONE else stage.upper()
    assert render_pb2.RenderStage.Name(changed.stage) == f"RENDER_STAGE_{name}"
    assert changed.progress == 12.5
    assert codec.is_terminal(message) == state.terminal
    assert not changed.HasField("video")
    assert not changed.HasField("error")


def test_the_result_travels_whole() -> None:
    """V6: every measured figure."""
    video = roundtrip(StateChanged(RenderState.SUCCEEDED, Stage.PUBLISHING, 100, video=VIDEO)).state_changed.video
    assert (video.video_object_id, video.thumbnail_object_id, video.sha256) == ("o1", "o2", "ab" * 32)
    assert (video.width, video.height, video.frame_rate, video.frame_count) == (1280, 720, 30.0, 2715)
    assert (video.duration.seconds, video.duration.nanos) == (90, 500_000_000)
    assert video.thumbnail_content_type == "image/jpeg"
    assert (video.chapters[0].start.nanos, video.chapters[0].duration.seconds) == (500_000_000, 4)


def test_a_failure_outside_of_a_scene_names_none() -> None:
    """V3: scene 0 and no scene are different."""
    for index in (None, 0):
        failure = RenderFailure("X", "m", Stage.RENDERING, index, retryable=True)
        error = roundtrip(StateChanged(RenderState.FAILED, Stage.RENDERING, 5, error=failure)).state_changed.error
        assert error.HasField("scene_index") == (index is not None)
        assert (error.code, error.retryable) == ("X", True)


@pytest.mark.parametrize("event", [Planned("T", (SCENE,)), SceneChanged(SCENE, 40.0)])
def test_scenes_travel_whole(event: Planned | SceneChanged) -> None:
    """V3: per-scene state."""
    message = roundtrip(event)
    scene = message.planned.scenes[0] if isinstance(event, Planned) else message.scene.scene
    assert (scene.index, scene.title, scene.state) == (3, "S", render_pb2.SCENE_STATE_RENDERING)
    assert (scene.frames_done, scene.frames_total, scene.attempts, list(scene.warnings)) == (10, 60, 2, ["small text"])
    assert not codec.is_terminal(message)


def test_progress_travels() -> None:
    """J7: frames of a scene, share of the whole."""
    progress = roundtrip(Progressed(33.3, 2, 5, 10)).progress
    assert (progress.progress, progress.scene_index, progress.frames_done, progress.frames_total) == (33.3, 2, 5, 10)


def test_what_is_not_set_has_its_default() -> None:
    """V1: medium quality, default priority, planner `script`."""
    request = codec.decode_request(pb.StartRenderRequest(render_id="r1"))
    assert (request.quality, request.priority, request.planner) == (Quality.MEDIUM, Priority.DEFAULT, "script")
    assert request.configuration == {}


def test_every_quality_and_priority_is_known() -> None:
    """A value added to the proto must be added to the codec."""
    for quality in quality_pb2.Quality.values():
        for priority in pb.RenderPriority.values():
            codec.decode_request(pb.StartRenderRequest(quality=quality, priority=priority))


def test_every_domain_error_for_callers_has_a_code() -> None:
    """O6: but `LeaseLost`, which never leaves a worker."""
    raised = {cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, Exception)}
    assert raised - {errors.LeaseLost} | {StoryboardInvalid} == set(ERRORS)


@pytest.mark.parametrize(
    ("exc", "code", "reason"),
    [
        (errors.RenderNotFound("r1"), grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
        (errors.RenderIdTaken("r1"), grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_CONFLICT"),
        (errors.NotPlanned("r1"), grpc.StatusCode.FAILED_PRECONDITION, "STATE_CONFLICT"),
        (StoryboardInvalid([Violation("scenes", "no")]), grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED"),
        (errors.PositionAhead("r1", 9, 3), grpc.StatusCode.OUT_OF_RANGE, "POSITION_EXPIRED"),
        (
            errors.ConfigurationInvalid([("configuration.theme", "no")]),
            grpc.StatusCode.INVALID_ARGUMENT,
            "VALIDATION_FAILED",
        ),
    ],
)
def test_errors_look_as_the_contract_says(exc: Exception, code: grpc.StatusCode, reason: str) -> None:
    """O6: code, reason, and what else is known."""
    status = status_from_exception(exc, ERRORS)
    trailers = grpc.aio.Metadata(("grpc-status-details-bin", status.SerializeToString()))
    failure = rpc_error_details(grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailers, status.message))
    assert (status.code, failure.reason) == (code.value[0], reason)
    if isinstance(exc, errors.ConfigurationInvalid):
        assert failure.violations == (("configuration.theme", "no"),)
    if isinstance(exc, errors.PositionAhead):
        assert failure.metadata == {"newest_seq": "3"}

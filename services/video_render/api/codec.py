"""Protobuf to domain values and back."""

from __future__ import annotations

from datetime import datetime, timedelta

from google.protobuf import duration_pb2, json_format, timestamp_pb2

from services.video_render.api import storyboard_codec
from services.video_render.domain.events import (
    Event,
    Logged,
    Planned,
    Progressed,
    RenderState,
    SceneChanged,
    SceneView,
    Severity,
    StateChanged,
)
from services.video_render.domain.outcomes import RenderedVideo, RenderFailure, Segment, Stage
from services.video_render.domain.render import Render
from services.video_render.domain.request import DEFAULT_PLANNER, Priority, Quality, RenderRequest
from services.video_render.domain.steps import StepState
from t2m.video_render.v1 import quality_pb2, render_pb2, render_service_pb2

QUALITIES = {
    quality_pb2.QUALITY_UNSPECIFIED: Quality.MEDIUM,
    quality_pb2.QUALITY_LOW: Quality.LOW,
    quality_pb2.QUALITY_MEDIUM: Quality.MEDIUM,
    quality_pb2.QUALITY_HIGH: Quality.HIGH,
}
_PRIORITIES = {
    render_service_pb2.RENDER_PRIORITY_UNSPECIFIED: Priority.DEFAULT,
    render_service_pb2.RENDER_PRIORITY_HIGH: Priority.HIGH,
    render_service_pb2.RENDER_PRIORITY_DEFAULT: Priority.DEFAULT,
    render_service_pb2.RENDER_PRIORITY_LOW: Priority.LOW,
}
_QUALITY_OUT = {quality: value for value, quality in QUALITIES.items()}
_STATES = {
    RenderState.PENDING: render_pb2.RENDER_STATE_PENDING,
    RenderState.RUNNING: render_pb2.RENDER_STATE_RUNNING,
    RenderState.SUCCEEDED: render_pb2.RENDER_STATE_SUCCEEDED,
    RenderState.FAILED: render_pb2.RENDER_STATE_FAILED,
    RenderState.CANCELLED: render_pb2.RENDER_STATE_CANCELLED,
}
_STAGES = {
    Stage.NONE: render_pb2.RENDER_STAGE_UNSPECIFIED,
    Stage.PLANNING: render_pb2.RENDER_STAGE_PLANNING,
    Stage.RENDERING: render_pb2.RENDER_STAGE_RENDERING,
    Stage.ASSEMBLING: render_pb2.RENDER_STAGE_ASSEMBLING,
    Stage.PUBLISHING: render_pb2.RENDER_STAGE_PUBLISHING,
}
_SEVERITIES = {
    Severity.INFO: render_pb2.LOG_SEVERITY_INFO,
    Severity.WARNING: render_pb2.LOG_SEVERITY_WARNING,
    Severity.ERROR: render_pb2.LOG_SEVERITY_ERROR,
}
_SCENE_STATES = {
    StepState.QUEUED: render_pb2.SCENE_STATE_QUEUED,
    StepState.RUNNING: render_pb2.SCENE_STATE_RENDERING,
    StepState.SUCCEEDED: render_pb2.SCENE_STATE_SUCCEEDED,
    StepState.FAILED: render_pb2.SCENE_STATE_FAILED,
    StepState.CANCELLED: render_pb2.SCENE_STATE_CANCELLED,
}


def decode_request(message: render_service_pb2.StartRenderRequest) -> RenderRequest:
    """The order in a validated request."""
    return RenderRequest(
        render_id=message.render_id,
        owner_id=message.owner_id,
        job_id=message.job_id,
        topic=message.topic,
        context=message.context,
        planner=message.planner or DEFAULT_PLANNER,
        quality=QUALITIES[message.quality],
        lower_qualities=tuple(QUALITIES[each] for each in message.lower_qualities),
        priority=_PRIORITIES[message.priority],
        configuration=json_format.MessageToDict(message.configuration),
        storyboard=storyboard_codec.to_json(message.storyboard) if message.HasField("storyboard") else None,
        narration=message.narration,
        scene_fallback=message.on_scene_failure == render_pb2.SCENE_FAILURE_POLICY_FALLBACK,
    )


def encode_render(render: Render) -> render_pb2.Render:
    """A render as it is."""
    message = render_pb2.Render(
        render_id=render.render_id,
        owner_id=render.request.owner_id,
        job_id=render.request.job_id,
        state=_STATES[render.state],
        stage=_STAGES[render.stage],
        progress=render.progress,
        quality=_QUALITY_OUT[render.request.quality],
        scenes=[_scene(SceneView.of(step)) for step in render.scenes],
        video=_video(render.video),
        error=_error(render.error),
        seq=render.seq,
        created_at=_time(render.created_at),
        waits_for=render.waits_for,
    )
    if render.started_at is not None:
        message.started_at.CopyFrom(_time(render.started_at))
    if render.completed_at is not None:
        message.completed_at.CopyFrom(_time(render.completed_at))
    return message


def encode_event(render_id: str, seq: int, occurred_at: datetime, event: Event) -> bytes:
    """The stored form of an event: a serialised `RenderEvent`."""
    message = render_pb2.RenderEvent(seq=seq, render_id=render_id, occurred_at=_time(occurred_at))
    match event:
        case StateChanged():
            message.state_changed.CopyFrom(_state_changed(event))
        case Progressed():
            progress = message.progress
            progress.progress = event.progress
            progress.scene_index = event.scene_index
            progress.frames_done, progress.frames_total = event.frames_done, event.frames_total
        case Planned():
            message.planned.title = event.title
            message.planned.scenes.extend(_scene(scene) for scene in event.scenes)
        case SceneChanged():
            message.scene.scene.CopyFrom(_scene(event.scene))
            message.scene.progress = event.progress
        case Logged():
            message.log.CopyFrom(
                render_pb2.RenderLogged(
                    severity=_SEVERITIES[event.severity],
                    stage=_STAGES[event.stage],
                    scene_index=event.scene_index,
                    step_attempt=event.attempt,
                    message=event.message,
                )
            )
    return message.SerializeToString()


def decode_event(payload: bytes) -> render_pb2.RenderEvent:
    """A stored event."""
    return render_pb2.RenderEvent.FromString(payload)


def is_terminal(event: render_pb2.RenderEvent) -> bool:
    """Whether nothing comes after the event."""
    terminal = {message for state, message in _STATES.items() if state.terminal}
    return event.WhichOneof("event") == "state_changed" and event.state_changed.state in terminal


def _state_changed(event: StateChanged) -> render_pb2.RenderStateChanged:
    return render_pb2.RenderStateChanged(
        state=_STATES[event.state],
        stage=_STAGES[event.stage],
        video=_video(event.video),
        error=_error(event.error),
        progress=event.progress,
        waits_for=event.waits_for,
    )


def _scene(scene: SceneView) -> render_pb2.SceneProgress:
    return render_pb2.SceneProgress(
        index=scene.index,
        title=scene.title,
        state=_SCENE_STATES[scene.state],
        frames_done=scene.frames_done,
        frames_total=scene.frames_total,
        attempts=scene.attempts,
        duration=_seconds(scene.duration_s) if scene.duration_s is not None else None,
        warnings=scene.warnings,
        fallback=scene.fallback,
        cached=scene.cached,
    )


def _video(video: RenderedVideo | None) -> render_pb2.RenderedVideo | None:
    if video is None:
        return None
    return render_pb2.RenderedVideo(
        video_object_id=video.video.object_id,
        thumbnail_object_id=video.poster.object_id,
        storyboard_object_id=video.storyboard.object_id,
        size_bytes=video.video.size_bytes,
        sha256=video.video.sha256,
        duration=_seconds(video.duration_s),
        width=video.width,
        height=video.height,
        frame_rate=video.frame_rate,
        video_codec=video.codec,
        frame_count=video.frame_count,
        chapters=[
            render_pb2.Chapter(
                scene_index=chapter.scene_index,
                title=chapter.title,
                kind=chapter.kind,
                start=_seconds(chapter.start_s),
                duration=_seconds(chapter.duration_s),
                fallback=chapter.fallback,
            )
            for chapter in video.chapters
        ],
        title=video.title,
        thumbnail_content_type=video.poster.content_type,
        renditions=[
            render_pb2.RenderedRendition(
                rung=each.rung,
                object_id=each.file.object_id,
                size_bytes=each.file.size_bytes,
                sha256=each.file.sha256,
                width=each.width,
                height=each.height,
                frame_rate=each.frame_rate,
                codec=each.codec,
                peak_bits_per_second=each.peak_bits_per_s,
                mean_bits_per_second=each.mean_bits_per_s,
            )
            for each in video.renditions
        ],
        audio_codec=video.audio_codec,
        captions_vtt_object_id=video.captions_vtt.object_id if video.captions_vtt else "",
        captions_srt_object_id=video.captions_srt.object_id if video.captions_srt else "",
        stills=[
            render_pb2.RenderedStill(
                scene_index=index, object_id=still.file.object_id, width=still.width, height=still.height
            )
            for index, still in video.stills
        ],
        poster_scene_index=video.poster_scene,
        sprite_object_id=video.sprite.object_id if video.sprite else "",
        sprite_map_object_id=video.sprite_map.object_id if video.sprite_map else "",
    )


def encode_segment(segment: Segment) -> render_pb2.SceneSegment:
    """A finished scene at one rung."""
    return render_pb2.SceneSegment(
        rung=segment.rung,
        object_id=segment.file.object_id,
        frame_count=segment.frames,
        head_bytes=segment.head_bytes,
        fragment_bytes=segment.fragment_bytes,
        fragment_frames=segment.fragment_frames,
        width=segment.width,
        height=segment.height,
        frame_rate=segment.frame_rate,
        codec=segment.codec,
    )


def _error(error: RenderFailure | None) -> render_pb2.RenderError | None:
    if error is None:
        return None
    return render_pb2.RenderError(
        code=error.code,
        message=error.message,
        stage=_STAGES[error.stage],
        scene_index=error.scene_index,
        retryable=error.retryable,
        log_excerpt=error.log,
    )


def _time(moment: datetime) -> timestamp_pb2.Timestamp:
    message = timestamp_pb2.Timestamp()
    message.FromDatetime(moment)
    return message


def _seconds(seconds: float) -> duration_pb2.Duration:
    message = duration_pb2.Duration()
    message.FromTimedelta(timedelta(seconds=seconds))
    return message

"""Events of video_render as facts of the job's domain."""

from __future__ import annotations

from services.job.application.hls import Segment
from services.job.application.neighbours import Playable, PlayableScene
from services.job.domain.log import Severity
from services.job.domain.render import (
    Chapter,
    Failure,
    LogFact,
    PlannedFact,
    ProgressFact,
    RenderFact,
    RenderState,
    Rendition,
    Scene,
    SceneFact,
    StateFact,
    Still,
    UnknownFact,
    Video,
)
from services.job.domain.values import JobStage, Priority, Quality, SceneStatus
from t2m.video_render.v1 import quality_pb2, render_pb2, render_service_pb2

QUALITIES = {
    Quality.LOW: quality_pb2.QUALITY_LOW,
    Quality.MEDIUM: quality_pb2.QUALITY_MEDIUM,
    Quality.HIGH: quality_pb2.QUALITY_HIGH,
}
PRIORITIES = {
    Priority.HIGH: render_service_pb2.RENDER_PRIORITY_HIGH,
    Priority.DEFAULT: render_service_pb2.RENDER_PRIORITY_DEFAULT,
    Priority.LOW: render_service_pb2.RENDER_PRIORITY_LOW,
}
_STATES: dict[int, RenderState] = {
    render_pb2.RENDER_STATE_PENDING: RenderState.PENDING,
    render_pb2.RENDER_STATE_RUNNING: RenderState.RUNNING,
    render_pb2.RENDER_STATE_SUCCEEDED: RenderState.SUCCEEDED,
    render_pb2.RENDER_STATE_FAILED: RenderState.FAILED,
    render_pb2.RENDER_STATE_CANCELLED: RenderState.CANCELLED,
}
_STAGES: dict[int, JobStage] = {
    render_pb2.RENDER_STAGE_PLANNING: JobStage.PLANNING,
    render_pb2.RENDER_STAGE_RENDERING: JobStage.RENDERING,
    render_pb2.RENDER_STAGE_ASSEMBLING: JobStage.ASSEMBLING,
    render_pb2.RENDER_STAGE_PUBLISHING: JobStage.PUBLISHING,
}
_SEVERITIES: dict[int, Severity] = {int(severity): severity for severity in Severity}
_SCENES: dict[int, SceneStatus] = {
    render_pb2.SCENE_STATE_RENDERING: SceneStatus.PROCESSING,
    render_pb2.SCENE_STATE_SUCCEEDED: SceneStatus.COMPLETED,
    render_pb2.SCENE_STATE_FAILED: SceneStatus.FAILED,
    render_pb2.SCENE_STATE_CANCELLED: SceneStatus.CANCELLED,
}


def fact_of(event: render_pb2.RenderEvent) -> RenderFact:
    """The fact an event tells; one of a kind that is not known here only has a position."""
    match event.WhichOneof("event"):
        case "state_changed":
            return _state(event.seq, event.state_changed)
        case "progress":
            progress = event.progress
            return ProgressFact(
                event.seq, progress.progress, progress.scene_index, progress.frames_done, progress.frames_total
            )
        case "planned":
            scenes = tuple(_scene(scene) for scene in event.planned.scenes)
            return PlannedFact(event.seq, event.planned.title, scenes)
        case "scene":
            return SceneFact(event.seq, _scene(event.scene.scene), event.scene.progress)
        case "log":
            return _log(event.seq, event.log)
        case _:
            return UnknownFact(event.seq)


def _log(seq: int, line: render_pb2.RenderLogged) -> LogFact:
    return LogFact(
        seq,
        _SEVERITIES.get(line.severity, Severity.INFO),
        line.message,
        _STAGES.get(line.stage, JobStage.NONE),
        line.scene_index if line.HasField("scene_index") else None,
        line.step_attempt,
    )


def _state(seq: int, changed: render_pb2.RenderStateChanged) -> RenderFact:
    state = _STATES.get(changed.state)
    if state is None:
        return UnknownFact(seq)
    return StateFact(
        seq,
        state,
        _STAGES.get(changed.stage, JobStage.NONE),
        changed.progress,
        video=_video(changed.video) if changed.HasField("video") else None,
        failure=_failure(changed.error) if changed.HasField("error") else None,
        waits_for=changed.waits_for,
    )


def _scene(scene: render_pb2.SceneProgress) -> Scene:
    return Scene(
        index=scene.index,
        title=scene.title,
        status=_SCENES.get(scene.state, SceneStatus.QUEUED),
        frames_done=scene.frames_done,
        frames_total=scene.frames_total,
        attempts=scene.attempts,
        warnings=tuple(scene.warnings),
        fallback=scene.fallback,
        cached=scene.cached,
    )


def _failure(error: render_pb2.RenderError) -> Failure:
    return Failure(
        code=error.code,
        message=error.message,
        stage=_STAGES.get(error.stage, JobStage.NONE),
        scene_index=error.scene_index if error.HasField("scene_index") else None,
        retryable=error.retryable,
        log=tuple(error.log_excerpt),
    )


def _video(video: render_pb2.RenderedVideo) -> Video:
    return Video(
        video_object_id=video.video_object_id,
        thumbnail_object_id=video.thumbnail_object_id,
        storyboard_object_id=video.storyboard_object_id,
        title=video.title,
        size_bytes=video.size_bytes,
        sha256=video.sha256,
        duration_s=video.duration.ToTimedelta().total_seconds(),
        width=video.width,
        height=video.height,
        frame_rate=video.frame_rate,
        video_codec=video.video_codec,
        frame_count=video.frame_count,
        chapters=tuple(
            Chapter(
                chapter.scene_index,
                chapter.title,
                chapter.kind,
                chapter.start.ToTimedelta().total_seconds(),
                chapter.duration.ToTimedelta().total_seconds(),
                chapter.fallback,
            )
            for chapter in video.chapters
        ),
        thumbnail_content_type=video.thumbnail_content_type,
        renditions=tuple(
            Rendition(each.rung, each.object_id, each.size_bytes, each.sha256, each.width, each.height, each.frame_rate)
            for each in video.renditions
        ),
        audio_codec=video.audio_codec,
        captions_vtt_object_id=video.captions_vtt_object_id,
        captions_srt_object_id=video.captions_srt_object_id,
        stills=tuple(Still(each.scene_index, each.object_id, each.width, each.height) for each in video.stills),
        poster_scene_index=video.poster_scene_index,
        sprite_object_id=video.sprite_object_id,
        sprite_map_object_id=video.sprite_map_object_id,
    )


def playable(answer: render_service_pb2.ListSegmentsResponse) -> Playable:
    """What can be played of a render."""
    scenes = tuple(
        PlayableScene(
            tuple(_segment(segment) for segment in scene.segments),
            _segment(scene.audio) if scene.HasField("audio") else None,
        )
        for scene in answer.scenes
    )
    return Playable(scenes, answer.complete)


def _segment(source: render_pb2.SceneSegment) -> Segment:
    return Segment(
        rung=source.rung,
        object_id=source.object_id,
        frames=source.frame_count,
        head_bytes=source.head_bytes,
        fragment_bytes=tuple(source.fragment_bytes),
        fragment_frames=source.fragment_frames,
        width=source.width,
        height=source.height,
        frame_rate=source.frame_rate,
        codec=source.codec,
    )

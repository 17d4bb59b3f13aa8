"""What the job knows of its render: the scenes, the video, why it failed, and the facts it learns on the way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from services.job.domain.log import Severity
from services.job.domain.values import JobStage, SceneStatus


@dataclass(frozen=True, slots=True)
class Scene:
    """One scene of the video; frames count from 0."""

    index: int
    title: str = ""
    status: SceneStatus = SceneStatus.QUEUED
    frames_done: int = 0
    frames_total: int = 0
    attempts: int = 0
    warnings: tuple[str, ...] = ()
    fallback: bool = False
    """Whether a plain scene stands in for one that could not be drawn."""
    cached: bool = False
    """Whether it was taken from what was rendered before."""

    def with_frames(self, done: int, total: int) -> Scene:
        """The scene after more frames were drawn; a scene that has ended keeps its exact figures."""
        if self.status.ended:
            return self
        return replace(self, frames_done=done, frames_total=total)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed."""

    code: str
    message: str
    stage: JobStage = JobStage.NONE
    scene_index: int | None = None
    retryable: bool = False
    log: tuple[str, ...] = ()
    """The last lines of the failed step, oldest first."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """Where a scene lies in the video, in seconds."""

    scene_index: int
    title: str
    kind: str
    start_s: float
    duration_s: float
    fallback: bool = False


@dataclass(frozen=True, slots=True)
class Rendition:
    """The video at one rung such as `720p`."""

    level: str
    object_id: str
    size_bytes: int
    sha256: str
    width: int
    height: int
    frame_rate: float


@dataclass(frozen=True, slots=True)
class Still:
    """A smaller picture of a scene, in pixels."""

    scene_index: int
    object_id: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Video:
    """A finished video; every figure was measured from the file."""

    video_object_id: str
    thumbnail_object_id: str
    storyboard_object_id: str
    title: str
    size_bytes: int
    sha256: str
    duration_s: float
    width: int
    height: int
    frame_rate: float
    video_codec: str
    frame_count: int
    chapters: tuple[Chapter, ...] = ()
    thumbnail_content_type: str = ""
    published_at: datetime | None = None
    renditions: tuple[Rendition, ...] = ()
    """Best first."""
    audio_codec: str = ""
    """Empty without sound."""
    captions_vtt_object_id: str = ""
    """Empty where nothing is said."""
    captions_srt_object_id: str = ""
    stills: tuple[Still, ...] = ()
    poster_scene_index: int = 0
    sprite_object_id: str = ""
    sprite_map_object_id: str = ""


class RenderState(StrEnum):
    """States of a render; succeeded, failed and cancelled are terminal."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class StateFact:
    """The render's state or stage changed."""

    seq: int
    state: RenderState
    stage: JobStage
    progress: float
    video: Video | None = None
    failure: Failure | None = None
    waits_for: str = ""
    """What the render waits for that is no turn of its own."""


@dataclass(frozen=True, slots=True)
class ProgressFact:
    """Frames of a scene were drawn."""

    seq: int
    progress: float
    scene_index: int
    frames_done: int
    frames_total: int


@dataclass(frozen=True, slots=True)
class PlannedFact:
    """The scenes are known."""

    seq: int
    title: str
    scenes: tuple[Scene, ...]


@dataclass(frozen=True, slots=True)
class SceneFact:
    """A scene changed its state."""

    seq: int
    scene: Scene
    progress: float


@dataclass(frozen=True, slots=True)
class LogFact:
    """A step of the render said something."""

    seq: int
    severity: Severity
    message: str
    stage: JobStage = JobStage.NONE
    scene_index: int | None = None
    step_attempt: int = 0


@dataclass(frozen=True, slots=True)
class UnknownFact:
    """An event of a kind that this release does not know; it only moves the cursor."""

    seq: int


RenderFact = StateFact | ProgressFact | PlannedFact | SceneFact | LogFact | UnknownFact
"""Something that happened to a render; `seq` is its position, 1, 2, 3 … per render."""

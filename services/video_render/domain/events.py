"""What happens to a render, as its watchers are told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from services.video_render.domain.outcomes import RenderedVideo, RenderFailure, Stage
from services.video_render.domain.steps import Step, StepState


class RenderState(StrEnum):
    """States of a render; the last three are terminal and never change."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether nothing more will happen."""
        return self in (RenderState.SUCCEEDED, RenderState.FAILED, RenderState.CANCELLED)


@dataclass(frozen=True, slots=True)
class SceneView:
    """A scene as watchers see it."""

    index: int
    title: str
    state: StepState
    frames_done: int
    frames_total: int
    attempts: int
    duration_s: float | None
    warnings: tuple[str, ...]
    fallback: bool = False
    cached: bool = False

    @classmethod
    def of(cls, step: Step) -> SceneView:
        """The view of a scene step."""
        return cls(
            index=step.index,
            title=step.title,
            state=step.state,
            frames_done=step.frames_done,
            frames_total=step.frames_total,
            attempts=step.attempts,
            duration_s=step.result.duration_s if step.result else None,
            warnings=step.result.warnings if step.result else (),
            fallback=step.fallback,
            cached=step.cached,
        )


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The render's state or stage changed, or what it waits for; or bytes of the video were stored."""

    state: RenderState
    stage: Stage
    progress: float
    video: RenderedVideo | None = None
    error: RenderFailure | None = None
    waits_for: str = ""
    """`storage` while work that is done cannot be stored."""


@dataclass(frozen=True, slots=True)
class Progressed:
    """Frames of a scene were drawn."""

    progress: float
    scene_index: int
    frames_done: int
    frames_total: int


@dataclass(frozen=True, slots=True)
class Planned:
    """The scenes are known."""

    title: str
    scenes: tuple[SceneView, ...]


@dataclass(frozen=True, slots=True)
class SceneChanged:
    """A scene changed its state."""

    scene: SceneView
    progress: float


class Severity(StrEnum):
    """How bad a line of the log is."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Logged:
    """A step said something (J4). `attempt` counts the attempts at the step from 1."""

    severity: Severity
    stage: Stage
    scene_index: int | None
    attempt: int
    message: str


Event = StateChanged | Progressed | Planned | SceneChanged | Logged

"""What happened to a job: the entries of its history (J1)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from services.job.domain.render import Failure, Scene
from services.job.domain.values import JobStage, JobStatus


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """The status, stage or attempt changed, or what the job waits for; or bytes of the video were stored."""

    status: JobStatus
    stage: JobStage
    progress: float
    attempt: int
    failure: Failure | None = None
    next_attempt_at: datetime | None = None
    waits_for: str = ""


@dataclass(frozen=True, slots=True)
class Progressed:
    """Frames of a scene were drawn; `progress` is of the whole job, 0 to 100."""

    progress: float
    scene_index: int
    frames_done: int
    frames_total: int


@dataclass(frozen=True, slots=True)
class Planned:
    """The scenes are known."""

    title: str
    scenes: tuple[Scene, ...]


@dataclass(frozen=True, slots=True)
class SceneChanged:
    """A scene changed its state."""

    scene: Scene
    progress: float


Happening = StatusChanged | Progressed | Planned | SceneChanged


@dataclass(frozen=True, slots=True)
class JobEvent:
    """An entry of a job's history; `seq` is 1, 2, 3 … per job without gaps."""

    job_id: str
    seq: int
    occurred_at: datetime
    happening: Happening


class Lane(StrEnum):
    """Which neighbour a command goes to. The commands of one job arrive in order within a lane, not across lanes: while
    one neighbour is away, the others still hear.
    """

    RENDER = "render"
    CREDITS = "credits"
    FILES = "files"


@dataclass(frozen=True, slots=True)
class StartRender:
    """The render of an attempt is to be started on video_render."""

    lane: ClassVar[Lane] = Lane.RENDER
    job_id: str
    render_id: str


@dataclass(frozen=True, slots=True)
class CancelRender:
    """The render of an attempt is to be stopped on video_render."""

    lane: ClassVar[Lane] = Lane.RENDER
    job_id: str
    render_id: str


@dataclass(frozen=True, slots=True)
class ConfirmCredits:
    """The job is stored: its reserved credits are to be kept for it."""

    lane: ClassVar[Lane] = Lane.CREDITS
    job_id: str


@dataclass(frozen=True, slots=True)
class SettleCredits:
    """The job completed: its credits are spent."""

    lane: ClassVar[Lane] = Lane.CREDITS
    job_id: str


@dataclass(frozen=True, slots=True)
class ReleaseCredits:
    """The job failed or was stopped: its credits go back."""

    lane: ClassVar[Lane] = Lane.CREDITS
    job_id: str


@dataclass(frozen=True, slots=True)
class RemoveFiles:
    """Nothing of the job's files is to stay."""

    lane: ClassVar[Lane] = Lane.FILES
    job_id: str


RenderCommand = StartRender | CancelRender
CreditCommand = ConfirmCredits | SettleCredits | ReleaseCredits
FileCommand = RemoveFiles
Command = RenderCommand | CreditCommand | FileCommand
"""What is to be sent after the change that asks for it is stored."""

"""Lines of a job's log (J4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from services.job.domain.values import JobStage

MOST_LINES = 10_000
"""Of one job; then a last line says so."""


class Severity(IntEnum):
    """How bad a line is; larger is worse."""

    DEBUG = 1
    INFO = 2
    WARNING = 3
    ERROR = 4


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line; `seq` is 1, 2, 3 … per job without gaps."""

    seq: int
    occurred_at: datetime
    severity: Severity
    message: str
    stage: JobStage = JobStage.NONE
    scene_index: int | None = None
    attempt: int = 0
    step_attempt: int = 0
    last: bool = False
    """No line follows: the job has ended."""

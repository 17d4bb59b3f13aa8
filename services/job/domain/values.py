"""The vocabulary of an order: its states, stages, priorities and sizes."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum


class JobStatus(StrEnum):
    """States of a job (J1); completed, failed and cancelled are terminal and never change."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether nothing can happen to the job any more."""
        return self in _TERMINAL


_TERMINAL = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})


class JobStage(StrEnum):
    """What is being done for a job; NONE once nothing is."""

    NONE = "none"
    QUEUED = "queued"
    PLANNING = "planning"
    RENDERING = "rendering"
    ASSEMBLING = "assembling"
    PUBLISHING = "publishing"


class Priority(StrEnum):
    """Which queue a job waits in (J5)."""

    HIGH = "high"
    DEFAULT = "default"
    LOW = "low"

    @property
    def handicap(self) -> timedelta:
        """How much later than it did a job counts as having come.

        The queue is ordered by arrival plus handicap: a high job overtakes everything that came within its lead, and a
        low job is passed over for half an hour at most, so nothing starves.
        """
        return _HANDICAPS[self]

    def after(self, waited: timedelta) -> Priority:
        """The queue in which its render's steps are placed after so long a wait: a level higher for each half hour.

        Workers serve those queues strictly in order. A job that had to wait for its turn would starve there.
        """
        order = (Priority.HIGH, Priority.DEFAULT, Priority.LOW)
        levels = int(waited / _PROMOTED_AFTER) if waited > timedelta(0) else 0
        return order[max(order.index(self) - levels, 0)]


_PROMOTED_AFTER = timedelta(minutes=30)
_HANDICAPS = {
    Priority.HIGH: timedelta(0),
    Priority.DEFAULT: timedelta(minutes=10),
    Priority.LOW: timedelta(minutes=30),
}


class Quality(StrEnum):
    """How large and smooth a video is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"

    @property
    def level(self) -> str:
        """The rung of the ladder it stands for, such as `720p`."""
        return _LEVELS[self]

    @classmethod
    def of_level(cls, level: str) -> Quality | None:
        """The quality that a rung such as `720p` stands for; None when there is no such rung."""
        return next((quality for quality, name in _LEVELS.items() if name == level), None)


_LEVELS = {Quality.LOW: "480p", Quality.MEDIUM: "720p", Quality.HIGH: "1080p"}


class SceneStatus(StrEnum):
    """States of a scene."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether no worker will touch the scene any more in this attempt."""
        return self not in (SceneStatus.QUEUED, SceneStatus.PROCESSING)

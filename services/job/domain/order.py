"""What was asked for: the part of a job that never changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.job.domain.values import Priority, Quality

DEFAULT_MAX_RETRIES = 3
SCRIPT_MODEL = "script"
DEFAULT_PLAN = "free"


@dataclass(frozen=True, slots=True)
class Order:
    """A user's wish for one video, with every default filled in."""

    owner_id: str
    topic: str
    context: str
    quality: Quality = Quality.MEDIUM
    priority: Priority = Priority.DEFAULT
    model: str = SCRIPT_MODEL
    thumbnails: bool = True
    max_retries: int = DEFAULT_MAX_RETRIES
    batch_id: str = ""
    configuration: Mapping[str, Any] = field(default_factory=dict)
    plan: str = DEFAULT_PLAN
    """The owner's plan when the order was accepted; decides limits and retention."""
    credit_cost: int = 0
    """Credits reserved for it; 0 where credits are not counted."""
    webhook_url: str = ""
    origin_job_id: str = ""
    """The job that this one repeats, or remixes."""
    storyboard: str = ""
    """Name of the storyboard that was ordered; empty when it is planned from topic and context."""
    scene_fallback: bool = False
    """Whether a plain scene takes the place of one that cannot be drawn."""
    narration: bool = False
    """Whether the narration is spoken."""
    lower_qualities: tuple[Quality, ...] = ()
    """Further rungs of the ladder, best first."""

    @property
    def levels(self) -> tuple[str, ...]:
        """All rungs, best first, such as `1080p` and `720p`."""
        return tuple(quality.level for quality in (self.quality, *self.lower_qualities))

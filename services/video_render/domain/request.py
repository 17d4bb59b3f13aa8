"""What a render was asked to do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from services.video_render.domain.errors import ConfigurationInvalid
from services.video_render.domain.storyboard import Storyboard
from services.video_render.domain.storyboard_rules import THEMES
from services.video_render.domain.violations import StoryboardInvalid


class Quality(StrEnum):
    """How large and smooth the video is; the numbers belong to the engine's ladder."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Priority(StrEnum):
    """Which queue the steps go to; the value is the queue's name."""

    HIGH = "high_priority"
    DEFAULT = "default"
    LOW = "low_priority"


DEFAULT_PLANNER = "script"


@dataclass(frozen=True, slots=True)
class RenderRequest:
    """An order for one video. `configuration` is plain JSON."""

    render_id: str
    owner_id: str
    job_id: str
    topic: str
    context: str
    planner: str = DEFAULT_PLANNER
    quality: Quality = Quality.MEDIUM
    lower_qualities: tuple[Quality, ...] = ()
    """Further rungs of the ladder."""
    priority: Priority = Priority.DEFAULT
    configuration: Mapping[str, Any] = field(default_factory=dict)
    storyboard: Mapping[str, Any] | None = None
    """What to draw, as plain JSON; planned from topic and context when None."""
    narration: bool = False
    """Whether the narration is spoken."""
    scene_fallback: bool = False
    """Whether a plain scene takes the place of one that cannot be drawn."""

    @property
    def qualities(self) -> tuple[Quality, ...]:
        """All of them, the best first."""
        return self.quality, *self.lower_qualities

    def validated(self) -> RenderRequest:
        """Itself; raises `ConfigurationInvalid` for what would fail every attempt."""
        if self.storyboard is None:
            missing = [name for name in ("topic", "context") if not getattr(self, name).strip()]
            if missing:
                raise ConfigurationInvalid([(name, "is required without a storyboard") for name in missing])
        else:
            try:
                Storyboard.from_dict(self.storyboard)
            except StoryboardInvalid as invalid:
                broken = [(f"storyboard.{each.field}".rstrip("."), each.message) for each in invalid.violations]
                raise ConfigurationInvalid(broken) from invalid
        order = list(Quality)
        if any(order.index(lower) >= order.index(self.quality) for lower in self.lower_qualities):
            raise ConfigurationInvalid([("lower_qualities", f"must be lower than {self.quality}")])
        theme = self.configuration.get("theme", "dark")
        if theme not in THEMES:
            allowed = ", ".join(sorted(THEMES))
            raise ConfigurationInvalid([("configuration.theme", f"must be one of: {allowed}")])
        language = self.configuration.get("language", "en")
        if not isinstance(language, str):
            raise ConfigurationInvalid([("configuration.language", "must be a string")])
        return self

    def fingerprint(self) -> str:
        """SHA-256 (hex) of the whole request: equal exactly for equal requests."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

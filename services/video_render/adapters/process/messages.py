"""What a pool child, its zygote and a render child tell each other; pickled, as all three run the same code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.video_render.application.engine import Ladder, SceneFailed, SceneOutput
from services.video_render.domain.storyboard import Storyboard


@dataclass(frozen=True, slots=True)
class Draw:
    """To the zygote: fork a render child for this scene."""

    storyboard: Storyboard
    index: int
    ladder: Ladder
    out_dir: Path


@dataclass(frozen=True, slots=True)
class Kill:
    """To the zygote: kill the render child, if there still is one."""


@dataclass(frozen=True, slots=True)
class Frames:
    """From the render child: frames drawn, frames expected."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """From the render child: the scene is complete."""

    output: SceneOutput


@dataclass(frozen=True, slots=True)
class Failed:
    """From the render child: the scene cannot be drawn."""

    error: SceneFailed


@dataclass(frozen=True, slots=True)
class Ended:
    """From the zygote, last: the render child is gone. Negative exit codes are signals.

    `out_of_memory` when the kernel has killed for memory in the meantime.
    """

    exit_code: int
    out_of_memory: bool = False

"""How far a render is, from 0 to 100, weighted by the frames of its scenes."""

from __future__ import annotations

from collections.abc import Iterable

from services.video_render.domain.outcomes import Stage
from services.video_render.domain.steps import Step, StepState
from services.video_render.domain.storyboard import Scene

_RENDERING_FROM = 1.0
_ASSEMBLING_FROM = 95.0
_PUBLISHING_FROM = 98.0
_LAST = 99.9
"""Everything is stored, and the row does not say so yet."""
DONE = 100.0

_SECONDS_BY_KIND = {
    "title": 4.0,
    "bullets": 8.0,
    "paragraph": 8.0,
    "equation": 6.0,
    "derivation": 10.0,
    "function_plot": 8.0,
    "table": 8.0,
    "code": 8.0,
    "data_chart": 8.0,
    "recap": 7.0,
}
_USUAL_SECONDS = 7.0


def estimated_frames(scene: Scene, fps: int) -> int:
    """Frames to expect before the engine knows: a weight, corrected by the first report of the engine."""
    seconds = scene.duration_s or _SECONDS_BY_KIND.get(scene.kind, _USUAL_SECONDS)
    return max(1, round(seconds * fps))


def published(share: float) -> float:
    """How far a render is that has stored so much of its video, from 0 to 1."""
    return _PUBLISHING_FROM + (_LAST - _PUBLISHING_FROM) * min(max(share, 0.0), 1.0)


def measured(stage: Stage, scenes: Iterable[Step]) -> float:
    """The share done; may be lower than an earlier figure when scenes turn out longer: the caller keeps the maximum."""
    match stage:
        case Stage.NONE | Stage.PLANNING:
            return 0.0
        case Stage.ASSEMBLING:
            return _ASSEMBLING_FROM
        case Stage.PUBLISHING:
            return _PUBLISHING_FROM
    done = total = 0
    for scene in scenes:
        total += scene.frames_total
        done += scene.frames_total if scene.state is StepState.SUCCEEDED else scene.frames_done
    share = done / total if total else 0.0
    return _RENDERING_FROM + (_ASSEMBLING_FROM - _RENDERING_FROM) * share

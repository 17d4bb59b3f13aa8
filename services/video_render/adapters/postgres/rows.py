"""Domain values to rows and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from services.video_render.domain.captions import Caption
from services.video_render.domain.events import RenderState
from services.video_render.domain.outcomes import (
    Chapter,
    RenderedScene,
    RenderedVideo,
    RenderFailure,
    Rendition,
    Segment,
    Stage,
    Still,
    StoredFile,
)
from services.video_render.domain.render import Render
from services.video_render.domain.request import Priority, Quality, RenderRequest
from services.video_render.domain.steps import Step, StepKind, StepState

Row = Mapping[Any, Any]

_RENDER_COLUMNS = (
    *("fingerprint", "created_at", "state", "stage", "progress", "scenes_left", "title", "storyboard"),
    *("seq", "started_at", "completed_at"),
)
_OPTIONAL_FILES = ("captions_vtt", "captions_srt", "sprite", "sprite_map")
_STEP_COLUMNS = (
    *("step_id", "kind", "index", "state", "queued_at", "fence", "attempts", "handed_back", "lease_until"),
    *("task_id", "holder", "title", "scene_kind", "content_hash", "frames_done", "frames_total"),
    *("fallback", "cached", "parked"),
)


def render_row(render: Render) -> dict[str, Any]:
    """The row of a render, without its steps."""
    row = {name: getattr(render, name) for name in _RENDER_COLUMNS}
    row["render_id"] = render.render_id
    row["owner_id"] = render.request.owner_id
    row["job_id"] = render.request.job_id
    # The storyboard is a column of its own from the beginning.
    row["request"] = asdict(replace(render.request, storyboard=None))
    row["video"] = asdict(render.video) if render.video else None
    row["error"] = asdict(render.error) if render.error else None
    return row


def step_row(render: Render, step: Step) -> dict[str, Any]:
    """The row of a step."""
    row = {name: getattr(step, name) for name in _STEP_COLUMNS}
    row["render_id"] = render.render_id
    row["queue"] = str(render.request.priority)
    row["result"] = asdict(step.result) if step.result else None
    return row


def to_render(row: Row, steps: Iterable[Row]) -> Render:
    """A render and its steps."""
    values = {name: row[name] for name in _RENDER_COLUMNS}
    values["state"], values["stage"] = RenderState(row["state"]), Stage(row["stage"])
    return Render(
        request=_to_request(row["request"]),
        video=_to_video(row["video"]) if row["video"] else None,
        error=_to_failure(row["error"]) if row["error"] else None,
        steps={step["step_id"]: _to_step(step) for step in steps},
        **values,
    )


def to_scene(value: Row) -> RenderedScene:
    """A rendered scene from its JSON."""
    return RenderedScene(
        segments=tuple(_to_segment(segment) for segment in value["segments"]),
        poster=StoredFile(**value["poster"]),
        frames=value["frames"],
        duration_s=value["duration_s"],
        warnings=tuple(value["warnings"]),
        audio=_to_segment(value["audio"]) if value.get("audio") else None,
        stills=tuple(_to_still(still) for still in value.get("stills", ())),
        captions=tuple(Caption(**caption) for caption in value.get("captions", ())),
    )


def _to_still(value: Row) -> Still:
    return Still(StoredFile(**value["file"]), value["width"], value["height"])


def _to_segment(value: Row) -> Segment:
    file = StoredFile(**value["file"])
    return Segment(**{**value, "file": file, "fragment_bytes": tuple(value["fragment_bytes"])})


def _to_request(value: Row) -> RenderRequest:
    typed = {
        "quality": Quality(value["quality"]),
        "lower_qualities": tuple(Quality(lower) for lower in value.get("lower_qualities", ())),
        "priority": Priority(value["priority"]),
    }
    return RenderRequest(**{**value, **typed})


def _to_step(row: Row) -> Step:
    values = {name: row[name] for name in _STEP_COLUMNS}
    values["kind"], values["state"] = StepKind(row["kind"]), StepState(row["state"])
    return Step(**values, result=to_scene(row["result"]) if row["result"] else None)


def _to_video(value: Row) -> RenderedVideo:
    files = {name: StoredFile(**value[name]) for name in ("video", "poster", "storyboard")}
    chapters = tuple(Chapter(**chapter) for chapter in value["chapters"])
    renditions = tuple(Rendition(**{**each, "file": StoredFile(**each["file"])}) for each in value["renditions"])
    files |= {name: StoredFile(**value[name]) for name in _OPTIONAL_FILES if value.get(name)}
    stills = tuple((index, _to_still(still)) for index, still in value.get("stills", ()))
    return RenderedVideo(
        **{**value, **files, "chapters": chapters, "renditions": renditions, "stills": stills},
    )


def _to_failure(value: Row) -> RenderFailure:
    return RenderFailure(**{**value, "stage": Stage(value["stage"]), "log": tuple(value.get("log", ()))})

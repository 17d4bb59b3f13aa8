"""The line of text under a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.video_render.adapters.manim import markup
from services.video_render.adapters.manim.layout import Box
from services.video_render.adapters.manim.mobjects import Typeset
from services.video_render.adapters.manim.themes import Type

if TYPE_CHECKING:
    from services.video_render.adapters.manim.templates.base import StoryScene

_HIGHEST, _GAP = 1.0, 0.3


def reserve(scene: StoryScene[Any], source: str) -> tuple[Typeset | None, Box]:
    """Set a caption at the bottom of the scene's area and register it; returns it and the area that is left."""
    area = scene.area
    if not source.strip():
        return None, area
    body = f"#set align(center)\n{markup.inline(source, scene.accent)}"
    fitted = scene.fit(body, area.width, _HIGHEST, Type.CAPTION, balance=True, color=scene.theme.muted)
    height = fitted.typeset.logical_height
    caption = fitted.typeset.place(area.center[0] - fitted.typeset.logical_width / 2, area.bottom + height)
    scene.block("the caption", caption, fitted.em)
    return caption, Box(area.left, area.right, area.bottom + height + _GAP, area.top)

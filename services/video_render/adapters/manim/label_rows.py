"""Labels beside one another in a row: each near to where it belongs, none on another, wrapped where room is short."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.video_render.adapters.manim.layout import Box
from services.video_render.adapters.manim.mobjects import Typeset
from services.video_render.adapters.manim.spreading import spread
from services.video_render.adapters.manim.themes import Type

if TYPE_CHECKING:
    from services.video_render.adapters.manim.templates.base import StoryScene

_GAP = 0.25


@dataclass(slots=True)
class RowLabel:
    """A label, what it belongs to (by position), and where that is."""

    index: int
    x: float
    text: Typeset
    em: float
    color: str


def set_row(
    scene: StoryScene[Any], entries: Sequence[tuple[int, float, str, str]], area: Box, height: float
) -> list[RowLabel]:
    """Labels of (position, x, trusted markup, colour), from left to right, that fit the area's width together.

    Short ones stay on one line; long ones share the rest of the width and wrap.
    """
    ordered = sorted(entries, key=lambda entry: (entry[1], entry[0]))
    natural = [scene.typeset(source, Type.LABEL).logical_width for _, _, source, _ in ordered]
    widest = _cap(natural, area.width - _GAP * (len(ordered) - 1))
    row: list[RowLabel] = []
    for (index, x, source, color), width in zip(ordered, natural, strict=True):
        if width <= widest + 1e-6:
            fitted = scene.fit(source, width + 0.02, height, Type.LABEL, wrap=False, color=color)
        else:
            body = f"#set align(center)\n{source}"
            fitted = scene.fit(body, widest, height, Type.LABEL, balance=True, color=color)
        row.append(RowLabel(index, x, fitted.typeset, fitted.em, color))
    return row


def _cap(widths: Sequence[float], room: float) -> float:
    """The largest width to which all have to be limited so that they fit the room together."""
    left, count = room, len(widths)
    for width in sorted(widths):
        if width * count >= left:
            return left / count
        left, count = left - width, count - 1
    return max(widths, default=0.0)


def place(row: Sequence[RowLabel], top: float, area: Box) -> None:
    """Put a row under a height, each label as near to its x as the others allow."""
    widths = [label.text.logical_width for label in row]
    middles = spread([label.x for label in row], widths, area.left, area.right, _GAP)
    for label, middle in zip(row, middles, strict=True):
        label.text.place(middle - label.text.logical_width / 2, top)

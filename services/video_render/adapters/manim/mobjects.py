"""Typeset text, mathematics and pictures as Manim mobjects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Self

import numpy as np
from manim import Rectangle, VGroup, VMobject

from services.video_render.adapters.manim.typesetter import Outline, Page

_STROKE_PER_UNIT = 100.0
"""Manim strokes are hundredths of a scene unit."""


class Typeset(VGroup):
    """A compiled page. The page's top left corner starts at the origin and moves with `place`.

    Outlines of the same colour and label are one mobject: a line of text costs as much as a single shape to animate.
    With `by_glyph` every glyph is its own mobject, for animations that write.
    """

    def __init__(self, page: Page, *, by_glyph: bool = False) -> None:
        super().__init__()
        self.page = page
        self.labels: list[str] = []
        for label, outlines in _pieces(page.outlines, by_glyph):
            self.add(_shape(outlines))
            self.labels.append(label)
        self._left, self._top, self._scale = 0.0, 0.0, 1.0

    @property
    def logical_width(self) -> float:
        """Width of the page, which may be wider than its ink (scene units)."""
        return self.page.width * self._scale

    @property
    def logical_height(self) -> float:
        """Height of the page from ascender to descender (scene units)."""
        return self.page.height * self._scale

    @property
    def top(self) -> float:
        """Where the page's top edge was placed (scene units)."""
        return self._top

    def place(self, left: float, top: float) -> Self:
        """Move the page's top left corner."""
        self.shift(np.array([left - self._left, top - self._top, 0.0]))
        self._left, self._top = left, top
        return self

    def place_center(self, x: float, y: float) -> Self:
        """Move the page's middle."""
        return self.place(x - self.logical_width / 2, y + self.logical_height / 2)

    def shrink(self, factor: float) -> Self:
        """Scale about the page's top left corner."""
        for part in self.submobjects:
            part.set_stroke(width=part.get_stroke_width() * factor)
        self.scale(factor, about_point=np.array([self._left, self._top, 0.0]))
        self._scale *= factor
        return self

    def part(self, label: str) -> VGroup:
        """The mobjects under one Typst label, in drawing order; empty when there are none."""
        return VGroup(*(mob for mob, name in zip(self.submobjects, self.labels, strict=True) if name == label))

    def runs(self, counts: Sequence[int]) -> list[VGroup]:
        """Consecutive runs of mobjects of the given lengths."""
        groups: list[VGroup] = []
        start = 0
        for count in counts:
            groups.append(VGroup(*self.submobjects[start : start + count]))
            start += count
        return groups


class Bitmap:
    """Pixels that are never changed: rows of premultiplied BGRA bytes. Copies of a mobject share them."""

    def __init__(self, pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        self.pixels = np.ascontiguousarray(pixels)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class Picture(Rectangle):
    """A raster picture. The painter stretches its bitmap over the rectangle; the fill's opacity is the picture's.

    Plain Manim, which knows no such mobject, draws the rectangle in `color`.
    """

    def __init__(self, bitmap: Bitmap, width: float, height: float, color: str) -> None:
        super().__init__(width=width, height=height, stroke_width=0, fill_color=color, fill_opacity=1.0)
        self.bitmap = bitmap


def _pieces(outlines: Sequence[Outline], by_glyph: bool) -> list[tuple[str, list[Outline]]]:
    if by_glyph:
        return [(outline.label, [outline]) for outline in outlines]
    look: Callable[[Outline], tuple[str | None, str | None, float, str]] = lambda outline: (  # noqa: E731
        outline.fill, outline.stroke, outline.stroke_width, outline.label
    )  # fmt: skip
    return [(key[3], list(run)) for key, run in groupby(outlines, look)]


def _shape(outlines: Sequence[Outline]) -> VMobject:
    first = outlines[0]
    shape = VMobject(
        fill_color=first.fill or "#000000",
        fill_opacity=1.0 if first.fill else 0.0,
        stroke_color=first.stroke or first.fill or "#000000",
        stroke_opacity=1.0 if first.stroke else 0.0,
        stroke_width=first.stroke_width * _STROKE_PER_UNIT if first.stroke else 0.0,
    )
    shape.set_points(np.concatenate([outline.points for outline in outlines]))
    return shape

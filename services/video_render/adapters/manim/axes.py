"""Axes for plots and charts: round tick values, labels by Typst, a grid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from manim import DashedLine, Line, VGroup

from services.video_render.adapters.manim.layout import Box
from services.video_render.adapters.manim.mobjects import Typeset
from services.video_render.adapters.manim.themes import Type

if TYPE_CHECKING:
    from services.video_render.adapters.manim.templates.base import StoryScene

_X_LABEL_DROP = 0.3
_Y_LABEL_GAP = 0.24


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values to scene coordinates along one direction."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The coordinate of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: float, high: float, wanted: int) -> list[float]:
    """Round values inside an interval, 1, 2 or 5 times a power of ten apart, about `wanted` of them."""
    raw = (high - low) / max(wanted, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = min((power * factor for factor in (1, 2, 5, 10)), key=lambda value: abs(math.log(value / raw)))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def number(value: float) -> str:
    """A tick value as people write it: no trailing zeros, a true minus, powers of ten for the very large."""
    if value and (abs(value) >= 1e6 or abs(value) < 1e-3):
        mantissa, exponent = f"{value:.2e}".split("e")
        mantissa = mantissa.rstrip("0").rstrip(".")
        head = "" if mantissa == "1" else f"{mantissa} times "
        return f"${head}10^({int(exponent)})$".replace("-", "minus ")
    text = f"{value:,.6g}" if abs(value) >= 10_000 else f"{value:.6g}"
    return '#"' + text.replace("-", "\N{MINUS SIGN}") + '"'


@dataclass(frozen=True, slots=True)
class Axes:
    """Two scales over a box, and what is drawn of them."""

    box: Box
    x: Scale
    y: Scale
    grid: VGroup
    frame: VGroup
    labels: VGroup

    def __call__(self, x: float, y: float) -> tuple[float, float, float]:
        """Where a point of the plane lies in the scene."""
        return self.x(x), self.y(y), 0.0

    @property
    def drawing(self) -> VGroup:
        """Everything that is drawn."""
        return VGroup(self.grid, self.frame, self.labels)


def axes(
    scene: StoryScene[Any], room: Box, x: tuple[float, float], y: tuple[float, float], *, equal_units: bool = False
) -> Axes:
    """Axes for ranges of x and y in a room that holds their labels, too.

    With `equal_units` a unit is as long on both axes: one of the ranges is widened.
    """
    bottom, top, right = room.bottom + _X_LABEL_DROP + 0.2, room.top - 0.12, room.right - 0.12
    left = room.left + 0.9
    for _ in range(3 if equal_units else 1):
        if equal_units:
            unit = min((right - left) / (x[1] - x[0]), (top - bottom) / (y[1] - y[0]))
            x, y = _widened(x, (right - left) / unit), _widened(y, (top - bottom) / unit)
        y_ticks = ticks(*y, max(2, min(6, round((top - bottom) / 0.6))))
        y_labels = [tick_label(scene, number(value)) for value in y_ticks]
        left = room.left + max((float(label.width) for label in y_labels), default=0.0) + _Y_LABEL_GAP
    box = Box(left, right, bottom, top)
    across, up = Scale(*x, left, right), Scale(*y, bottom, top)
    x_ticks, x_labels = _x_labels(scene, across)
    for value, label in zip(x_ticks, x_labels, strict=True):
        label.move_to((across(value), bottom - _X_LABEL_DROP, 0))
    for value, label in zip(y_ticks, y_labels, strict=True):
        label.move_to((left - _Y_LABEL_GAP + 0.06 - label.width / 2, up(value), 0))
    grid = grid_lines(scene, box, [across(value) for value in x_ticks], [up(value) for value in y_ticks])
    zero_y, zero_x = up(min(max(0.0, y[0]), y[1])), across(min(max(0.0, x[0]), x[1]))
    frame = VGroup(axis_line(scene, (left, zero_y), (right, zero_y)), axis_line(scene, (zero_x, bottom), (zero_x, top)))
    return Axes(box, across, up, grid, frame, VGroup(*x_labels, *y_labels))


def _widened(bounds: tuple[float, float], extent: float) -> tuple[float, float]:
    """A range with the same middle, at least so long."""
    middle = (bounds[0] + bounds[1]) / 2
    half = float(max(extent, bounds[1] - bounds[0])) / 2
    return middle - half, middle + half


def _x_labels(scene: StoryScene[Any], scale: Scale) -> tuple[list[float], list[Typeset]]:
    """As many ticks as have room for their labels beside one another."""
    most = max(1, min(8, round((scale.end - scale.start) / 0.9)))
    for wanted in range(most, 0, -1):
        values = ticks(scale.low, scale.high, wanted)
        labels = [tick_label(scene, number(value)) for value in values]
        ends = [
            (scale(value) - label.width / 2, scale(value) + label.width / 2)
            for value, label in zip(values, labels, strict=True)
        ]
        if all(after[0] - before[1] > 0.15 for before, after in pairwise(ends)):
            break
    return values, labels


def grid_lines(scene: StoryScene[Any], box: Box, xs: list[float], ys: list[float]) -> VGroup:
    """Faint lines at tick positions."""
    style: dict[str, Any] = {"color": scene.theme.rule, "stroke_width": 1.5, "stroke_opacity": 0.45}
    lines = VGroup()
    lines.add(*(Line((x, box.bottom, 0), (x, box.top, 0), **style) for x in xs))
    lines.add(*(Line((box.left, y, 0), (box.right, y, 0), **style) for y in ys))
    return lines


def axis_line(scene: StoryScene[Any], start: tuple[float, float], end: tuple[float, float]) -> Line:
    """A plain axis."""
    return Line((*start, 0), (*end, 0), color=scene.theme.muted, stroke_width=3)


def guide(scene: StoryScene[Any], start: tuple[float, float], end: tuple[float, float]) -> DashedLine:
    """A dashed helper line."""
    return DashedLine((*start, 0), (*end, 0), color=scene.theme.muted, stroke_width=2)


def tick_label(scene: StoryScene[Any], source: str, em: float = Type.LABEL * 0.9) -> Typeset:
    """A label in the muted colour; `source` is trusted markup."""
    return scene.typeset(source, em, color=scene.theme.muted)

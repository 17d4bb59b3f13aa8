"""Axes for plots and charts: round tick values, labels by Typst, a grid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from manim import DashedLine, Line, VGroup

from services.video_render.adapters.manim.layout import Box
from services.video_render.adapters.manim.mobjects import Typeset
from services.video_render.adapters.manim.templates.base import StoryScene
from services.video_render.adapters.manim.themes import Type


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
    step = next((power * factor for factor in (1, 2, 5) if power * factor >= raw * 0.999), power * 10)
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

"""What a function plot shows beside its curves: shaded areas, tangents, points that move."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from manim import Circle, Line, VGroup, VMobject

from services.video_render.adapters.manim import curves
from services.video_render.adapters.manim.axes import Axes
from services.video_render.adapters.manim.curves import Values
from services.video_render.domain import expression
from services.video_render.domain.storyboard import Interval

AREA_SAMPLES = 240
AREA_OPACITY = 0.4
_TANGENT_REACH = 2.6
_DOT_RADIUS = 0.11

Function = Callable[[float], float]
"""x to y; NaN where there is no value."""


def function(source: str) -> Function:
    """An expression as a function that never raises."""
    parsed = expression.parse(source)
    return lambda x: expression.evaluate(parsed, x)


def slope(f: Function, x: float, over: Interval) -> float:
    """The slope of a function by a central difference, one-sided at the ends of its range; NaN where it has none."""
    step = 1e-5 * (over.max - over.min)
    low, high = max(x - step, over.min), min(x + step, over.max)
    rise = f(high) - f(low)
    if not math.isfinite(f(x)) or not math.isfinite(rise):
        return math.nan
    found = rise / (high - low)
    wide, narrow = _bend(f, x, step), _bend(f, x, step / 8)
    # The slopes on both sides of a place come together as the sides come closer, but for a corner or a jump.
    corner = narrow > 0.5 * wide and narrow > 1e-6 * (1.0 + abs(found))
    return math.nan if corner and over.min < x < over.max else found


def _bend(f: Function, x: float, step: float) -> float:
    """The difference of the slopes at both sides of a place; 0 where there is no slope at one."""
    bend = abs(f(x + step) - 2 * f(x) + f(x - step)) / step
    return bend if math.isfinite(bend) else 0.0


@dataclass(slots=True)
class Area:
    """The area between two functions over a range, cut at the edges of the plot; it is uncovered from the left."""

    shape: VMobject
    xs: Values
    upper: Values
    lower: Values

    @classmethod
    def between(cls, first: Function, second: Function, over: Interval, axes: Axes, color: str) -> Area:
        """The area in scene coordinates; nothing where one of the functions has no value."""
        values = np.linspace(over.min, over.max, AREA_SAMPLES + 1)
        sides = [
            np.array([axes.y(min(max(f(float(x)), axes.y.low), axes.y.high)) for x in values]) for f in (first, second)
        ]
        shape = VMobject(stroke_width=0.0, fill_color=color, fill_opacity=AREA_OPACITY)
        area = cls(shape, np.array([axes.x(float(x)) for x in values]), sides[0], sides[1])
        area.put(math.inf)
        return area

    def put(self, x: float) -> None:
        """Show it from its left end to a scene coordinate."""
        outlines = [self._outline(run) for run in self._runs(x)]
        self.shape.set_points(np.concatenate(outlines) if outlines else np.zeros((0, 3)))

    def _runs(self, until: float) -> list[slice]:
        """Consecutive samples at which both functions have values."""
        fits = np.isfinite(self.upper) & np.isfinite(self.lower) & (self.xs <= until)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], fits.astype(int), [0]])))
        return [
            slice(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True) if end - start > 1
        ]

    def _outline(self, run: slice) -> Values:
        there = np.stack([self.xs[run], self.upper[run]], axis=1)
        back = np.stack([self.xs[run], self.lower[run]], axis=1)[::-1]
        return curves.line(np.concatenate([there, back, there[:1]]))

    def place_for(self, width: float, height: float) -> tuple[float, float] | None:
        """A middle at which a label of this size lies inside, the roomiest; None when there is none."""
        low, high = np.minimum(self.upper, self.lower), np.maximum(self.upper, self.lower)
        best, found = 0.0, None
        for middle in self.xs:
            left, right = float(middle - width / 2 - self.xs[0]), float(self.xs[-1] - middle - width / 2)
            if left < 0 or right < 0:
                continue
            under = (self.xs >= middle - width / 2) & (self.xs <= middle + width / 2)
            bottom, top = float(low[under].max()), float(high[under].min())
            spare = min(top - bottom - height, 2 * left, 2 * right)
            if spare > best:
                best, found = spare, (float(middle), (bottom + top) / 2)
        return found


class Touch(VGroup):
    """A dot on a curve, and the line that touches the curve there."""

    def __init__(self, f: Function, over: Interval, axes: Axes, colors: tuple[str, str], with_line: bool) -> None:
        super().__init__()
        self._f, self._over, self._axes = f, over, axes
        self.line = Line(color=colors[1], stroke_width=4.5)
        self.dot = Circle(radius=_DOT_RADIUS, stroke_width=0).set_fill(colors[0], opacity=1.0)
        self._with_line = with_line
        if with_line:
            self.add(self.line)
        self.add(self.dot)

    def put(self, x: float) -> None:
        """Move to an x; invisible where the curve is not in the plot."""
        axes, y = self._axes, self._f(x)
        inside = math.isfinite(y) and axes.y.low <= y <= axes.y.high
        self.dot.set_fill(opacity=1.0 if inside else 0.0)
        if inside:
            self.dot.move_to(axes(x, y))
        if self._with_line:
            ends = self._ends(x, y) if inside else None
            self.line.set_stroke(opacity=1.0 if ends else 0.0)
            if ends:
                self.line.set_points_by_ends(*ends)

    def _ends(self, x: float, y: float) -> tuple[tuple[float, float, float], tuple[float, float, float]] | None:
        """The ends of the tangent: equally far to both sides, as far as the plot reaches."""
        axes, rise = self._axes, slope(self._f, x, self._over)
        if not math.isfinite(rise):
            return None
        unit_x = (axes.x.end - axes.x.start) / (axes.x.high - axes.x.low)
        unit_y = (axes.y.end - axes.y.start) / (axes.y.high - axes.y.low)
        reach = _TANGENT_REACH / math.hypot(unit_x, rise * unit_y)
        start, end = (x - reach, y - rise * reach), (x + reach, y + rise * reach)
        cut = curves.clip(start, end, axes)
        if cut is None:
            return None
        one, two = ((start[0] + c * (end[0] - start[0]), start[1] + c * (end[1] - start[1])) for c in cut)
        return axes(*one), axes(*two)

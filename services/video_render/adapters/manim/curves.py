"""Curves in a plot: sampled, cut at gaps and at the edges, drawn as their parameter runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from manim import Animation, Circle, VGroup, VMobject
from manim.constants import CapStyleType, LineJointType
from manim.utils.rate_functions import ease_in_out_sine

from services.video_render.adapters.manim.axes import Axes
from services.video_render.domain import expression
from services.video_render.domain.storyboard import Interval

Values = np.ndarray[Any, np.dtype[np.float64]]
_WIDTH = 6.0


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a curve without a gap: parameters and scene coordinates of its corners."""

    parameters: Values
    corners: Values


def sample(source: str, over: Interval, count: int, variable: str = "x") -> tuple[Values, Values]:
    """Parameters and values of an expression; NaN where it has none."""
    function = expression.parse(source, variable)
    parameters = np.linspace(over.min, over.max, count + 1)
    return parameters, np.array([expression.evaluate(function, float(value)) for value in parameters])


def fit_range(curves: Sequence[Values]) -> Interval:
    """A range that shows the values: everything, unless poles make that useless."""
    values = np.concatenate([ys[np.isfinite(ys)] for ys in curves])
    values = np.clip(values, -1e12, 1e12)
    if not len(values):
        return Interval(-1.0, 1.0)
    low, high = float(values.min()), float(values.max())
    inner_low, inner_high = (float(v) for v in np.percentile(values, (6, 94)))
    spread = max(inner_high - inner_low, 1e-9)
    if high - low > 12 * spread:
        low, high = inner_low - 0.6 * spread, inner_high + 0.6 * spread
    if high - low < 1e-9 * max(1.0, abs(high)):
        margin = max(abs(high), 1.0)
        return Interval(low - margin, high + margin)
    margin = 0.08 * (high - low)
    low = 0.0 if 0 <= low < 0.25 * (high - low) else low
    high = 0.0 if 0 >= high > -0.25 * (high - low) else high
    return Interval(low - margin * (low != 0.0), high + margin * (high != 0.0))


def pieces(parameters: Values, xs: Values, ys: Values, axes: Axes) -> list[Piece]:
    """The visible parts of a curve through data points: cut at poles, gaps and exactly at the edges of the plot."""
    return [Piece(np.array(run[0]), np.array(run[1])) for run in _runs(parameters, xs, ys, axes)]


def _runs(
    parameters: Values, xs: Values, ys: Values, axes: Axes
) -> Iterator[tuple[list[float], list[tuple[float, float]]]]:
    far = 2 * max(axes.y.high - axes.y.low, 1e-300), 2 * max(axes.x.high - axes.x.low, 1e-300)
    times: list[float] = []
    corners: list[tuple[float, float]] = []
    rows = list(zip(parameters.tolist(), xs.tolist(), ys.tolist(), strict=True))
    for (t0, x0, y0), (t1, x1, y1) in pairwise(rows):
        joined = math.isfinite(x0 + y0 + x1 + y1) and abs(y1 - y0) < far[0] and abs(x1 - x0) < far[1]
        cut = clip((x0, y0), (x1, y1), axes) if joined else None
        if cut is None or cut[0] > 0.0:
            if len(corners) > 1:
                yield times, corners
            times, corners = [], []
        if cut is None:
            continue
        for share in cut if not corners else cut[1:]:
            times.append(t0 + share * (t1 - t0))
            corners.append((axes.x(x0 + share * (x1 - x0)), axes.y(y0 + share * (y1 - y0))))
        if cut[1] < 1.0:
            yield times, corners
            times, corners = [], []
    if len(corners) > 1:
        yield times, corners


def clip(start: tuple[float, float], end: tuple[float, float], axes: Axes) -> tuple[float, float] | None:
    """Which part of a line (shares from 0 to 1) lies in the plot; None when none does."""
    enter, leave = 0.0, 1.0
    for begin, finish, low, high in (
        (start[0], end[0], axes.x.low, axes.x.high),
        (start[1], end[1], axes.y.low, axes.y.high),
    ):
        step = finish - begin
        if step == 0.0:
            if not low <= begin <= high:
                return None
            continue
        one, two = (low - begin) / step, (high - begin) / step
        enter, leave = max(enter, min(one, two)), min(leave, max(one, two))
    return (enter, leave) if leave > enter else None


def line(corners: Values) -> Values:
    """Straight lines through corners as cubic curves."""
    points = np.zeros((4 * (len(corners) - 1), 3))
    for row, share in enumerate((0.0, 1 / 3, 2 / 3, 1.0)):
        points[row::4, :2] = corners[:-1] + share * (corners[1:] - corners[:-1])
    return points


def drawing(parts: Sequence[Piece], color: str) -> VGroup:
    """A curve as mobjects, one for each piece."""
    group = VGroup()
    for piece in parts:
        path = VMobject(
            stroke_color=color,
            stroke_width=_WIDTH,
            fill_opacity=0.0,
            joint_type=LineJointType.ROUND,
            cap_style=CapStyleType.ROUND,
        )
        group.add(path.set_points(line(piece.corners)))
    return group


class Trace(Animation):
    """Draws a curve as its parameter runs, with a dot at its end while it does."""

    def __init__(self, curve: VGroup, parts: Sequence[Piece], over: Interval, head: str = "", **kwargs: Any) -> None:
        self._parts = parts
        self._over = over
        self._paths = list(curve)
        self._head = Circle(radius=0.1, stroke_width=0, fill_opacity=0.0)
        if head:
            self._head.set_color(head).set_stroke(width=0)
            curve.add(self._head)
        self._has_head = bool(head)
        super().__init__(curve, introducer=True, **{"rate_func": ease_in_out_sine, **kwargs})

    def create_starting_mobject(self) -> VMobject:
        """Nothing is interpolated from a copy."""
        return VMobject()

    def interpolate_mobject(self, alpha: float) -> None:
        """Manim's hook."""
        share = float(self.rate_func(alpha))
        now = self._over.min + share * (self._over.max - self._over.min)
        at = None
        for piece, path in zip(self._parts, self._paths, strict=True):
            drawn = _until(piece, now if share < 1.0 else math.inf)
            path.set_points(line(drawn) if len(drawn) > 1 else np.zeros((0, 3)))
            if len(drawn) > 1 and now <= piece.parameters[-1]:
                at = drawn[-1]
        if self._has_head:
            visible = at is not None and 0.0 < share < 1.0
            self._head.set_fill(opacity=1.0 if visible else 0.0)
            if at is not None:
                self._head.move_to((*at, 0.0))


def _until(piece: Piece, now: float) -> Values:
    """The corners of a piece up to a parameter, the last one between two samples."""
    times, corners = piece.parameters, piece.corners
    count = int(np.searchsorted(times, now, side="right"))
    if count == 0 or count == len(times):
        return corners[:count]
    share = (now - times[count - 1]) / max(times[count] - times[count - 1], 1e-300)
    last = corners[count - 1] + share * (corners[count] - corners[count - 1])
    return np.append(corners[:count], last[None], axis=0)


class Run(Animation):
    """Takes a mobject along a range of values; `put` places it at one."""

    def __init__(
        self, mobject: VMobject, put: Callable[[float], None], start: float, end: float, **kwargs: Any
    ) -> None:
        self._put, self._start, self._end = put, start, end
        super().__init__(mobject, **{"rate_func": ease_in_out_sine, **kwargs})

    def create_starting_mobject(self) -> VMobject:
        """Nothing is interpolated from a copy."""
        return VMobject()

    def interpolate_mobject(self, alpha: float) -> None:
        """Manim's hook."""
        self._put(self._start + float(self.rate_func(alpha)) * (self._end - self._start))

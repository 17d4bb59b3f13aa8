"""Kinds of scenes that show functions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from services.video_render.domain import checks
from services.video_render.domain.checks import Interval
from services.video_render.domain.violations import Violation

MAX_FUNCTIONS = 4
MAX_EXTRAS = 4
_USUAL_X = Interval(-5.0, 5.0)
_ONE_TURN = Interval(0.0, math.tau)


@dataclass(frozen=True, slots=True)
class PlotFunction:
    """A function of x (`expression`, see `domain.expression`) and how the legend calls it."""

    expression: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class ShadedArea:
    """The area over `x` between a function (by position) and another one, or the x axis."""

    x: Interval
    function: int = 0
    to_function: int | None = None
    label: str = ""


@dataclass(frozen=True, slots=True)
class Tangent:
    """The line that touches a function's graph at `x`."""

    function: int = 0
    x: float = 0.0


@dataclass(frozen=True, slots=True)
class MovingPoint:
    """A point that runs along a function's graph, with its tangent if wanted."""

    function: int = 0
    start: float = 0.0
    end: float = 0.0
    tangent: bool = False


@dataclass(frozen=True, slots=True)
class FunctionPlot:
    """Graphs of functions of x over one range; `y` is fitted to the curves when it is absent."""

    functions: tuple[PlotFunction, ...]
    x: Interval = _USUAL_X
    y: Interval | None = None
    caption: str = ""
    areas: tuple[ShadedArea, ...] = ()
    tangents: tuple[Tangent, ...] = ()
    moving_points: tuple[MovingPoint, ...] = ()

    def violations(self, path: str) -> Iterator[Violation]:
        """Broken rules."""
        yield from checks.count(self.functions, f"{path}.functions", MAX_FUNCTIONS)
        for index, function in enumerate(self.functions):
            yield from checks.function(function.expression, f"{path}.functions[{index}].expression")
            yield from checks.text(function.label, f"{path}.functions[{index}].label", checks.MAX_LABEL, required=False)
        yield from checks.interval(self.x, f"{path}.x")
        if self.y is not None:
            yield from checks.interval(self.y, f"{path}.y")
        yield from checks.text(self.caption, f"{path}.caption", checks.MAX_CAPTION, required=False)
        yield from self._areas(path)
        yield from self._points(path)

    def _areas(self, path: str) -> Iterator[Violation]:
        yield from checks.count(self.areas, f"{path}.areas", MAX_EXTRAS, least=0)
        for index, area in enumerate(self.areas):
            where = f"{path}.areas[{index}]"
            yield from self._function(area.function, f"{where}.function")
            if area.to_function is not None:
                yield from self._function(area.to_function, f"{where}.to_function")
            yield from checks.within(area.x, self.x, f"{where}.x")
            yield from checks.text(area.label, f"{where}.label", checks.MAX_SHORT_LABEL, required=False)

    def _points(self, path: str) -> Iterator[Violation]:
        yield from checks.count(self.tangents, f"{path}.tangents", MAX_EXTRAS, least=0)
        for index, tangent in enumerate(self.tangents):
            where = f"{path}.tangents[{index}]"
            yield from self._function(tangent.function, f"{where}.function")
            yield from checks.inside(tangent.x, self.x, f"{where}.x")
        yield from checks.count(self.moving_points, f"{path}.moving_points", MAX_EXTRAS, least=0)
        for index, point in enumerate(self.moving_points):
            where = f"{path}.moving_points[{index}]"
            yield from self._function(point.function, f"{where}.function")
            yield from checks.inside(point.start, self.x, f"{where}.start")
            yield from checks.inside(point.end, self.x, f"{where}.end")
            if point.start == point.end:
                yield Violation(f"{where}.end", "must differ from start")

    def _function(self, position: int, path: str) -> Iterator[Violation]:
        if not 0 <= position < len(self.functions):
            yield Violation(path, f"must be between 0 and {max(len(self.functions) - 1, 0)}")


@dataclass(frozen=True, slots=True)
class ParametricCurve:
    """A curve given by two functions of t, and how the legend calls it."""

    x: str
    y: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class ParametricPlot:
    """Curves given by functions of t; ranges that are absent are fitted. Units are equally long unless `stretch`."""

    curves: tuple[ParametricCurve, ...]
    t: Interval = _ONE_TURN
    x: Interval | None = None
    y: Interval | None = None
    caption: str = ""
    stretch: bool = False

    def violations(self, path: str) -> Iterator[Violation]:
        """Broken rules."""
        yield from checks.count(self.curves, f"{path}.curves", MAX_FUNCTIONS)
        for index, curve in enumerate(self.curves):
            where = f"{path}.curves[{index}]"
            yield from checks.function(curve.x, f"{where}.x", "t")
            yield from checks.function(curve.y, f"{where}.y", "t")
            yield from checks.text(curve.label, f"{where}.label", checks.MAX_LABEL, required=False)
        for name, bounds in (("t", self.t), ("x", self.x), ("y", self.y)):
            if bounds is not None:
                yield from checks.interval(bounds, f"{path}.{name}")
        yield from checks.text(self.caption, f"{path}.caption", checks.MAX_CAPTION, required=False)

"""Graphs of functions of x."""

from __future__ import annotations

import math

import numpy as np
from manim import FadeIn, VMobject

from services.video_render.adapters.manim import axes, curves, legend, markup
from services.video_render.adapters.manim.mobjects import Typeset
from services.video_render.adapters.manim.templates.plot_marks import AREA_OPACITY, Area, Touch, function, slope
from services.video_render.adapters.manim.templates.plotting import PlotScene
from services.video_render.adapters.manim.themes import Type
from services.video_render.domain import expression, storyboard

SAMPLES = 600


class FunctionPlotScene(PlotScene[storyboard.FunctionPlot]):
    """Axes with a grid, the curves drawn one after the other, then areas, tangents and moving points."""

    kind = storyboard.FunctionPlot

    def compose(self) -> None:
        """Sample the functions, reserve caption and legend, then draw into the rest."""
        content = self.content
        self.functions = [function(each.expression) for each in content.functions]
        samples = [curves.sample(each.expression, content.x, SAMPLES) for each in content.functions]
        if not any(np.isfinite(ys).any() for _, ys in samples):
            self.warn("no function has a value in this range")
        self.reserve_caption(content.caption)
        self.y = content.y or self._fit(samples)
        self._place_areas(self.y)
        self.parts = [curves.pieces(xs, xs, ys, self.axes) for xs, ys in samples]
        self.curves = [curves.drawing(parts, self._color(index)) for index, parts in enumerate(self.parts)]
        self.tangents = [self._touch(each.function, each.x, True, self.theme.text) for each in content.tangents]
        self.points = [
            self._touch(each.function, each.start, each.tangent, self._color(each.function + 1))
            for each in content.moving_points
        ]
        shapes = [area.shape for area in self.areas]
        labels = [label for label in self.area_labels.values() if label is not None]
        self.register(*shapes, *self.curves, *labels, *self.tangents, *self.points)

    def perform(self) -> None:
        """Axes, then curve by curve with its entry in the legend, then what there is beside them."""
        content = self.content
        for area in self.areas:
            area.put(-math.inf)
        self.show_axes()
        marks = len(content.areas) + len(content.tangents) + 2 * len(content.moving_points)
        left = self.spec.duration_s - 4.0 - 1.2 * marks
        seconds = min(max(left / len(self.curves), 1.0), 2.2)
        entries = iter(self.legend.group)
        for curve, parts in zip(self.curves, self.parts, strict=True):
            self.play(curves.Trace(curve, parts, content.x), FadeIn(next(entries)), run_time=seconds)
        for index, area in enumerate(self.areas):
            self._uncover(area, self.area_labels[index] if index in self.area_labels else next(entries))
        for touch in self.tangents:
            self.appear(touch, next(entries))
        for touch, point in zip(self.points, content.moving_points, strict=True):
            self.appear(touch)
            self.play(curves.Run(touch, touch.put, point.start, point.end), run_time=3.0)
        self.show_caption()

    # -- parts -------------------------------------------------------------------------------------

    def _color(self, index: int) -> str:
        return self.theme.accents[index % 4]

    def _fit(self, samples: list[tuple[curves.Values, curves.Values]]) -> storyboard.Interval:
        """The range of y: that of the curves, and of the axis where an area reaches to it."""
        bounds = curves.fit_range([ys for _, ys in samples])
        if all(area.to_function is not None for area in self.content.areas):
            return bounds
        return storyboard.Interval(min(bounds.min, 0.0), max(bounds.max, 0.0))

    def _place_areas(self, y: storyboard.Interval) -> None:
        """The axes and the areas. An area's label stands inside; where it does not fit, it goes to the legend."""
        content = self.content
        names: dict[int, Typeset | None] = {}
        for index, area in enumerate(content.areas):
            body = markup.inline(area.label, self.accent)
            names[index] = self.fit(body, 3.0, 0.8, Type.CAPTION, wrap=False).typeset if area.label.strip() else None
        self.place_axes(self._entries(set()), content.x, y)
        # With every label in the legend the plot is at its narrowest: what fits then, fits.
        found = {index: self._spot(self._area(index), name) for index, name in names.items() if name is not None}
        inside = {index for index, name in names.items() if name is None or found[index] is not None}
        self.place_axes(self._entries(inside), content.x, y)
        self.areas = [self._area(index) for index in range(len(content.areas))]
        self.area_labels = {index: names[index] for index in inside}
        for index, name in self.area_labels.items():
            if name is not None:
                name.move_to((*(self._spot(self.areas[index], name) or self.axes.box.center), 0.0))

    def _spot(self, area: Area, label: Typeset) -> tuple[float, float] | None:
        return area.place_for(label.width + 0.2, label.height + 0.2)

    def _entries(self, inside: set[int]) -> list[legend.Entry]:
        """Functions, then areas but for those with their label `inside`, then tangents with their slopes."""
        content = self.content
        entries = []
        for index, each in enumerate(content.functions):
            color = self._color(index)
            math_source = markup.math_inline(expression.pretty(each.expression))
            source = markup.inline(each.label, color) if each.label else math_source
            entries.append(legend.Entry(legend.stroke(color), source, wraps=bool(each.label)))
        for index, area in enumerate(content.areas):
            if index not in inside:
                symbol = legend.swatch(self._area_color(index), AREA_OPACITY)
                entries.append(legend.Entry(symbol, markup.inline(area.label, self.accent)))
        for tangent in content.tangents:
            rise = slope(self.functions[tangent.function], tangent.x, content.x)
            level = abs(rise) < 1e-6 * (self.y.max - self.y.min) / (content.x.max - content.x.min)
            source = f"$m =$ {_rounded(0.0 if level else rise)}"
            if len(content.tangents) > 1:
                source = f"$x =$ {_rounded(tangent.x)}: {source}"
            entries.append(legend.Entry(legend.stroke(self.theme.text, 4.5), source, wraps=False))
        return entries

    def _area_color(self, index: int) -> str:
        return self._color(len(self.content.functions) + index)

    def _area(self, index: int) -> Area:
        area = self.content.areas[index]
        first = self.functions[area.function]
        second = self.functions[area.to_function] if area.to_function is not None else lambda _: 0.0
        return Area.between(first, second, area.x, self.axes, self._area_color(index))

    def _touch(self, index: int, x: float, with_line: bool, color: str) -> Touch:
        colors = self._color(index), color
        touch = Touch(self.functions[index], self.content.x, self.axes, colors, with_line)
        touch.put(x)
        return touch

    def _uncover(self, area: Area, label: VMobject | None) -> None:
        """From left to right, as the area under a curve is summed up."""
        run = curves.Run(area.shape, area.put, float(area.xs[0]), float(area.xs[-1]) + 1e-6, run_time=1.4)
        self.play(run, *([FadeIn(label, run_time=1.4)] if label is not None else []))


def _rounded(value: float) -> str:
    """A number with four digits as markup; a dash where there is none."""
    return axes.number(float(f"{value:.4g}")) if math.isfinite(value) else '#"\N{EN DASH}"'

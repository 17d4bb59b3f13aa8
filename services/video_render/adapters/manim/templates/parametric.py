"""Curves given by two functions of t."""

from __future__ import annotations

import numpy as np
from manim import FadeIn

from services.video_render.adapters.manim import curves, legend, markup
from services.video_render.adapters.manim.templates.plotting import PlotScene
from services.video_render.domain import expression, storyboard

SAMPLES = 1200


class ParametricPlotScene(PlotScene[storyboard.ParametricPlot]):
    """Axes with a grid, and each curve drawn by a point that runs along it."""

    kind = storyboard.ParametricPlot

    def compose(self) -> None:
        """Sample the curves, reserve caption and legend, then draw into the rest."""
        content = self.content
        xs = [curves.sample(curve.x, content.t, SAMPLES, "t") for curve in content.curves]
        ys = [curves.sample(curve.y, content.t, SAMPLES, "t")[1] for curve in content.curves]
        if not any(np.isfinite(x + y).any() for (_, x), y in zip(xs, ys, strict=True)):
            self.warn("no curve has a point in this range")
        x_range = content.x or _fit([x for _, x in xs])
        y_range = content.y or _fit(ys)
        self.reserve_caption(content.caption)
        self.place_axes(self._entries(), x_range, y_range, equal_units=not content.stretch)
        self.parts = [curves.pieces(t, x, y, self.axes) for (t, x), y in zip(xs, ys, strict=True)]
        self.curves = [curves.drawing(parts, self._color(index)) for index, parts in enumerate(self.parts)]
        self.register(*self.curves)

    def perform(self) -> None:
        """Axes, then curve by curve with its entry in the legend."""
        self.show_axes()
        seconds = min(max((self.spec.duration_s - 3.5) / len(self.curves), 1.5), 5.0)
        for curve, parts, entry in zip(self.curves, self.parts, self.legend.group, strict=True):
            trace = curves.Trace(curve, parts, self.content.t, head=self.theme.text)
            self.play(trace, FadeIn(entry), run_time=seconds)
        self.show_caption()

    def _color(self, index: int) -> str:
        return self.theme.accents[index % 4]

    def _entries(self) -> list[legend.Entry]:
        entries = []
        for index, curve in enumerate(self.content.curves):
            color = self._color(index)
            if curve.label:
                source = markup.inline(curve.label, color)
            else:
                lines = (expression.pretty(curve.x, "t", "x"), expression.pretty(curve.y, "t", "y"))
                source = "#set par(leading: 0.45em)\n" + " \\ ".join(markup.math_inline(line) for line in lines)
            entries.append(legend.Entry(legend.stroke(color), source, wraps=bool(curve.label)))
        return entries


def _fit(values: list[curves.Values]) -> storyboard.Interval:
    """The range of a coordinate, with a margin on both sides."""
    bounds = curves.fit_range(values)
    margin = 0.06 * (bounds.max - bounds.min)
    return storyboard.Interval(bounds.min - margin, bounds.max + margin)

"""Graphs of functions of x."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from manim import Create, FadeIn, Line, VGroup, VMobject
from manim.utils.rate_functions import ease_in_out_sine, ease_out_cubic

from services.video_render.adapters.manim import axes, layout, markup
from services.video_render.adapters.manim.templates.base import Fitted, StoryScene
from services.video_render.adapters.manim.themes import Type
from services.video_render.domain import expression, storyboard

SAMPLES = 480
Values = np.ndarray[tuple[int], np.dtype[np.float64]]


class FunctionPlotScene(StoryScene[storyboard.FunctionPlot]):
    """Axes with a grid, the curves drawn one after the other, a legend, an optional caption."""

    kind = storyboard.FunctionPlot

    def compose(self) -> None:
        """Reserve caption and legend, then give the rest to the axes."""
        content = self.content
        self.samples = [_sample(function.expression, content.x) for function in content.functions]
        if not any(np.isfinite(ys).any() for _, ys in self.samples):
            self.warn("no function has a value in this range")
        y_range = content.y or _fit_range([ys for _, ys in self.samples])
        area = self._reserve_caption(content.caption)
        self.legend = self._legend(content)
        room = area.height - 0.3
        if self.legend.height > room:
            self.legend_em *= room / self.legend.height
            self.legend.scale(room / self.legend.height)
        box = layout.Box(area.left + 0.75, area.right - self.legend.width - 0.55, area.bottom + 0.5, area.top - 0.1)
        self._draw_axes(box, content.x, y_range)
        self.curves = [
            _curve(xs, ys, self.x, self.y, self.theme.accents[index % 4]) for index, (xs, ys) in enumerate(self.samples)
        ]
        self.legend.move_to((area.right - self.legend.width / 2, box.top - self.legend.height / 2 - 0.1, 0))
        self.block("the plot", VGroup(self.grid, self.frame, self.labels, *self.curves), Type.LABEL * 0.9)
        self.block("the legend", self.legend, self.legend_em)

    def perform(self) -> None:
        """Axes, then curve by curve with its entry in the legend."""
        self.play(FadeIn(self.grid), Create(self.frame), FadeIn(self.labels), run_time=1.0, rate_func=ease_out_cubic)
        seconds = min(max((self.spec.duration_s - 4.0) / len(self.curves), 1.0), 2.2)
        for curve, entry in zip(self.curves, self.legend, strict=True):
            drawing = [Create(part) for part in curve] if len(curve) == 1 else [Create(curve, lag_ratio=1.0)]
            self.play(*drawing, FadeIn(entry), run_time=seconds, rate_func=ease_in_out_sine)
        if self.caption is not None:
            self.appear(self.caption)

    def _reserve_caption(self, source: str) -> layout.Box:
        area = self.area
        self.caption = None
        if not source:
            return area
        body = f"#set align(center)\n{markup.inline(source, self.accent)}"
        fitted = self.fit(body, area.width, 1.0, Type.CAPTION, balance=True, color=self.theme.muted)
        self.caption = fitted.typeset.place(
            -fitted.typeset.logical_width / 2, area.bottom + fitted.typeset.logical_height
        )
        self.block("the caption", self.caption, fitted.em)
        return layout.Box(area.left, area.right, area.bottom + fitted.typeset.logical_height + 0.15, area.top)

    def _legend(self, content: storyboard.FunctionPlot) -> VGroup:
        """A stroke and the function's name per curve, one under the other."""
        entries = VGroup()
        self.legend_em = Type.CAPTION
        for index, function in enumerate(content.functions):
            color = self.theme.accents[index % 4]
            name = function.label or expression.pretty(function.expression)
            source = markup.inline(name, color) if function.label else markup.math_inline(name)
            fitted = self._legend_text(source, wrap=bool(function.label))
            self.legend_em = min(self.legend_em, fitted.em)
            text = fitted.typeset
            stroke = Line((0, 0, 0), (0.45, 0, 0), color=color, stroke_width=7)
            text.next_to(stroke, (1, 0, 0), buff=0.18)
            entries.add(VGroup(stroke, text))
        return entries.arrange((0, -1, 0), buff=0.3, aligned_edge=(-1, 0, 0))

    def _legend_text(self, source: str, wrap: bool) -> Fitted:
        """A legend entry: words wrap, formulas shrink."""
        width = 2.9
        single = self.fit(source, width, 1.2, Type.CAPTION, wrap=False)
        if single.em == Type.CAPTION or not wrap:
            return single
        return self.fit(source, width, 1.2, Type.CAPTION, balance=True)

    def _draw_axes(self, box: layout.Box, x: storyboard.Interval, y: storyboard.Interval) -> None:
        self.x = axes.Scale(x.min, x.max, box.left, box.right)
        self.y = axes.Scale(y.min, y.max, box.bottom, box.top)
        x_ticks, y_ticks = axes.ticks(x.min, x.max, 8), axes.ticks(y.min, y.max, 6)
        self.grid = axes.grid_lines(self, box, [self.x(v) for v in x_ticks], [self.y(v) for v in y_ticks])
        x_axis_y = self.y(min(max(0.0, y.min), y.max))
        y_axis_x = self.x(min(max(0.0, x.min), x.max))
        self.frame = VGroup(
            axes.axis_line(self, (box.left, x_axis_y), (box.right, x_axis_y)),
            axes.axis_line(self, (y_axis_x, box.bottom), (y_axis_x, box.top)),
        )
        self.labels = VGroup()
        for value in x_ticks:
            label = axes.tick_label(self, axes.number(value))
            self.labels.add(label.move_to((self.x(value), box.bottom - 0.3, 0)))
        for value in y_ticks:
            label = axes.tick_label(self, axes.number(value))
            self.labels.add(label.move_to((box.left - 0.18 - label.width / 2, self.y(value), 0)))


Sampled = tuple["Values", "Values"]


def _sample(source: str, x: storyboard.Interval) -> tuple[Values, Values]:
    function = expression.parse(source)
    xs = np.linspace(x.min, x.max, SAMPLES + 1)
    return xs, np.array([expression.evaluate(function, float(value)) for value in xs])


def _fit_range(curves: Sequence[Values]) -> storyboard.Interval:
    """A y range that shows the curves: everything, unless poles make that useless."""
    values = np.concatenate([ys[np.isfinite(ys)] for ys in curves])
    if not len(values):
        return storyboard.Interval(-1.0, 1.0)
    low, high = float(values.min()), float(values.max())
    inner_low, inner_high = (float(v) for v in np.percentile(values, (6, 94)))
    spread = max(inner_high - inner_low, 1e-9)
    if high - low > 12 * spread:
        low, high = inner_low - 0.6 * spread, inner_high + 0.6 * spread
    if high - low < 1e-9 * max(1.0, abs(high)):
        margin = max(abs(high), 1.0)
        return storyboard.Interval(low - margin, high + margin)
    margin = 0.08 * (high - low)
    low = 0.0 if 0 <= low < 0.25 * (high - low) else low
    high = 0.0 if 0 >= high > -0.25 * (high - low) else high
    return storyboard.Interval(low - margin * (low != 0.0), high + margin * (high != 0.0))


def _curve(
    xs: Values,
    ys: Values,
    x: axes.Scale,
    y: axes.Scale,
    color: str,
) -> VGroup:
    """The visible pieces of a curve: cut at poles, gaps and the edges of the plot."""
    pieces = VGroup()
    for points in _visible_pieces(xs, ys, y):
        piece = VMobject(stroke_color=color, stroke_width=6, fill_opacity=0.0)
        corners = [(x(px), y(py), 0.0) for px, py in points]
        piece.set_points_smoothly(corners) if len(corners) > 2 else piece.set_points_as_corners(corners)
        pieces.add(piece)
    return pieces


def _visible_pieces(
    xs: Values,
    ys: Values,
    y: axes.Scale,
) -> Iterator[list[tuple[float, float]]]:
    """Runs of points inside the y range; where a run enters or leaves, it is cut exactly at the edge."""
    run: list[tuple[float, float]] = []
    height = y.high - y.low
    for at in range(len(xs)):
        here = (float(xs[at]), float(ys[at]))
        before = (float(xs[at - 1]), float(ys[at - 1])) if at else (math.nan, math.nan)
        inside = math.isfinite(here[1]) and y.low <= here[1] <= y.high
        joined = math.isfinite(here[1]) and math.isfinite(before[1]) and abs(here[1] - before[1]) < 2 * height
        was_inside = bool(run)
        if inside:
            if not was_inside and joined:
                run.append(_cut(before, here, y))
            run.append(here)
        if was_inside and (not inside or not joined):
            kept, run = run, [here] if inside else []
            if inside:
                kept.pop()
            elif joined:
                kept.append(_cut(kept[-1], here, y))
            if len(kept) > 1:
                yield kept
    if len(run) > 1:
        yield run


def _cut(start: tuple[float, float], end: tuple[float, float], y: axes.Scale) -> tuple[float, float]:
    """Where the line between a point inside and a point outside crosses the edge of the plot."""
    outside = end if not y.low <= end[1] <= y.high else start
    edge = y.high if outside[1] > y.high else y.low
    share = (edge - start[1]) / (end[1] - start[1])
    return start[0] + share * (end[0] - start[0]), edge

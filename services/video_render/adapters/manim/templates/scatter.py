"""Points by two variables, or by three with their size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from manim import Circle, Create, FadeIn, GrowFromCenter, LaggedStart, VGroup, VMobject
from manim.utils.rate_functions import ease_out_cubic

from services.video_render.adapters.manim import axes, captions, curves, figures, legend, markup
from services.video_render.adapters.manim.layout import Box
from services.video_render.adapters.manim.templates.base import StoryScene
from services.video_render.adapters.manim.themes import Type
from services.video_render.domain import storyboard

_LARGEST, _SMALLEST, _USUAL = 0.34, 0.05, 0.09
_KEY_WIDTH = 2.3
_BATCHES = 12


class ScatterChartScene(StoryScene[storyboard.ScatterChart]):
    """Axes with their names, the series one after the other, a straight line through each if wanted."""

    kind = storyboard.ScatterChart

    def compose(self) -> None:
        """Caption below, series above, sizes at the right, axes in the rest."""
        content = self.content
        self.caption, area = captions.reserve(self, content.caption)
        area = self._place_header(area)
        area, names = self._reserve_axis_names(area)
        area = self._place_size_key(area)
        points = [point for series in content.series for point in series.points]
        x = _range([point.x for point in points], 0.08)
        y = _range([point.y for point in points], 0.12)
        self.axes = axes.axes(self, area, x, y)
        self._place_axis_names(area, names)
        self.series = [self._dots(index) for index in range(len(content.series))]
        self.lines = [self._trend(index) for index in range(len(content.series))] if content.trend else []
        drawn = [*self.series, *(line for line in self.lines if line is not None)]
        self.block("the chart", VGroup(self.axes.drawing, *drawn), Type.LABEL * 0.9)

    def perform(self) -> None:
        """Axes, then the series, then the lines through them."""
        self.play(
            FadeIn(VGroup(self.axes.drawing, *self.names)), FadeIn(self.key), FadeIn(self.header.group),
            run_time=0.8, rate_func=ease_out_cubic,
        )  # fmt: skip
        rest = self.spread(self.series, 1.2)
        for index, dots in enumerate(self.series):
            size = math.ceil(len(dots) / _BATCHES)
            batches = [VGroup(*dots[start : start + size]) for start in range(0, len(dots), size)]
            self.play(LaggedStart(*(GrowFromCenter(batch) for batch in batches), lag_ratio=0.3), run_time=1.2)
            line = self.lines[index] if self.lines else None
            if line is not None:
                self.play(Create(line), run_time=1.0)
            self.wait_frames(min(rest, 1.0))
        if self.caption is not None:
            self.appear(self.caption)

    # -- around the axes ---------------------------------------------------------------------------

    def _place_header(self, area: Box) -> Box:
        """The names of the series at the top: beside the name of the y axis, or over it when both are long."""
        named = [(index, series.name) for index, series in enumerate(self.content.series) if series.name]
        entries = [
            legend.Entry(legend.dot(self.theme.accents[index % 4]), markup.inline(name, self.accent))
            for index, name in named
        ]
        self.header = legend.row(self, entries)
        group = self.header.group
        self.up_width, self.beside = area.width, 0.0
        if not len(group):
            return area
        beside = bool(self.content.y_label) and group.width < 0.55 * area.width
        x = area.right - group.width / 2 if beside else area.left + group.width / 2
        group.move_to((x, area.top - group.height / 2, 0))
        self.block("the legend", group, self.header.em)
        if beside:
            self.up_width, self.beside = area.width - group.width - 0.5, float(group.height)
            return area
        return Box(area.left, area.right, area.bottom, area.top - group.height - 0.2)

    def _place_size_key(self, area: Box) -> Box:
        """Circles of round sizes with their numbers, where sizes differ."""
        sizes = [point.size for series in self.content.series for point in series.points]
        self.largest = max(sizes)
        self.key = VGroup()
        self.differs = self.largest > 0 and min(sizes) < self.largest
        if not self.differs:
            return area
        em = Type.LABEL
        if self.content.size_label:
            body = markup.inline(self.content.size_label, self.accent)
            title = self.fit(body, _KEY_WIDTH, 1.4, Type.LABEL, balance=True, color=self.theme.muted)
            em = title.em
            self.key.add(title.typeset)
        for value in self._key_sizes():
            circle = Circle(radius=self._radius(value), stroke_width=0).set_fill(self.theme.muted, opacity=0.8)
            slot = VGroup(Circle(radius=_LARGEST, stroke_width=0, fill_opacity=0.0), circle)
            label = axes.tick_label(self, axes.number(value))
            self.key.add(VGroup(slot, label.next_to(slot, (1, 0, 0), buff=0.15)))
        self.key.arrange((0, -1, 0), buff=0.14, aligned_edge=(-1, 0, 0))
        left = area.right - self.key.width
        self.key.move_to((left + self.key.width / 2, area.top - 0.15 - self.key.height / 2, 0))
        self.block("the key of sizes", self.key, em)
        return Box(area.left, left - 0.4, area.bottom, area.top)

    def _key_sizes(self) -> list[float]:
        """Two or more round sizes up to the largest."""
        for wanted in range(2, 9):
            sizes = [value for value in axes.ticks(0.0, self.largest, wanted) if value > 0]
            if len(sizes) > 1:
                break
        return sizes[:4]

    def _radius(self, size: float) -> float:
        """Areas are in proportion to sizes."""
        if not self.differs:
            return _USUAL
        return max(_LARGEST * math.sqrt(size / self.largest), _SMALLEST)

    def _reserve_axis_names(self, area: Box) -> tuple[Box, list[VMobject | None]]:
        """Room for the names of the axes: that of y over the axes, that of x under them."""
        names: list[VMobject | None] = []
        top, bottom = area.top, area.bottom
        for source, width in ((self.content.y_label, self.up_width), (self.content.x_label, area.width)):
            if not source:
                names.append(None)
                continue
            body = markup.inline(source, self.accent)
            fitted = self.fit(body, width - 0.2, 0.7, Type.LABEL, balance=True, color=self.theme.muted)
            self.block(f"the name of the {'xy'[len(names) == 0]} axis", fitted.typeset, fitted.em)
            names.append(fitted.typeset)
            if len(names) == 1:
                top -= max(fitted.typeset.logical_height, self.beside) + 0.15
            else:
                bottom += fitted.typeset.logical_height + 0.1
        self.names = [name for name in names if name is not None]
        return Box(area.left, area.right, bottom, top), names

    def _place_axis_names(self, area: Box, names: Sequence[VMobject | None]) -> None:
        up, across = names
        area_left = self.area.left
        if up is not None:
            up.move_to((area_left + up.width / 2, area.top + 0.1 + max(up.height, self.beside) / 2, 0))
        if across is not None:
            half = across.width / 2
            middle = (self.axes.box.left + self.axes.box.right) / 2
            middle = max(min(middle, self.area.right - half), area_left + half)
            across.move_to((middle, area.bottom - 0.1 - across.height / 2, 0))

    # -- data --------------------------------------------------------------------------------------

    def _dots(self, index: int) -> VGroup:
        """The points of a series, large ones at the back."""
        points = sorted(self.content.series[index].points, key=lambda point: -point.size)
        dots = VGroup()
        for point in points:
            dot = Circle(radius=self._radius(point.size), stroke_width=1.5, stroke_color=self.theme.background)
            dots.add(dot.set_fill(self.theme.accents[index % 4], opacity=0.8).move_to(self.axes(point.x, point.y)))
        return dots

    def _trend(self, index: int) -> VMobject | None:
        """The straight line with the least squared distances; None where x does not vary."""
        points = self.content.series[index].points
        xs, ys = np.array([point.x for point in points]), np.array([point.y for point in points])
        spread = xs - xs.mean()
        if len(points) < 2 or not np.abs(spread).max() > 1e-9 * np.abs(xs).max():
            return None
        unit = np.abs(spread).max()
        rise = float((spread / unit * (ys - ys.mean())).sum() / ((spread / unit) ** 2).sum() / unit)
        ends = [(x, float(ys.mean()) + rise * (x - float(xs.mean()))) for x in (self.axes.x.low, self.axes.x.high)]
        cut = curves.clip(ends[0], ends[1], self.axes)
        if cut is None:
            return None
        start, end = (self.axes(*(a + share * (b - a) for a, b in zip(ends[0], ends[1], strict=True))) for share in cut)
        line = VMobject(stroke_color=self.theme.accents[index % 4], stroke_width=4.0, fill_opacity=0.0)
        return line.set_points(figures.dashes(complex(*start[:2]), complex(*end[:2])))


def _range(values: Sequence[float], margin: float) -> tuple[float, float]:
    """The range of values with a margin at both ends."""
    low, high = min(values), max(values)
    largest = max(abs(low), abs(high))
    if high - low <= 1e-9 * largest or high == low:
        return low - max(0.1 * largest, 1.0), high + max(0.1 * largest, 1.0)
    return low - margin * (high - low), high + margin * (high - low)

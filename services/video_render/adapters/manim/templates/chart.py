"""Bar, line and pie charts."""

from __future__ import annotations

from itertools import pairwise

from manim import (
    Create,
    Dot,
    FadeIn,
    GrowFromEdge,
    LaggedStart,
    Line,
    Rectangle,
    VGroup,
    VMobject,
)
from manim.utils.rate_functions import ease_in_out_sine, ease_out_cubic

from services.video_render.adapters.manim import axes, curves, layout, legend, markup
from services.video_render.adapters.manim.mobjects import Typeset
from services.video_render.adapters.manim.templates import pie
from services.video_render.adapters.manim.templates.base import StoryScene
from services.video_render.adapters.manim.themes import Type
from services.video_render.domain import storyboard

_UNDER_BARS = 0.11


class DataChartScene(StoryScene[storyboard.DataChart]):
    """Categories along the bottom, values up, one colour per series."""

    kind = storyboard.DataChart

    def compose(self) -> None:
        """Legend and unit above, then the chart."""
        content = self.content
        area = self.area
        self.header = legend.row(self, self._entries(content))
        group = self.header.group
        top = area.top
        if len(group):
            group.move_to((self.start_side(group.width) + group.width / 2, area.top - group.height / 2, 0))
            self.block("the legend", group, self.header.em)
            top -= group.height + 0.3
        if content.style is storyboard.ChartStyle.PIE:
            self.pie = pie.compose(self, layout.Box(area.left, area.right, area.bottom, top))
            self.block("the chart", VGroup(self.pie.slices), 0.0)
            for number, name in enumerate(pie.name_texts(self.pie), start=1):
                self.block(f"name {number}", name, self.pie.em if number == 1 else 0.0)
        else:
            self._compose_axes(content, layout.Box(area.left, area.right, area.bottom, top))

    def _compose_axes(self, content: storyboard.DataChart, area: layout.Box) -> None:
        """Values up the side, category names below, bars or lines between."""
        values = [value for series in content.series for value in series.values]
        low, high = min(0.0, *values), max(0.0, *values)
        if high == low:
            high = low + 1.0
        steps = axes.ticks(low, high + 0.08 * (high - low), 5)
        low, high = min(low, steps[0]), max(high, steps[-1])
        if low < 0:  # room for figures under the bars
            low = min(low, min(values) - _UNDER_BARS * (high - low))
        labels = [axes.tick_label(self, axes.number(value)) for value in steps]
        left = area.left + max(label.width for label in labels) + 0.3
        slot = (area.right - left) / len(content.categories)
        names = [self._category(name, slot) for name in content.categories]
        bottom = area.bottom + max(name.logical_height for name in names) + 0.15
        self.box = layout.Box(left, area.right, bottom, area.top - 0.3)
        self.y = axes.Scale(low, high, self.box.bottom, self.box.top)
        for label, value in zip(labels, steps, strict=True):
            label.move_to((left - 0.2 - label.width / 2, self.y(value), 0))
        for index, name in enumerate(names):
            name.place(left + slot * index + (slot - name.logical_width) / 2, bottom - 0.1)
        base = axes.axis_line(self, (left, self.y(0.0)), (area.right, self.y(0.0)))
        self.axes = VGroup(axes.grid_lines(self, self.box, [], [self.y(v) for v in steps]), base, *labels, *names)
        draw = self._bars if content.style is storyboard.ChartStyle.BAR else self._lines
        draw(content, slot)
        self.block("the chart", VGroup(self.axes, *self.marks, *self.values), self.smallest)

    def perform(self) -> None:
        """Axes, then the data, then the figures."""
        if self.content.style is storyboard.ChartStyle.PIE:
            self._perform_pie()
            return
        self.play(FadeIn(self.axes), FadeIn(self.header.group), run_time=0.8, rate_func=ease_out_cubic)
        content = self.content
        if content.style is storyboard.ChartStyle.BAR:
            growth = [GrowFromEdge(bar, (0, -1 if up else 1, 0)) for bar, up in zip(self.marks, self.up, strict=True)]
            self.play(LaggedStart(*growth, lag_ratio=0.12), run_time=1.8, rate_func=ease_out_cubic)
        else:
            self.play(*(Create(line) for line in self.marks), run_time=1.8, rate_func=ease_in_out_sine)
        if self.values:
            self.play(FadeIn(VGroup(*self.values)), run_time=0.5)

    def _perform_pie(self) -> None:
        """The pie opens clockwise, then the names appear in turn."""
        if len(self.header.group):
            self.appear(self.header.group)
        self.pie.put(0.0)
        self.play(curves.Run(self.pie.slices, self.pie.put, 0.0, 1.0), run_time=1.6)
        self.appear(*self.pie.names, seconds=min(0.6 + 0.25 * len(self.pie.names), 2.5), lag=0.5)

    def _entries(self, content: storyboard.DataChart) -> list[legend.Entry]:
        """The unit and, with named series, a legend; the name of a pie's only series is its title."""
        entries = []
        if content.unit:
            entries.append(legend.Entry(None, markup.inline(content.unit, self.accent), muted=True))
        is_pie = content.style is storyboard.ChartStyle.PIE
        for index, series in enumerate(content.series):
            if series.name:
                symbol = None if is_pie else legend.swatch(self.theme.accents[index % 4])
                entries.append(legend.Entry(symbol, markup.inline(series.name, self.accent)))
        return entries

    def _category(self, name: str, slot: float) -> Typeset:
        source = f"#set align(center)\n{markup.inline(name, self.accent)}"
        width = slot * 0.96
        fitted = self.fit(source, width, 1.1, Type.LABEL)
        self.smallest = min(getattr(self, "smallest", Type.LABEL), fitted.em)
        return fitted.typeset

    def _bars(self, content: storyboard.DataChart, slot: float) -> None:
        """A group of bars per category, rounded a little, with the value at the end."""
        count = len(content.series)
        thickness = min(slot * 0.72 / count, 1.5)
        self.marks: list[VMobject] = []
        self.values: list[VMobject] = []
        self.up: list[bool] = []
        for at in range(len(content.categories)):
            middle = self.box.left + slot * (at + 0.5)
            for index, series in enumerate(content.series):
                x = middle + (index - (count - 1) / 2) * thickness
                self._bar(x, thickness * 0.92, series.values[at], self.theme.accents[index % 4])

    def _bar(self, x: float, thickness: float, value: float, color: str) -> None:
        zero, end = self.y(0.0), self.y(value)
        height = max(abs(end - zero), 0.02)
        bar = Rectangle(width=thickness, height=height, stroke_width=0).set_fill(color, opacity=1.0)
        up = value >= 0
        bar.move_to((x, zero + height / 2 if up else zero - height / 2, 0))
        self.marks.append(bar)
        self.up.append(up)
        figure = self.typeset(axes.number(value), Type.LABEL * 0.92)
        if figure.width <= thickness * 1.15:
            offset = 0.08 + figure.height / 2
            self.values.append(figure.move_to((x, end + offset if up else end - offset, 0)))

    def _lines(self, content: storyboard.DataChart, slot: float) -> None:
        """A line with dots per series."""
        self.marks = []
        self.values = []
        self.up = []
        for index, series in enumerate(content.series):
            color = self.theme.accents[index % 4]
            points = [(self.box.left + slot * (at + 0.5), self.y(value), 0.0) for at, value in enumerate(series.values)]
            drawing = VGroup(*(Line(a, b, color=color, stroke_width=6) for a, b in pairwise(points)))
            drawing.add(*(Dot(point, radius=0.09, color=color) for point in points))
            self.marks.append(drawing)

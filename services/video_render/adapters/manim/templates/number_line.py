"""Numbers, intervals and jumps on a line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from manim import Create, FadeIn, GrowFromCenter, Line, VGroup, VMobject
from manim.utils.rate_functions import ease_in_out_sine, ease_out_cubic

from services.video_render.adapters.manim import axes, captions, label_rows, layout, markup, number_line_marks
from services.video_render.adapters.manim.label_rows import RowLabel
from services.video_render.adapters.manim.mobjects import Typeset
from services.video_render.adapters.manim.templates.base import StoryScene
from services.video_render.adapters.manim.themes import Type
from services.video_render.domain import storyboard

_LANE = 0.34
_TICKS = 0.62
_LEADER = 0.3
_GAP = 0.2
_ARCS_LEAST, _ARCS_MOST = 0.7, 1.9
_TALLEST = {"jumps": 1.2, "points": 1.7, "intervals": 1.2}


@dataclass(slots=True)
class _Rows:
    """Labels of jumps over the line, of points and of intervals under it."""

    jumps: list[RowLabel]
    points: list[RowLabel]
    intervals: list[RowLabel]


class NumberLineScene(StoryScene[storyboard.NumberLine]):
    """The line with its ticks, then intervals, points and jumps in turn."""

    kind = storyboard.NumberLine

    def compose(self) -> None:
        """From top to bottom: labels of jumps, arcs, the line, numbers, labels of points, labels of intervals."""
        content = self.content
        self.caption, area = captions.reserve(self, content.caption)
        self.scale = axes.Scale(content.range.min, content.range.max, area.left + 0.5, area.right - 0.5)
        self.lanes = _lanes(content.intervals)
        rows = self._set_rows(area)
        lanes = _LANE * max(self.lanes, default=0)
        arcs, total = self._heights(rows, area, lanes)
        top = area.center[1] + total / 2
        above = max((row.text.logical_height for row in rows.jumps), default=0.0)
        self.y = top - (above + 0.12 if above else 0.0) - arcs - lanes - 0.15
        self._draw_line(area)
        self.dots = [self._dot(point.value) for point in content.points]
        self.bars = [self._bar(index) for index in range(len(content.intervals))]
        self.block("the line", VGroup(self.line, self.ticks, *self.tick_labels, *self.dots, *self.bars), Type.LABEL)
        self._place_rows(rows, area)
        self._draw_jumps(rows.jumps, area, self.y + 0.14, arcs + lanes)

    def perform(self) -> None:
        """The line, then what is on it."""
        self.play(
            Create(self.line), FadeIn(self.ticks), FadeIn(VGroup(*self.tick_labels)), run_time=1.0,
            rate_func=ease_out_cubic,
        )  # fmt: skip
        rest = min(self.spread([*self.bars, *self.dots, *self.jumps], 0.8), 1.5)
        for bar, label in zip(self.bars, self.interval_labels, strict=True):
            self.play(FadeIn(bar), *([FadeIn(label)] if label is not None else []), run_time=0.8)
            self.wait_frames(rest)
        for dot, label in zip(self.dots, self.point_labels, strict=True):
            self.play(GrowFromCenter(dot), *([FadeIn(label)] if label is not None else []), run_time=0.6)
            self.wait_frames(rest)
        for jump, label in zip(self.jumps, self.jump_labels, strict=True):
            self.play(Create(jump.arc), run_time=0.8, rate_func=ease_in_out_sine)
            self.play(FadeIn(jump.tip), *([FadeIn(label)] if label is not None else []), run_time=0.3)
            self.wait_frames(rest)
        if self.caption is not None:
            self.appear(self.caption)

    # -- heights -----------------------------------------------------------------------------------

    def _set_rows(self, area: layout.Box) -> _Rows:
        """The labels, as tall as there is room for at most."""
        content = self.content
        self.named_ticks = _tick_values(content, self.scale)
        sources = {
            "jumps": [
                (index, (jump.start + jump.end) / 2, jump.label)
                for index, jump in enumerate(content.jumps)
                if jump.label
            ],
            "points": [
                (index, point.value, point.label)
                for index, point in enumerate(content.points)
                if point.label or not self._is_named(point.value)
            ],
            "intervals": [
                (index, (part.range.min + part.range.max) / 2, part.label)
                for index, part in enumerate(content.intervals)
                if part.label
            ],
        }
        wanted = sum(_TALLEST[name] for name, found in sources.items() if found)
        fixed = _TICKS + _LEADER + 3 * _GAP + _LANE * max(self.lanes, default=0) + 0.3
        room = area.height - fixed - (_ARCS_LEAST if content.jumps else 0.0)
        share = min(1.0, room / wanted) if wanted else 1.0
        found = {}
        for name, labels in sources.items():
            entries = [
                (index, self.scale(value), self._label_source(value, label), self._color(name, index))
                for index, value, label in labels
            ]
            found[name] = label_rows.set_row(self, entries, area, _TALLEST[name] * share)
        return _Rows(**found)

    def _label_source(self, value: float, label: str) -> str:
        return markup.inline(label, self.accent) if label else axes.number(value)

    def _heights(self, rows: _Rows, area: layout.Box, lanes: float) -> tuple[float, float]:
        """The height of the arcs and of everything together."""
        below = _TICKS
        for row, space in ((rows.points, _LEADER), (rows.intervals, _GAP)):
            below += max((label.text.logical_height + space for label in row), default=0.0)
        above = max((label.text.logical_height + 0.12 for label in rows.jumps), default=0.0)
        rest = area.height - below - above - lanes - 0.3
        arcs = min(max(rest * 0.6, _ARCS_LEAST), _ARCS_MOST) if self.content.jumps else 0.0
        return arcs, below + above + lanes + arcs + 0.3

    # -- parts -------------------------------------------------------------------------------------

    def _color(self, kind: str, index: int) -> str:
        """Points in the first accent; intervals and jumps in the others by turns."""
        first = {"points": 0, "intervals": 1, "jumps": 1 + len(self.content.intervals)}[kind]
        return self.theme.accents[0 if kind == "points" else (first + index) % 4]

    def _is_named(self, value: float) -> bool:
        """Whether there is a tick with a number there."""
        span = self.content.range.max - self.content.range.min
        return any(abs(value - tick) < 1e-9 * span for tick in self.named_ticks)

    def _draw_line(self, area: layout.Box) -> None:
        self.line = number_line_marks.line(area.left + 0.1, area.right - 0.1, self.y, self.theme.muted)
        self.ticks = VGroup()
        for value in _all_ticks(self.content):
            x, half = self.scale(value), 0.13 if self._is_named(value) else 0.08
            self.ticks.add(Line((x, self.y - half, 0), (x, self.y + half, 0), color=self.theme.muted, stroke_width=3))
        self.tick_labels: list[Typeset] = []
        points = [point.value for point in self.content.points]
        span = self.content.range.max - self.content.range.min
        for value in self.named_ticks:
            marked = any(abs(value - point) < 1e-9 * span for point in points)
            color = self._color("points", 0) if marked else self.theme.muted
            label = self.typeset(axes.number(value), Type.LABEL, color=color)
            self.tick_labels.append(label.place_center(self.scale(value), self.y - 0.42))

    def _dot(self, value: float) -> VMobject:
        return number_line_marks.end(self.scale(value), self.y, self._color("points", 0), self.theme.background, False)

    def _bar(self, index: int) -> VGroup:
        part = self.content.intervals[index]
        y = self.y + _LANE * self.lanes[index]
        ends = (self.scale(part.range.min), part.open_min), (self.scale(part.range.max), part.open_max)
        return number_line_marks.bar(*ends, y, self.y, self._color("intervals", index), self.theme.background)

    def _place_rows(self, rows: _Rows, area: layout.Box) -> None:
        """Labels under the numbers: those of points with lines to their points, then those of intervals."""
        top = self.y - _TICKS
        self.point_labels: list[VGroup | None] = [None] * len(self.content.points)
        self.interval_labels: list[VGroup | None] = [None] * len(self.content.intervals)
        if rows.points:
            label_rows.place(rows.points, top - _LEADER, area)
            for label in rows.points:
                leader = self._leader(label, top)
                self.point_labels[label.index] = VGroup(leader, label.text)
                self.block(f"the label of point {label.index + 1}", label.text, self._once(label.em))
            top -= _LEADER + max(label.text.logical_height for label in rows.points)
        label_rows.place(rows.intervals, top - (_GAP if rows.points else 0.0), area)
        for label in rows.intervals:
            self.interval_labels[label.index] = VGroup(label.text)
            self.block(f"the label of interval {label.index + 1}", label.text, self._once(label.em))

    def _once(self, em: float) -> float:
        """The size of a label for the layout check; 0 when one that is as small has been registered."""
        known = min((block.em for block in self.blocks if block.em and "label" in block.name), default=math.inf)
        return em if em < known - 1e-6 else 0.0

    def _leader(self, label: RowLabel, top: float) -> VMobject:
        """From the point, or from under the number in the way, to its label."""
        free = all(abs(tick.get_center()[0] - label.x) > tick.width / 2 + 0.06 for tick in self.tick_labels)
        start = self.y - 0.16 if free else top + 0.02
        return number_line_marks.leader(label, start, top, label.text.get_top()[1], self.theme.rule)

    def _draw_jumps(self, rows: list[RowLabel], area: layout.Box, base: float, height: float) -> None:
        content = self.content
        heights = number_line_marks.heights([(jump.start, jump.end) for jump in content.jumps])
        self.jumps = [
            number_line_marks.jump(
                self.scale(jump.start), self.scale(jump.end), base, height * share, self._color("jumps", index)
            )
            for index, (jump, share) in enumerate(zip(content.jumps, heights, strict=True))
        ]
        self.jump_labels: list[VGroup | None] = [None] * len(content.jumps)
        leaders = number_line_marks.place_over_arcs(rows, self.jumps, area, base + height + 0.12)
        for label, leader in zip(rows, leaders, strict=True):
            self.jump_labels[label.index] = VGroup(leader, label.text)
            self.block(f"the label of jump {label.index + 1}", label.text, self._once(label.em))


def _lanes(intervals: Sequence[storyboard.NumberLineInterval]) -> list[int]:
    """On which lane each interval lies so that none covers another: 0 is the line itself."""
    lanes: list[int] = []
    for index, part in enumerate(intervals):
        taken = {
            lanes[other]
            for other in range(index)
            if intervals[other].range.min <= part.range.max and part.range.min <= intervals[other].range.max
        }
        lanes.append(next(lane for lane in range(len(intervals)) if lane not in taken))
    return lanes


def _all_ticks(content: storyboard.NumberLine) -> list[float]:
    """Where there are ticks."""
    low, high = content.range.min, content.range.max
    if not content.step:
        return axes.ticks(low, high, 10)
    first, last = math.ceil(low / content.step - 1e-9), math.floor(high / content.step + 1e-9)
    return [number * content.step for number in range(first, last + 1)]


def _tick_values(content: storyboard.NumberLine, scale: axes.Scale) -> list[float]:
    """The ticks that have a number: as many as there is room for, evenly, with that at 0 where there is one."""
    values = _all_ticks(content)
    widest = max((len(axes.number(value).strip('#"$')) for value in values), default=1) * Type.LABEL * 0.56 + 0.25
    pitch = abs(scale(values[1]) - scale(values[0])) if len(values) > 1 else widest
    every = next(number for number in (1, 2, 5, 10, 20, 50) if number * pitch >= widest or number == 50)
    zero = next((at for at, value in enumerate(values) if abs(value) < 1e-12 * max(abs(values[-1]), 1.0)), 0)
    return [value for at, value in enumerate(values) if (at - zero) % every == 0]

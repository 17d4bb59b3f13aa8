"""What stands on a number line: bars, dots, arcs, and the lines that lead to their labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from manim import Circle, Line, VGroup, VMobject
from manim.constants import CapStyleType

from services.video_render.adapters.manim import figures, label_rows
from services.video_render.adapters.manim.label_rows import RowLabel
from services.video_render.adapters.manim.layout import Box, measure

_END = 0.12
_TIP = 0.2
_CLEAR = 0.06


@dataclass(frozen=True, slots=True)
class Jump:
    """An arc with an arrow head, and its highest place."""

    arc: VMobject
    tip: VMobject
    apex: tuple[float, float]


def line(left: float, right: float, y: float, color: str) -> VGroup:
    """The line, with arrow heads where it goes on."""
    group = VGroup(Line((left, y, 0), (right, y, 0), color=color, stroke_width=4))
    for x, way in ((left, -1), (right, 1)):
        tip = VMobject(stroke_width=0.0, fill_color=color, fill_opacity=1.0)
        corners = np.array(
            [complex(x + way * 0.1, y), complex(x - way * 0.1, y + 0.1), complex(x - way * 0.1, y - 0.1)]
        )
        group.add(tip.set_points(figures.polyline(np.append(corners, corners[0]))))
    return group


def end(x: float, y: float, color: str, background: str, is_open: bool) -> VMobject:
    """A dot; a ring where the end of an interval is left out."""
    circle = Circle(radius=_END, stroke_width=4, stroke_color=color).move_to((x, y, 0))
    return circle.set_fill(background if is_open else color, opacity=1.0)


def bar(
    start: tuple[float, bool], finish: tuple[float, bool], y: float, line_y: float, color: str, background: str
) -> VGroup:
    """An interval from (x, open) to (x, open); thin lines go down to the number line when it lies higher."""
    group = VGroup()
    if y > line_y:
        group.add(*(Line((x, line_y, 0), (x, y, 0), color=color, stroke_width=2) for x, _ in (start, finish)))
    body = Line((start[0], y, 0), (finish[0], y, 0), color=color, stroke_width=11, stroke_opacity=0.75)
    return group.add(body, *(end(x, y, color, background, is_open) for x, is_open in (start, finish)))


def heights(jumps: Sequence[tuple[float, float]]) -> list[float]:
    """How high each arc goes, as a share of the highest: over those that it covers; else long ones higher."""
    spans = [(min(jump), max(jump)) for jump in jumps]
    found = [0] * len(jumps)
    for at in sorted(range(len(jumps)), key=lambda number: (spans[number][1] - spans[number][0], number)):
        low, high = spans[at]
        under = [found[other] for other, (a, b) in enumerate(spans) if found[other] and a < high and low < b]
        found[at] = 1 + max(under, default=0)
    most = max(found, default=1)
    if most > 1:
        return [level / most for level in found]
    longest = max((high - low for low, high in spans), default=1.0)
    return [0.35 + 0.65 * math.sqrt((high - low) / longest) for low, high in spans]


def jump(start: float, finish: float, base: float, height: float, color: str) -> Jump:
    """Half an ellipse from one x to another, with an arrow head where it lands."""
    middle, radius = (start + finish) / 2, abs(finish - start) / 2
    points = figures.arc(0j, 1.0, math.pi, -math.pi) if finish > start else figures.arc(0j, 1.0, 0.0, math.pi)
    tip_height = min(_TIP, height * 0.4)
    arc = VMobject(stroke_color=color, stroke_width=4.5, fill_opacity=0.0, cap_style=CapStyleType.BUTT)
    arc.set_points(points * (radius, height - tip_height, 0) + (middle, base + tip_height, 0))
    half = tip_height * 0.45
    corners = np.array(
        [
            complex(finish, base),
            complex(finish + half, base + tip_height),
            complex(finish - half, base + tip_height),
            complex(finish, base),
        ]
    )
    tip = VMobject(stroke_width=0.0, fill_color=color, fill_opacity=1.0).set_points(figures.polyline(corners))
    start_line = figures.polyline(np.array([complex(start, base), complex(start, base + tip_height)]))
    arc.set_points(np.concatenate([start_line, arc.points]))
    return Jump(arc, tip, (middle, base + height))


def leader(label: RowLabel, start: float, bend: float, end_y: float, color: str) -> VMobject:
    """From a point of the line straight down, then to its label."""
    box = measure(label.text)
    x = min(max(label.x, box.left + 0.08), max(box.right - 0.08, box.left + 0.08))
    corners = [complex(label.x, start), complex(label.x, bend), complex(x, end_y + 0.05)]
    path = VMobject(stroke_color=color, stroke_width=2.5, fill_opacity=0.0)
    return path.set_points(figures.polyline(np.array(corners)))


def place_over_arcs(row: Sequence[RowLabel], jumps: Sequence[Jump], area: Box, top: float) -> list[VMobject]:
    """Put labels on their arcs; when one would cover anything, all go over the arcs, with lines that lead to them."""
    for label in row:
        x, y = jumps[label.index].apex
        half = label.text.logical_width / 2
        x = min(max(x, area.left + half), area.right - half)
        label.text.place(x - half, y + 0.1 + label.text.logical_height)
    if not any(_covers(label, row, jumps, area) for label in row):
        return [VMobject() for _ in row]
    tallest = max(label.text.logical_height for label in row)
    label_rows.place(row, top + tallest, area)
    leaders = []
    for label in row:
        label.text.place(
            float(label.text.get_center()[0]) - label.text.logical_width / 2, top + label.text.logical_height
        )
        box, (x, y) = measure(label.text), jumps[label.index].apex
        end_x = min(max(x, box.left + 0.08), max(box.right - 0.08, box.left + 0.08))
        path = VMobject(stroke_color=label.color, stroke_width=2.0, stroke_opacity=0.7, fill_opacity=0.0)
        leaders.append(path.set_points(figures.polyline(np.array([complex(x, y), complex(end_x, box.bottom - 0.05)]))))
    return leaders


def _covers(label: RowLabel, row: Sequence[RowLabel], jumps: Sequence[Jump], area: Box) -> bool:
    """Whether a label lies on another one or on an arc."""
    box = measure(label.text)
    wide = Box(box.left - _CLEAR, box.right + _CLEAR, box.bottom - _CLEAR / 2, box.top + _CLEAR)
    if wide.top > area.top + _CLEAR or any(
        wide.overlap(measure(other.text)) > 0 for other in row if other is not label
    ):
        return True
    for each in jumps:
        points = each.arc.points
        samples = np.concatenate(
            [points[::4], points[3::4], (points[::4] + 3 * points[1::4] + 3 * points[2::4] + points[3::4]) / 8]
        )
        inside = (samples[:, 0] > wide.left) & (samples[:, 0] < wide.right)
        if (inside & (samples[:, 1] > wide.bottom) & (samples[:, 1] < wide.top)).any():
            return True
    return False

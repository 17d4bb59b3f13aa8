"""Mobjects of geometric figures that can be put into any pose; their labels stay upright and travel along."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from manim import Animation, VGroup, VMobject
from manim.constants import CapStyleType, LineJointType
from manim.utils.rate_functions import smooth, there_and_back

from services.video_render.adapters.manim import plane
from services.video_render.adapters.manim.layout import Box
from services.video_render.adapters.manim.mobjects import Typeset
from services.video_render.adapters.manim.plane import Places, Pose
from services.video_render.domain import storyboard as model

Points = np.ndarray[Any, np.dtype[np.float64]]

DOT_RADIUS = 0.09
MARK_RADIUS = 0.55
FILL = 0.3
_LINE, _OUTLINE, _MARK = 5.0, 4.5, 4.0
_TIP_LENGTH, _TIP_HALF_WIDTH = 0.3, 0.12
_DASH, _GAP = 0.16, 0.12


def points_of(places: np.ndarray[Any, Any]) -> Points:
    """Places as rows of x, y, z."""
    return np.stack([places.real, places.imag, np.zeros(len(places))], axis=1)


def polyline(corners: Places) -> Points:
    """Straight lines from corner to corner as cubic curves."""
    starts, ends = corners[:-1], corners[1:]
    shares = np.array([0.0, 1 / 3, 2 / 3, 1.0])
    return points_of((starts[:, None] + (ends - starts)[:, None] * shares).ravel())


def arc(center: complex, radius: float, start: float, sweep: float) -> Points:
    """A circular arc as cubic curves of at most an eighth of a turn each; angles in radians."""
    pieces = max(math.ceil(abs(sweep) / (math.pi / 4) - 1e-9), 1)
    step = sweep / pieces
    reach = 4 / 3 * math.tan(step / 4)
    corners = np.exp(1j * (start + step * np.arange(pieces + 1)))
    begin, end = corners[:-1], corners[1:]
    curves = np.stack([begin, begin * (1 + 1j * reach), end * (1 - 1j * reach), end], axis=1)
    return points_of(center + radius * curves.ravel())


def dashes(start: complex, end: complex) -> Points:
    """A straight line in dashes, beginning and ending with one."""
    length = abs(end - start)
    count = min(max(round((length + _GAP) / (_DASH + _GAP)), 1), 200)
    share = 1 / (count + (count - 1) * _GAP / _DASH)
    firsts = np.arange(count) * share * (1 + _GAP / _DASH)
    return np.concatenate([polyline(start + (end - start) * np.array([at, at + share])) for at in firsts])


class FigureDrawing(VGroup):
    """A figure as it is drawn. `put` takes it to a pose; `place_label` is where its label's middle goes then."""

    def __init__(self, figure: model.GeometryFigure, color: str, label: Typeset | None, layer: int) -> None:
        super().__init__()
        self.figure = figure
        self.label = label
        self.label_place: Callable[[Pose], complex] | None = None
        self.body = VMobject(
            stroke_color=color,
            stroke_width=0.0,
            fill_color=color,
            fill_opacity=0.0,
            joint_type=LineJointType.ROUND,
            cap_style=CapStyleType.ROUND,
        )
        self.extra = VMobject(stroke_width=0.0, fill_color=color, fill_opacity=0.0)
        self.add(self.extra, self.body)
        self.set_z_index(layer)
        if label is not None:
            middle = label.get_center()
            self._glyphs = [part.points - middle for part in label.submobjects]
            self.add(label.set_z_index(100 + layer))

    @property
    def label_size(self) -> complex:
        """Half the width and half the height of the label's ink; 0 without one."""
        return complex(self.label.width / 2, self.label.height / 2) if self.label is not None else 0j

    def put(self, pose: Pose, emphasis: float = 0.0) -> None:
        """Take on a pose on the frame; `emphasis` (0-1) makes it stand out."""
        figure = self.figure
        wide = 1 + 0.9 * emphasis
        if figure.point is not None:
            self.body.set_points(arc(pose(plane.place(figure.point)), DOT_RADIUS * (1 + emphasis), 0.0, math.tau))
            self.body.set_fill(opacity=1.0)
        elif figure.segment is not None:
            self._put_segment(figure.segment, pose)
            self.body.set_stroke(width=_LINE * wide)
        elif figure.angle is not None:
            self._put_angle(figure.angle, pose)
            self.body.set_stroke(width=_MARK * wide)
            self.extra.set_fill(opacity=(FILL + 0.3 * emphasis) * figure.filled)
        elif figure.text is None:
            self._put_closed(pose)
            self.body.set_stroke(width=_OUTLINE * wide)
            self.body.set_fill(opacity=(FILL + 0.3 * emphasis) * figure.filled)
        self._put_label(pose, 1 + 0.15 * emphasis if figure.text is not None else 1.0)

    def _put_closed(self, pose: Pose) -> None:
        if self.figure.circle is not None:
            radius = self.figure.circle.radius * abs(pose.factor)
            self.body.set_points(arc(pose(plane.place(self.figure.circle.center)), radius, 0.0, math.tau))
        else:
            corners = np.array([plane.place(corner) for corner in self.figure.positions()])
            self.body.set_points(polyline(pose(np.append(corners, corners[0]))))

    def _put_segment(self, segment: model.GeometrySegment, pose: Pose) -> None:
        start, end = pose(plane.place(segment.start)), pose(plane.place(segment.end))
        if segment.arrow:
            along = end - start
            direction = along / abs(along) if abs(along) else 1 + 0j
            length = min(_TIP_LENGTH, abs(along) * 0.6)
            base, side = end - direction * length, 1j * direction * length * _TIP_HALF_WIDTH / _TIP_LENGTH
            self.extra.set_points(polyline(np.array([end, base + side, base - side, end])))
            self.extra.set_fill(opacity=1.0)
            end = base + direction * length * 0.2
        self.body.set_points(dashes(start, end) if segment.dashed else polyline(np.array([start, end])))

    def _put_angle(self, angle: model.GeometryAngle, pose: Pose) -> None:
        vertex = pose(plane.place(angle.vertex))
        first, second = pose(plane.place(angle.first)) - vertex, pose(plane.place(angle.second)) - vertex
        radius = mark_radius(angle, pose)
        if angle.right:
            one, two = (ray / abs(ray) * radius * 0.62 if abs(ray) else 0j for ray in (first, second))
            mark = polyline(np.array([vertex + one, vertex + one + two, vertex + two]))
        else:
            mark = arc(vertex, radius, math.atan2(first.imag, first.real), plane.sweep(angle))
        rays = [complex(mark[-1, 0], mark[-1, 1]), vertex, complex(mark[0, 0], mark[0, 1])]
        self.body.set_points(mark)
        self.extra.set_points(np.concatenate([mark, polyline(np.array(rays))]))

    def _put_label(self, pose: Pose, size: float) -> None:
        if self.label is None or self.label_place is None:
            return
        middle = self.label_place(pose)
        at = np.array([middle.real, middle.imag, 0.0])
        for part, glyphs in zip(self.label.submobjects, self._glyphs, strict=True):
            part.set_points(glyphs * size + at)


def mark_radius(angle: model.GeometryAngle, pose: Pose) -> float:
    """How large an angle's mark is in a pose, in scene units."""
    vertex = plane.place(angle.vertex)
    shorter = min(abs(plane.place(ray) - vertex) for ray in (angle.first, angle.second))
    return min(MARK_RADIUS, plane.MARK_SHARE * shorter * abs(pose.factor))


def clamp(middle: complex, half: complex, area: Box) -> complex:
    """The nearest place at which a box of half the size `half` lies inside the area."""

    def within(value: float, low: float, high: float) -> float:
        return min(max(value, low), high) if low <= high else (low + high) / 2

    return complex(
        within(middle.real, area.left + half.real, area.right - half.real),
        within(middle.imag, area.bottom + half.imag, area.top - half.imag),
    )


class PutAnimation(Animation):
    """Takes a drawing along its course; with `pointed_at` it stands out on the way and not at the end."""

    def __init__(self, drawing: FigureDrawing, pose: Callable[[float], Pose], pointed_at: bool, **kwargs: Any) -> None:
        self._pose = pose
        self._pointed_at = pointed_at
        super().__init__(drawing, **{"rate_func": smooth, **kwargs})

    def create_starting_mobject(self) -> VMobject:
        """Nothing is interpolated from a copy."""
        return VMobject()

    def interpolate_mobject(self, alpha: float) -> None:
        """Manim's hook."""
        assert isinstance(self.mobject, FigureDrawing)
        emphasis = there_and_back(alpha) if self._pointed_at else 0.0
        self.mobject.put(self._pose(float(self.rate_func(alpha))), emphasis)

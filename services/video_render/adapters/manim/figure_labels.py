"""Where the labels of geometric figures sit: beside points and segments, inside polygons and angles.

Each label has a few places it may take; the one that covers least, over all moments of rest, is chosen.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from services.video_render.adapters.manim import plane
from services.video_render.adapters.manim.figures import DOT_RADIUS, FigureDrawing, clamp, mark_radius
from services.video_render.adapters.manim.layout import Box
from services.video_render.adapters.manim.plane import Course, Places, Pose
from services.video_render.domain import storyboard as model

_MOST_RESTS = 8

Place = Callable[[Pose], complex]
"""A label's middle in a pose, before it is kept inside the area."""

_GAP = 0.12
_OUTSIDE, _COVERED, _CROSSED, _INWARD, _INSIDE = 40.0, 20.0, 1.5, 0.5, 2.0


def inner_middle(corners: Places) -> complex:
    """A place well inside a polygon: its centre of mass where that is inside, else the roomiest of a grid."""
    following = np.roll(corners, -1)
    cross = corners.real * following.imag - corners.imag * following.real
    area = cross.sum() / 2
    size = max(np.ptp(corners.real), np.ptp(corners.imag))
    if abs(area) <= 1e-9 * size * size:
        return complex(corners.mean())
    offset = corners[0]  # near the figure: far from the origin the products would lose their digits
    near, near_following = corners - offset, following - offset
    cross = near.real * near_following.imag - near.imag * near_following.real
    middle = complex(((near + near_following) * cross).sum() / (3 * cross.sum()) + offset)
    if _inside(corners, middle):
        return middle
    return max(_inner_grid(corners, 9) or [middle], key=lambda spot: _edge_distance(corners, spot))


def _inner_grid(corners: Places, count: int) -> list[complex]:
    """Places inside a polygon, out of a grid over it."""
    shares = np.linspace(0.1, 0.9, count)
    grid = [
        complex(corners.real.min() + np.ptp(corners.real) * x, corners.imag.min() + np.ptp(corners.imag) * y)
        for x in shares
        for y in shares
    ]
    return [spot for spot in grid if _inside(corners, spot)]


def _inside(corners: Places, spot: complex) -> bool:
    """Whether a ray to the right crosses the outline an odd number of times."""
    following = np.roll(corners, -1)
    straddles = (corners.imag > spot.imag) != (following.imag > spot.imag)
    rise = np.where(straddles, following.imag - corners.imag, 1.0)
    at = corners.real + (spot.imag - corners.imag) / rise * (following.real - corners.real)
    return bool(np.count_nonzero(straddles & (spot.real < at)) % 2)


def _edge_distance(corners: Places, spot: complex) -> float:
    edges = np.roll(corners, -1) - corners
    lengths = np.maximum(np.abs(edges) ** 2, 1e-30)
    shares = np.clip(((spot - corners) * edges.conj()).real / lengths, 0.0, 1.0)
    return float(np.abs(corners + shares * edges - spot).min())


def candidates(figure: model.GeometryFigure, half: complex) -> list[tuple[float, Place]]:
    """The places a label of half the size `half` may take, with how unusual each is; the usual one first."""
    if figure.point is not None:
        at = plane.place(figure.point)
        turns = [cmath.exp(1j * math.radians(degrees)) for degrees in (45, 90, 135, 0, 180, 315, 270, 225)]
        return [(0.02 * rank, partial(_beside_point, at, turn, half)) for rank, turn in enumerate(turns)]
    if figure.segment is not None:
        start, end = plane.place(figure.segment.start), plane.place(figure.segment.end)
        return [
            (0.02 * (side == -1j) + 2.0 * abs(share - 0.5), partial(_beside_segment, start, end, share, side, half))
            for share in (0.5, 0.3, 0.7)
            for side in (1j, -1j)
        ]
    if figure.circle is not None:
        center, radius = plane.place(figure.circle.center), figure.circle.radius
        inside: list[tuple[float, Place]] = [
            (0.3 * abs(up), partial(_in_circle, center, radius, up)) for up in (0, -1, 1)
        ]
        return inside + [(0.5 + 0.02 * (up < 0), partial(_by_circle, center, radius, up, half)) for up in (1, -1)]
    if figure.angle is not None:
        return [(0.0, partial(_in_angle, figure.angle, half))]
    if figure.polygon is not None:
        corners = np.array([plane.place(corner) for corner in figure.positions()])
        middle = inner_middle(corners)
        size = max(np.ptp(corners.real), np.ptp(corners.imag)) or 1.0
        others = [(0.2 + abs(spot - middle) / size, partial(_at, spot)) for spot in _inner_grid(corners, 5)]
        return [(0.0, partial(_at, middle)), *others]
    assert figure.text is not None
    return [(0.0, partial(_at, plane.place(figure.text)))]


def _at(spot: complex, pose: Pose) -> complex:
    return complex(pose(spot))


def _in_circle(center: complex, radius: float, up: int, pose: Pose) -> complex:
    return complex(pose(center)) + 0.5j * up * radius * abs(pose.factor)


def _by_circle(center: complex, radius: float, up: int, half: complex, pose: Pose) -> complex:
    return complex(pose(center)) + up * 1j * (radius * abs(pose.factor) + _GAP + half.imag)


def _beside_point(at: complex, turn: complex, half: complex, pose: Pose) -> complex:
    direction = turn * pose.turn
    x, y = (min(max(1.5 * part, -1.0), 1.0) for part in (direction.real, direction.imag))
    return complex(pose(at)) + complex(x * half.real, y * half.imag) + direction * (DOT_RADIUS + _GAP)


def _beside_segment(start: complex, end: complex, share: float, side: complex, half: complex, pose: Pose) -> complex:
    along = pose(end) - pose(start)
    normal = side * along / abs(along) if abs(along) else 1j
    clearance = abs(normal.real) * half.real + abs(normal.imag) * half.imag + _GAP
    return complex(pose(start + share * (end - start)) + normal * clearance)


def _in_angle(angle: model.GeometryAngle, half: complex, pose: Pose) -> complex:
    vertex = pose(plane.place(angle.vertex))
    first = pose(plane.place(angle.first)) - vertex
    opening = plane.sweep(angle)
    bisector = first / abs(first) * cmath.exp(0.5j * opening) if abs(first) else 1 + 0j
    support = abs(bisector.real) * half.real + abs(bisector.imag) * half.imag
    # A narrow angle has room for its label only where it is as wide as the label.
    across = abs(bisector.imag) * half.real + abs(bisector.real) * half.imag + 0.05
    distance = mark_radius(angle, pose) + 0.6 * _GAP + support
    if 0.02 < opening < math.pi:
        distance = max(distance, min(across / math.tan(opening / 2), 3.0) * 0.8 + support)
    return complex(vertex + bisector * distance)


@dataclass(slots=True)
class _Rest:
    """What is there at one moment of rest: lines to stay off, and boxes of labels."""

    starts: Places
    ends: Places
    middle: complex
    polygons: list[Places]
    taken: list[tuple[complex, complex]]


def place_labels(
    drawings: Sequence[FigureDrawing], course: Course, view: Pose, area: Box, *, may_stick_out: bool
) -> Box:
    """Choose a place for every label; returns the box they would need, before they are kept inside the area.

    With `may_stick_out` the area is no reason against a place: it tells how much room labels would like to have.
    """
    outside = 0.0 if may_stick_out else _OUTSIDE
    rests = {number: _rest(drawings, course, view, number) for number in _chosen_rests(course.steps)}
    wanted: list[Box] = []
    order = sorted(range(len(drawings)), key=lambda at: _freedom(drawings[at].figure))
    for at in order:
        drawing = drawings[at]
        if drawing.label is None:
            continue
        half = drawing.label_size
        at_home = drawing.figure.point is None and drawing.figure.segment is None
        moments = [
            (rest, view.after(course.rest(number, at))) for number, rest in rests.items() if course.visible(number, at)
        ]
        places = candidates(drawing.figure, half)
        costs = [
            sum(unusual + _cost(place(pose), half, rest, area, outside, at_home) for rest, pose in moments)
            for unusual, place in places
        ]
        best = places[costs.index(min(costs))][1]
        for rest, pose in moments:
            middle = best(pose)
            rest.taken.append((clamp(middle, half, area), half))
            wanted.append(_box(middle, half))
        drawing.label_place = partial(_kept_inside, best, half, area)
    return plane.join(wanted) if wanted else Box(area.center[0], area.center[0], area.center[1], area.center[1])


def _chosen_rests(steps: int) -> list[int]:
    """The moments of rest that places are judged by: all, or some of very many."""
    count = min(steps + 1, _MOST_RESTS)
    return sorted({round(number * steps / max(count - 1, 1)) for number in range(count)})


def _kept_inside(place: Place, half: complex, area: Box, pose: Pose) -> complex:
    return clamp(place(pose), half, area)


def _freedom(figure: model.GeometryFigure) -> int:
    """Labels with one place are put first, those with many last."""
    if figure.point is not None:
        return 3
    if figure.segment is not None:
        return 2
    return 1 if figure.circle is not None else 0


def _rest(drawings: Sequence[FigureDrawing], course: Course, view: Pose, number: int) -> _Rest:
    starts: list[Places] = []
    ends: list[Places] = []
    polygons: list[Places] = []
    for at, drawing in enumerate(drawings):
        if course.visible(number, at):
            outline = view.after(course.rest(number, at))(_outline(drawing.figure))
            starts.append(outline[:-1])
            ends.append(outline[1:])
            if drawing.figure.polygon is not None:
                polygons.append(outline[:-1])
    if not starts:
        return _Rest(np.zeros(0, complex), np.zeros(0, complex), 0j, [], [])
    start, end = np.concatenate(starts), np.concatenate(ends)
    middle = complex((start.real.min() + start.real.max()) / 2, (start.imag.min() + start.imag.max()) / 2)
    return _Rest(start, end, middle if len(start) else 0j, polygons, [])


def _outline(figure: model.GeometryFigure) -> Places:
    """The lines that a label should not lie on, as one path."""
    if figure.circle is not None:
        center, radius = plane.place(figure.circle.center), figure.circle.radius
        return np.array([center + radius * cmath.exp(2j * math.pi * number / 24) for number in range(25)])
    places = np.array([plane.place(position) for position in figure.positions()])
    if figure.polygon is not None:
        return np.append(places, places[0])
    if figure.angle is not None:
        return plane.reach(figure)[0][:-1]
    return np.repeat(places, 2) if len(places) == 1 else places


def _box(middle: complex, half: complex) -> Box:
    return Box(middle.real - half.real, middle.real + half.real, middle.imag - half.imag, middle.imag + half.imag)


def _cost(middle: complex, half: complex, rest: _Rest, area: Box, outside: float, at_home: bool) -> float:
    """How bad it is for a label to lie there: on other labels, on lines, outside the area.

    Those that are not `at_home` inside a shape are better outside of polygons and away from the middle.
    """
    kept = clamp(middle, half, area) if outside else middle
    cost = outside * abs(kept - middle)
    if not at_home:
        cost += _INSIDE * sum(_inside(corners, kept) for corners in rest.polygons)
        cost -= _INWARD * min(abs(middle - rest.middle), 4.0) / 4.0
    for other, other_half in rest.taken:
        gap_x = half.real + other_half.real + 0.06 - abs(kept.real - other.real)
        gap_y = half.imag + other_half.imag + 0.06 - abs(kept.imag - other.imag)
        if gap_x > 0 and gap_y > 0:
            cost += _COVERED * (gap_x * gap_y + 0.05)
    return cost + _CROSSED * _crossed(kept, half + complex(0.08, 0.06), rest)


def _crossed(middle: complex, half: complex, rest: _Rest) -> float:
    """The length of lines inside a box."""
    if not len(rest.starts):
        return 0.0
    start, along = rest.starts - middle, rest.ends - rest.starts
    enter, leave = np.zeros(len(start)), np.ones(len(start))
    for begin, step, size in ((start.real, along.real, half.real), (start.imag, along.imag, half.imag)):
        still = np.abs(step) < 1e-12
        safe = np.where(still, 1.0, step)
        one, two = (-size - begin) / safe, (size - begin) / safe
        outside = still & (np.abs(begin) > size)
        enter = np.where(still, enter, np.maximum(enter, np.minimum(one, two)))
        leave = np.where(outside, -1.0, np.where(still, leave, np.minimum(leave, np.maximum(one, two))))
    inside = np.maximum(leave - enter, 0.0)
    touched = inside > 0
    dots = touched & (np.abs(along) < 1e-9)
    return float((np.abs(along) * inside)[touched].sum() + 0.1 * np.count_nonzero(touched) + np.count_nonzero(dots))


def covered(drawings: Sequence[FigureDrawing], course: Course, view: Pose) -> list[tuple[str, str]]:
    """Pairs of figures whose labels cover each other at some moment of rest."""
    found: list[tuple[str, str]] = []
    for number in range(course.steps + 1):
        boxes: list[tuple[str, Box]] = []
        for at, drawing in enumerate(drawings):
            if drawing.label_place is not None and course.visible(number, at):
                box = _box(drawing.label_place(view.after(course.rest(number, at))), drawing.label_size)
                found += [(name, drawing.figure.id) for name, other in boxes if other.overlap(box) > 0.02]
                boxes.append((drawing.figure.id, box))
    return list(dict.fromkeys(found))

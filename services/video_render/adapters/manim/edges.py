"""Edges of a network as curves between boxes, and where their labels have room. Plain geometry, no drawing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from services.video_render.adapters.manim.layout import Box

Point = tuple[float, float]
Numbers = np.ndarray[Any, np.dtype[np.float64]]
_BENDS = (0.0, 0.16, -0.16, 0.32, -0.32, 0.5, -0.5)
_SAMPLES = 24
_AIR = 0.06
"""Between a label or a passing line and a box, in scene units."""
_CLOSE = 0.07
"""How near a line may come to a label without being taken to run through it."""
_TOUCH = 0.02
"""Between a box and the end of a line that leads to it."""


@dataclass(frozen=True)
class Edge:
    """Points along a curve, from box to box."""

    points: tuple[Point, ...]
    straight: bool

    @property
    def end(self) -> Point:
        """Where it arrives."""
        return self.points[-1]

    @cached_property
    def bounds(self) -> Box:
        """The smallest box around it."""
        xs, ys = [x for x, _ in self.points], [y for _, y in self.points]
        return Box(min(xs), max(xs), min(ys), max(ys))

    @cached_property
    def length(self) -> float:
        """Along the curve."""
        return sum(math.dist(a, b) for a, b in zip(self.points, self.points[1:], strict=False))

    @cached_property
    def samples(self) -> tuple[Numbers, Numbers]:
        """x and y of places along it, about a tenth of a unit apart."""
        xs: list[float] = []
        ys: list[float] = []
        for (ax, ay), (bx, by) in zip(self.points, self.points[1:], strict=False):
            steps = max(int(math.hypot(bx - ax, by - ay) / 0.1), 1)
            for step in range(steps + 1):
                part = step / steps
                xs.append(ax + part * (bx - ax))
                ys.append(ay + part * (by - ay))
        return np.array(xs), np.array(ys)

    def reversed(self) -> Edge:
        """The other way round."""
        return Edge(self.points[::-1], self.straight)

    def at(self, share: float) -> tuple[Point, Point]:
        """A place on it, and the unit vector along it there."""
        wanted, walked = share * self.length, 0.0
        for (ax, ay), (bx, by) in zip(self.points, self.points[1:], strict=False):
            step = math.hypot(bx - ax, by - ay)
            if step and walked + step >= wanted - 1e-9:
                part = (wanted - walked) / step
                return (ax + part * (bx - ax), ay + part * (by - ay)), ((bx - ax) / step, (by - ay) / step)
            walked += step
        return self.end, (1.0, 0.0)

    def shortened(self, by: float) -> tuple[list[Point], float]:
        """Its points without the last bit, which an arrow head covers, and the direction (radians) it arrives in."""
        total = self.length
        keep = max(total - by, total * 0.1)
        points, walked = [self.points[0]], 0.0
        for a, b in zip(self.points, self.points[1:], strict=False):
            step = math.dist(a, b)
            if walked + step >= keep:
                part = (keep - walked) / step if step else 0.0
                points.append((a[0] + part * (b[0] - a[0]), a[1] + part * (b[1] - a[1])))
                break
            walked += step
            points.append(b)
        (x, y), end = points[-1], self.end
        return points, math.atan2(end[1] - y, end[0] - x)


def route(boxes: Sequence[Box], start: int, end: int, area: Box, bend: bool = False) -> Edge:
    """The straightest curve between two boxes that runs through no third; `bend` keeps a pair of edges apart."""
    best: tuple[int, Edge] | None = None
    for amount in _BENDS[1:] if bend else _BENDS:
        edge = _curve(boxes[start], boxes[end], amount)
        crossed = sum(
            any(_inside(point, box, _AIR) for point in edge.points)
            for at, box in enumerate(boxes)
            if at not in (start, end)
        ) + 2 * any(not _inside(point, area, _AIR) for point in edge.points)
        if best is None or crossed < best[0]:
            best = (crossed, edge)
        if crossed == 0:
            break
    assert best is not None
    return best[1]


def label_place(
    edges: Sequence[Edge], number: int, width: float, height: float, taken: Sequence[Box], area: Box
) -> Point | None:
    """The middle of a free place for a label of this size beside an edge; on a line only if there is no other."""
    best: tuple[float, Point] | None = None
    occupied = np.array([(box.left, box.right, box.bottom, box.top) for box in taken], float).reshape(-1, 4).T
    occupied += np.array([[-_AIR], [_AIR], [-_AIR], [_AIR]])
    for rank, (x, y) in enumerate(_beside(edges[number], width, height)):
        box = Box(x - width / 2, x + width / 2, y - height / 2, y + height / 2)
        if box.left < area.left or box.right > area.right or box.bottom < area.bottom or box.top > area.top:
            continue
        if _meets_any(box, occupied):
            continue
        cost = sum(_touches(edge, box) for edge in edges) * 100 + rank
        if best is None or cost < best[0]:
            best = (cost, (x, y))
        if cost < 100:
            break
    return best[1] if best else None


def _curve(start: Box, end: Box, bend: float) -> Edge:
    """From border to border, bent to the left of its way by a share of its length."""
    (ax, ay), (bx, by) = start.center, end.center
    middle = ((ax + bx) / 2 - (by - ay) * bend, (ay + by) / 2 + (bx - ax) * bend)
    count = _SAMPLES * 4
    points = []
    for step in range(count + 1):
        t = step / count
        x = (1 - t) ** 2 * ax + 2 * t * (1 - t) * middle[0] + t**2 * bx
        y = (1 - t) ** 2 * ay + 2 * t * (1 - t) * middle[1] + t**2 * by
        if not _inside((x, y), start, _TOUCH) and not _inside((x, y), end, _TOUCH):
            points.append((x, y))
    if len(points) < 2:
        points = [(ax, ay), (bx, by)]
    if bend == 0.0:
        return Edge(tuple(points[:: max(len(points) // _SAMPLES, 1)][:-1] + points[-1:]), True)
    return Edge(tuple(points[:: max(len(points) // _SAMPLES, 1)][:-1] + points[-1:]), False)


def _beside(edge: Edge, width: float, height: float) -> Iterator[Point]:
    """Places along an edge, from its middle outwards, on either side and nearest first."""
    for distance in (0.1, 0.18, 0.3):
        for share in (0.5, 0.4, 0.6, 0.3, 0.7, 0.22, 0.78, 0.15, 0.85):
            (x, y), (dx, dy) = edge.at(share)
            reach = abs(dy) * width / 2 + abs(dx) * height / 2 + distance
            upward = 1.0 if dx >= 0 else -1.0
            for side in (upward, -upward):
                yield x - dy * reach * side, y + dx * reach * side


def _inside(point: Point, box: Box, margin: float) -> bool:
    x, y = point
    return box.left - margin < x < box.right + margin and box.bottom - margin < y < box.top + margin


def _meets_any(box: Box, others: Numbers) -> bool:
    """Whether a box meets any of the others: their left, right, bottom and top."""
    left, right, bottom, top = others
    return bool(((box.left <= right) & (box.right >= left) & (box.bottom <= top) & (box.top >= bottom)).any())


def _touches(edge: Edge, box: Box) -> bool:
    """Whether a curve runs through a box or close by."""
    near = Box(box.left - _CLOSE, box.right + _CLOSE, box.bottom - _CLOSE, box.top + _CLOSE)
    if not _meet(edge.bounds, near):
        return False
    xs, ys = edge.samples
    return bool(((near.left < xs) & (xs < near.right) & (near.bottom < ys) & (ys < near.top)).any())


def _meet(box: Box, other: Box) -> bool:
    return box.left <= other.right and box.right >= other.left and box.bottom <= other.top and box.top >= other.bottom

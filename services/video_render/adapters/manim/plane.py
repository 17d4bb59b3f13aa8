"""Where the figures of a geometry scene are at any moment. Places are complex numbers, x + iy."""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.video_render.adapters.manim.layout import Box
from services.video_render.domain import storyboard as model

Places = np.ndarray[Any, np.dtype[np.complex128]]

MARK_SHARE = 0.4
"""An angle's mark reaches at most this far along the shorter of its rays."""

_DEGREES_PER_SAMPLE = 6.0
_STANDSTILL = 1e-9


@dataclass(frozen=True, slots=True)
class Pose:
    """A turn and a scaling about the origin (`factor`), then a shift."""

    factor: complex = 1 + 0j
    shift: complex = 0j

    def __call__(self, places: Any) -> Any:
        """Where places come to lie."""
        return self.factor * places + self.shift

    def after(self, first: Pose) -> Pose:
        """`first`, and then this one."""
        return Pose(self.factor * first.factor, self.factor * first.shift + self.shift)

    @property
    def turn(self) -> complex:
        """The turn alone, as a number of magnitude 1."""
        size = abs(self.factor)
        return self.factor / size if size else 1 + 0j


@dataclass(frozen=True, slots=True)
class Travel:
    """A motion of figures together: a turn about a point and a scaling from it, then a shift."""

    about: complex
    degrees: float
    scale: float
    by: complex

    def at(self, share: float) -> Pose:
        """The pose when a share (0-1) of the motion is done."""
        factor = self.scale**share * cmath.exp(1j * math.radians(self.degrees) * share)
        return Pose(factor, self.about - factor * self.about + self.by * share)

    def poses_after(self, first: Pose) -> tuple[Places, Places]:
        """Factors and shifts of `first` and then this motion, close enough together to know how far it reaches."""
        shares = np.linspace(0.0, 1.0, 9 + math.ceil(abs(self.degrees) / _DEGREES_PER_SAMPLE))
        factors = self.scale**shares * np.exp(1j * math.radians(self.degrees) * shares)
        shifts = self.about - factors * self.about + self.by * shares
        return factors * first.factor, factors * first.shift + shifts


def place(position: model.Position) -> complex:
    """A position of the storyboard."""
    return complex(position.x, position.y)


def sweep(angle: model.GeometryAngle) -> float:
    """How far an angle opens counter-clockwise, in radians from 0 to a full turn."""
    vertex = place(angle.vertex)
    return cmath.phase((place(angle.second) - vertex) / (place(angle.first) - vertex)) % math.tau


def reach(figure: model.GeometryFigure) -> tuple[Places, float]:
    """Places that a figure covers, and a radius around each; without its label."""
    if figure.angle is not None:
        vertex = place(figure.angle.vertex)
        first = place(figure.angle.first) - vertex
        shorter = min(abs(first), abs(place(figure.angle.second) - vertex)) * MARK_SHARE
        turns = np.exp(1j * np.linspace(0.0, sweep(figure.angle), 13))
        arc = vertex + shorter * first / abs(first) * turns
        return np.append(arc, vertex), 0.0
    radius = figure.circle.radius if figure.circle is not None else 0.0
    return np.array([place(position) for position in figure.positions()]), radius


class Course:
    """The poses of all figures: at rest after each step, and on the way there. Rest 0 is the beginning."""

    def __init__(self, content: model.Geometry) -> None:
        self.figures = content.figures
        self.steps = len(content.steps)
        self._index = {figure.id: at for at, figure in enumerate(content.figures)}
        self._reach = [reach(figure) for figure in content.figures]
        self._rests: list[list[Pose]] = [[Pose()] * len(content.figures)]
        self._travels: list[dict[int, Travel]] = []
        later = {name for step in content.steps for name in step.show}
        self._visible: list[set[int]] = [{at for at, figure in enumerate(content.figures) if figure.id not in later}]
        for step in content.steps:
            self._add(step)

    def _add(self, step: model.GeometryStep) -> None:
        shown = self._visible[-1] | {self._index[name] for name in step.show}
        self._visible.append(shown - {self._index[name] for name in step.hide})
        poses = list(self._rests[-1])
        travels: dict[int, Travel] = {}
        for motion in step.motions:
            members = [self._index[name] for name in motion.ids]
            about = place(motion.about) if motion.about else self._middle(members)
            travel = Travel(about, motion.degrees, motion.scale, place(motion.by))
            for at in members:
                travels[at] = travel
                poses[at] = travel.at(1.0).after(poses[at])
        self._travels.append(travels)
        self._rests.append(poses)

    def index(self, name: str) -> int:
        """The position of a figure in the list."""
        return self._index[name]

    def visible(self, rest: int, at: int) -> bool:
        """Whether a figure is shown after so many steps."""
        return at in self._visible[rest]

    def moves(self, step: int, at: int) -> bool:
        """Whether a figure moves in a step (counted from 0)."""
        return at in self._travels[step]

    def rest(self, rest: int, at: int) -> Pose:
        """A figure's pose after so many steps."""
        return self._rests[rest][at]

    def pose(self, step: int, share: float, at: int) -> Pose:
        """A figure's pose when a share of a step (counted from 0) is done."""
        before = self._rests[step][at]
        travel = self._travels[step].get(at)
        return travel.at(share).after(before) if travel else before

    def bounds(self) -> Box:
        """A box around everything that is ever shown, motions included, in the author's coordinates."""
        boxes: list[Box] = []
        for rest, shown in enumerate(self._visible):
            boxes += [self._box(at, self._rests[rest][at]) for at in shown]
            for at, travel in self._travels[rest].items() if rest < self.steps else ():
                if at in shown or at in self._visible[rest + 1]:
                    boxes.append(self._swept(at, travel, self._rests[rest][at]))
        return join(boxes) if boxes else Box(0.0, 0.0, 0.0, 0.0)

    def _swept(self, at: int, travel: Travel, before: Pose) -> Box:
        places, radius = self._reach[at]
        factors, shifts = travel.poses_after(before)
        return _around(places[:, None] * factors + shifts, radius * np.abs(factors))

    def _box(self, at: int, pose: Pose) -> Box:
        places, radius = self._reach[at]
        return _around(pose(places), radius * abs(pose.factor))

    def _middle(self, members: Sequence[int]) -> complex:
        """The middle of figures as they are at the end of the steps so far."""
        return complex(*join([self._box(at, self._rests[-1][at]) for at in members]).center)


def _around(places: Places, margin: Any) -> Box:
    x, y = places.real, places.imag
    return Box(
        float((x - margin).min()), float((x + margin).max()), float((y - margin).min()), float((y + margin).max())
    )


def join(boxes: Sequence[Box]) -> Box:
    """The smallest box around boxes."""
    return Box(
        min(box.left for box in boxes),
        max(box.right for box in boxes),
        min(box.bottom for box in boxes),
        max(box.top for box in boxes),
    )


def view(bounds: Box, area: Box) -> Pose:
    """How the author's coordinates are put on the frame: as large as they fit the area, in its middle."""
    middle = complex(*bounds.center)
    still = _STANDSTILL * max(abs(middle), 1e-30)
    units = [
        room / extent for room, extent in ((area.width, bounds.width), (area.height, bounds.height)) if extent > still
    ]
    unit = min(units, default=1.0)
    return Pose(unit + 0j, complex(*area.center) - unit * middle)

"""A data chart as a pie: slices clockwise from the top, their names beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from manim import ManimColor, VGroup, VMobject, interpolate_color

from services.video_render.adapters.manim import curves, figures, markup
from services.video_render.adapters.manim.layout import Box
from services.video_render.adapters.manim.mobjects import Typeset
from services.video_render.adapters.manim.spreading import spread
from services.video_render.adapters.manim.themes import Theme, Type
from services.video_render.domain import storyboard

if TYPE_CHECKING:
    from services.video_render.adapters.manim.templates.base import StoryScene

_LARGEST = 2.45
_ELBOW = 0.22
_GAP = 0.75
_BETWEEN = 0.12
_TALLEST = 1.5
_TURNS = 16
_FADED = (0.0, 0.32, 0.52, 0.66)
"""How far the colours of the second, third and fourth round go towards the background."""


@dataclass(slots=True)
class Pie:
    """Slices and their names with leader lines. `put` opens the pie to a share of a full turn."""

    slices: VGroup
    names: list[VGroup]
    em: float
    edges: list[float]
    """Where the slices begin and end, as shares of a turn clockwise from the top."""
    center: complex
    radius: float

    def put(self, share: float) -> None:
        """Draw the slices as far as a share (0-1) of the whole."""
        for piece, (start, end) in zip(self.slices, pairwise(self.edges), strict=True):
            begin = self.edges[0]
            first = math.pi / 2 - math.tau * (begin + (start - begin) * share)
            sweep = -math.tau * (end - start) * share
            if abs(sweep) < 1e-9:
                piece.set_points(np.zeros((0, 3)))
                continue
            arc = figures.arc(self.center, self.radius, first, sweep)
            corner = np.array([self.center.real, self.center.imag])
            sides = curves.line(np.array([corner, arc[0, :2]])), curves.line(np.array([arc[-1, :2], corner]))
            piece.set_points(np.concatenate([sides[0], arc, sides[1]]))

    def direction(self, at: int) -> complex:
        """From the centre through the middle of a slice."""
        middle = math.pi * (self.edges[at] + self.edges[at + 1])
        return complex(math.sin(middle), math.cos(middle))


def compose(scene: StoryScene[storyboard.DataChart], area: Box) -> Pie:
    """The pie in the middle of an area, names at both sides."""
    values = scene.content.series[0].values
    largest = max(values)  # sums of very large numbers would not be finite
    parts = [value / largest for value in values]
    shares = [part / sum(parts) for part in parts]
    radius = min(_LARGEST, area.height / 2 - 0.1)
    pie = Pie(VGroup(), [], 0.0, [], complex(*area.center), radius)
    texts = _texts(scene, area, pie, shares, max((len(shares) + 1) // 2 + 1, 3))
    pie.edges = min((_edges(shares, turn / _TURNS) for turn in range(_TURNS)), key=partial(_strain, pie, texts, area))
    if _overfull(pie, texts, area):
        to_the_right = sum(pie.direction(at).real >= 0 for at in range(len(values)))
        texts = _texts(scene, area, pie, shares, max(to_the_right, len(values) - to_the_right))
    for at in range(len(values)):
        piece = VMobject(stroke_color=scene.theme.background, stroke_width=3.0, fill_opacity=1.0)
        pie.slices.add(piece.set_fill(_color(scene.theme, at, len(values)), opacity=1.0))
    pie.put(1.0)
    heights = _heights(pie, texts, area)
    for at, (text, y) in enumerate(zip(texts, heights, strict=True)):
        right = pie.direction(at).real >= 0
        edge = pie.center.real + (radius + _GAP) * (1 if right else -1)
        text.place(edge if right else edge - text.logical_width, y + text.logical_height / 2)
        pie.names.append(VGroup(_leader(scene.theme, pie, pie.direction(at), edge, y, right), text))
    return pie


def _edges(shares: list[float], start: float) -> list[float]:
    return [start + sum(shares[:at]) for at in range(len(shares) + 1)]


def _texts(
    scene: StoryScene[storyboard.DataChart], area: Box, pie: Pie, shares: list[float], most: int
) -> list[Typeset]:
    """The names with their percentages, small enough that `most` of them fit under one another."""
    width = area.width / 2 - pie.radius - _GAP
    room = min(_TALLEST, (area.height + _BETWEEN) / most - _BETWEEN)
    fitted = [
        scene.fit(_source(scene, at, share), width, room, Type.LABEL, balance=True) for at, share in enumerate(shares)
    ]
    pie.em = min(each.em for each in fitted)
    return [each.typeset for each in fitted]


def _strain(pie: Pie, texts: list[Typeset], area: Box, edges: list[float]) -> float:
    """How far names would stand from their slices, and whether a side is too full, if slices began and ended there."""
    pie.edges = edges
    away = sum(
        abs(y - pie.center.imag - 1.08 * pie.radius * pie.direction(at).imag)
        for at, y in enumerate(_heights(pie, texts, area))
    )
    return round(away, 2) + 100.0 * _overfull(pie, texts, area) + 0.5 * (edges[0] > 0)


def _overfull(pie: Pie, texts: list[Typeset], area: Box) -> float:
    """By how much the names of the sides are taller than the area."""
    full = 0.0
    for right in (True, False):
        side = [text.logical_height for at, text in enumerate(texts) if (pie.direction(at).real >= 0) == right]
        full += max(sum(side) + _BETWEEN * (len(side) - 1) - area.height, 0.0)
    return full


def _heights(pie: Pie, texts: list[Typeset], area: Box) -> list[float]:
    """Where the middles of the names are: on each side in the order of the slices, clear of each other."""
    heights = [0.0] * len(texts)
    for right in (True, False):
        members = [at for at in range(len(texts)) if (pie.direction(at).real >= 0) == right]
        members.sort(key=lambda at: (pie.direction(at).imag, pie.edges[at] * (-1 if right else 1)))
        wanted = [pie.center.imag + pie.radius * 1.08 * pie.direction(at).imag for at in members]
        sizes = [texts[at].logical_height for at in members]
        for at, y in zip(members, spread(wanted, sizes, area.bottom, area.top, _BETWEEN), strict=True):
            heights[at] = y
    return heights


def _color(theme: Theme, at: int, count: int) -> ManimColor:
    """The accents in turn, paler in each round; the last slice differs from the first beside it."""
    accent = 2 if at == count - 1 and at % 4 == 0 and at else at % 4
    return interpolate_color(ManimColor(theme.accents[accent]), ManimColor(theme.background), _FADED[at // 4 % 4])


def _source(scene: StoryScene[storyboard.DataChart], at: int, share: float) -> str:
    shown = f"{100 * share:.1f}".removesuffix(".0")
    percentage = "<0.1" if share > 0 and shown == "0" else shown
    body = markup.inline(scene.content.categories[at], scene.accent)
    figure = f'text(fill: rgb("{scene.theme.muted}"), {markup.literal(percentage + " %")})'
    return f"{body} #h(0.25em) #box({figure})"


def _leader(theme: Theme, pie: Pie, direction: complex, edge: float, y: float, right: bool) -> VMobject:
    """From the slice outwards, then to the name."""
    start = pie.center + (pie.radius + 0.06) * direction
    elbow = pie.center + (pie.radius + _ELBOW) * direction
    end = complex(edge + (-0.12 if right else 0.12), y)
    line = VMobject(stroke_color=theme.rule, stroke_width=2.5, fill_opacity=0.0)
    return line.set_points(figures.polyline(np.array([start, elbow, end])))


def name_texts(pie: Pie) -> list[Typeset]:
    """The names without their leader lines."""
    return [part for name in pie.names for part in name if isinstance(part, Typeset)]

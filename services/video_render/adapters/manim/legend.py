"""Legends: a column beside a plot, or a row over a chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from manim import Circle, Line, RoundedRectangle, VGroup, VMobject

from services.video_render.adapters.manim.mobjects import Typeset
from services.video_render.adapters.manim.themes import Type

if TYPE_CHECKING:
    from services.video_render.adapters.manim.templates.base import Fitted, StoryScene

_GAP = 0.3
_TALLEST = 1.2
_TEXT_WIDTH = 2.9


@dataclass(frozen=True, slots=True)
class Entry:
    """A symbol and what it stands for, as trusted markup. Words wrap, formulas shrink."""

    symbol: VMobject | None
    source: str
    wraps: bool = True
    muted: bool = False


@dataclass(frozen=True, slots=True)
class Legend:
    """Entries in a group, in order, and the em of the smallest."""

    group: VGroup
    em: float


def stroke(color: str, width: float = 7.0) -> Line:
    """The symbol of a curve."""
    return Line((0, 0, 0), (0.45, 0, 0), color=color, stroke_width=width)


def swatch(color: str, opacity: float = 1.0) -> RoundedRectangle:
    """The symbol of bars and areas."""
    square = RoundedRectangle(width=0.3, height=0.3, corner_radius=0.06, stroke_width=0)
    return square.set_fill(color, opacity=opacity)


def dot(color: str) -> Circle:
    """The symbol of points."""
    return Circle(radius=0.11, stroke_width=0).set_fill(color, opacity=1.0)


def column(scene: StoryScene[Any], entries: Sequence[Entry], height: float) -> Legend:
    """Entries under one another, no taller than `height` together."""
    group = VGroup()
    em, top = Type.CAPTION, 0.0
    room = min(_TALLEST, height / max(len(entries), 1) - _GAP)
    for entry in entries:
        fitted = _column_text(scene, entry, room)
        em = min(em, fitted.em)
        tall = max(fitted.typeset.logical_height, float(entry.symbol.height) if entry.symbol else 0.0)
        group.add(_pair(entry, fitted.typeset, 0.0, top - tall / 2, 0.18))
        top -= tall + _GAP
    return Legend(group, em)


def _column_text(scene: StoryScene[Any], entry: Entry, height: float) -> Fitted:
    single = scene.fit(entry.source, _TEXT_WIDTH, height, Type.CAPTION, wrap=False)
    if single.em == Type.CAPTION or not entry.wraps:
        return single
    return scene.fit(entry.source, _TEXT_WIDTH, height, Type.CAPTION, balance=True)


def row(scene: StoryScene[Any], entries: Sequence[Entry]) -> Legend:
    """Entries beside one another, as wide as the scene's area at most, on one base line."""
    share = scene.area.width / max(len(entries), 1) - 1.1
    group = VGroup()
    em, left = Type.LABEL, 0.0
    for entry in entries:
        color = scene.theme.muted if entry.muted else scene.theme.text
        fitted = scene.fit(entry.source, share, 0.5, Type.LABEL, wrap=False, color=color)
        if fitted.em < Type.SMALLEST:
            fitted = scene.fit(entry.source, share, 0.8, Type.LABEL, balance=True, color=color)
        em = min(em, fitted.em)
        pair = _pair(entry, fitted.typeset, left, 0.0, 0.14)
        group.add(pair)
        left = float(pair.get_right()[0]) + 0.6
    return Legend(group, em)


def _pair(entry: Entry, text: Typeset, left: float, y: float, gap: float) -> VGroup:
    """The symbol, and the text at its right with its line through the symbol's middle."""
    if entry.symbol is None:
        return VGroup(text.place(left, y + text.logical_height / 2))
    entry.symbol.move_to((left + entry.symbol.width / 2, y, 0))
    text.place(left + float(entry.symbol.width) + gap, y + text.logical_height / 2)
    return VGroup(entry.symbol, text)

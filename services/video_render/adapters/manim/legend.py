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
    em = Type.CAPTION
    room = min(_TALLEST, height / max(len(entries), 1) - _GAP)
    for entry in entries:
        fitted = _column_text(scene, entry, room)
        em = min(em, fitted.em)
        group.add(_pair(entry, fitted.typeset, 0.18))
    return Legend(group.arrange((0, -1, 0), buff=_GAP, aligned_edge=(-1, 0, 0)) if len(group) else group, em)


def _column_text(scene: StoryScene[Any], entry: Entry, height: float) -> Fitted:
    single = scene.fit(entry.source, _TEXT_WIDTH, height, Type.CAPTION, wrap=False)
    if single.em == Type.CAPTION or not entry.wraps:
        return single
    return scene.fit(entry.source, _TEXT_WIDTH, height, Type.CAPTION, balance=True)


def row(scene: StoryScene[Any], entries: Sequence[Entry]) -> Legend:
    """Entries beside one another, as wide as the scene's area at most."""
    share = scene.area.width / max(len(entries), 1) - 1.1
    group = VGroup()
    em = Type.LABEL
    for entry in entries:
        color = scene.theme.muted if entry.muted else scene.theme.text
        fitted = scene.fit(entry.source, share, 0.5, Type.LABEL, wrap=False, color=color)
        if fitted.em < Type.SMALLEST:
            fitted = scene.fit(entry.source, share, 0.8, Type.LABEL, balance=True, color=color)
        em = min(em, fitted.em)
        group.add(_pair(entry, fitted.typeset, 0.14))
    return Legend(group.arrange((1, 0, 0), buff=0.6) if len(group) else group, em)


def _pair(entry: Entry, text: Typeset, gap: float) -> VGroup:
    if entry.symbol is None:
        return VGroup(text)
    return VGroup(entry.symbol, text.next_to(entry.symbol, (1, 0, 0), buff=gap))

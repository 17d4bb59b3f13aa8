"""Places blocks, measures them, repairs what does not fit, reports what cannot be repaired.

Everything happens on bounding boxes before the first frame is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Generic, Protocol, TypeVar

from manim import Mobject

from services.video_render.adapters.manim.themes import Frame, Type
from services.video_render.adapters.manim.typesetter import Page

_TOLERANCE = 0.02
_SEARCH_STEPS = 6


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in scene units."""

    left: float
    right: float
    bottom: float
    top: float

    @property
    def width(self) -> float:
        """Horizontal extent."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Vertical extent."""
        return self.top - self.bottom

    @property
    def center(self) -> tuple[float, float]:
        """The middle."""
        return (self.left + self.right) / 2, (self.bottom + self.top) / 2

    def overlap(self, other: Box) -> float:
        """Area both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)


FRAME = Box(-Frame.WIDTH / 2, Frame.WIDTH / 2, -Frame.HEIGHT / 2, Frame.HEIGHT / 2)


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a scene that must stay on the frame and clear of the other blocks."""

    name: str
    mobject: Mobject
    em: float
    """Size of its smallest text in scene units; 0 when it holds none."""


def measure(mobject: Mobject) -> Box:
    """The ink of a mobject."""
    left, bottom, _ = mobject.get_corner((-1, -1, 0))
    right, top, _ = mobject.get_corner((1, 1, 0))
    return Box(float(left), float(right), float(bottom), float(top))


class Sized(Protocol):
    """Something typeset whose size is known."""

    @property
    def width(self) -> float:
        """Width of the page."""
        ...

    @property
    def height(self) -> float:
        """Height of the page."""
        ...

    @property
    def ink_width(self) -> float:
        """How far the drawing reaches."""
        ...


S = TypeVar("S", bound=Sized)


@dataclass(frozen=True, slots=True)
class Stack:
    """Pages under one another."""

    pages: tuple[Page, ...]
    gap: float

    @property
    def width(self) -> float:
        """Width of the widest."""
        return max(page.width for page in self.pages)

    @property
    def height(self) -> float:
        """All of them with the gaps between."""
        return sum(page.height for page in self.pages) + self.gap * (len(self.pages) - 1)

    @property
    def ink_width(self) -> float:
        """How far the widest drawing reaches."""
        return max(page.ink_width for page in self.pages)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Rows of two columns, each as high as the higher of its two pages; None where a column has no entry."""

    rows: tuple[tuple[Page | None, Page | None], ...]
    widths: tuple[float, float]
    gap: float

    @property
    def width(self) -> float:
        """Of both columns."""
        return sum(self.widths)

    @property
    def heights(self) -> list[float]:
        """Of each row."""
        return [max(page.height for page in row if page is not None) for row in self.rows]

    @property
    def height(self) -> float:
        """All rows with the gaps between."""
        return sum(self.heights) + self.gap * (len(self.rows) - 1)

    @property
    def ink_width(self) -> float:
        """More than the width as soon as something sticks out of its column."""
        over = [
            page.ink_width - width
            for row in self.rows
            for page, width in zip(row, self.widths, strict=True)
            if page is not None
        ]
        return self.width + max(over)


@dataclass(frozen=True, slots=True)
class Fit(Generic[S]):
    """How content fits a box: the page to draw, its em, and the factor it has to be scaled by (1 as a rule)."""

    page: S
    em: float
    factor: float


def fit(page_at: Callable[[float], S], width: float, height: float, largest: float) -> Fit[S]:
    """The largest em at which the page fits; below the floor it is scaled geometrically.

    Setting again, and not scaling, lets text wrap anew at every size.
    """
    page = page_at(largest)
    if _fits(page, width, height):
        return Fit(page, largest, 1.0)
    low, high = min(Type.FLOOR, largest), largest
    best: Fit[S] | None = None
    for em in (low, *[0.0] * _SEARCH_STEPS):
        size = em or (low + high) / 2
        page = page_at(size)
        if _fits(page, width, height):
            best, low = Fit(page, size, 1.0), size
        elif best is None:
            factor = min(width / max(page.width, page.ink_width), height / page.height, 1.0)
            return Fit(page, size * factor, factor)
        else:
            high = size
    assert best is not None
    return best


def _fits(page: Sized, width: float, height: float) -> bool:
    if page.width > width + _TOLERANCE or page.height > height + _TOLERANCE:
        return False
    return page.ink_width <= width + _TOLERANCE


def check(blocks: Sequence[Block]) -> list[str]:
    """What is wrong with a finished layout, in words a person can act on; empty when nothing is."""
    problems: list[str] = []
    boxes = [measure(block.mobject) for block in blocks]
    for block, box in zip(blocks, boxes, strict=True):
        if (
            box.left < FRAME.left - _TOLERANCE
            or box.right > FRAME.right + _TOLERANCE
            or box.bottom < FRAME.bottom - _TOLERANCE
            or box.top > FRAME.top + _TOLERANCE
        ):
            problems.append(f"{block.name} leaves the frame")
        if 0 < block.em < Type.SMALLEST * 0.999:
            problems.append(f"{block.name} is too long: its text is only {block.em / Frame.HEIGHT:.1%} high")
    for (first, box), (second, other) in combinations(zip(blocks, boxes, strict=True), 2):
        if box.overlap(other) > _TOLERANCE:
            problems.append(f"{first.name} overlaps {second.name}")
    return problems

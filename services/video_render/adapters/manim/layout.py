"""Places blocks, measures them, repairs what does not fit, reports what cannot be repaired.

Everything happens on bounding boxes before the first frame is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from manim import Mobject

from services.video_render.adapters.manim.mobjects import Typeset
from services.video_render.adapters.manim.themes import Frame, Type

_TOLERANCE = 0.02


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


@dataclass(frozen=True, slots=True)
class Fitted:
    """Typeset content that fits a box, and the em size it was set at."""

    typeset: Typeset
    em: float


def fit(make: Callable[[float], Typeset], width: float, height: float, largest: float) -> Fitted:
    """Typeset smaller and smaller until it fits; below the smallest readable em it is scaled geometrically.

    Setting again, and not scaling, lets text wrap anew at every size.
    """
    em = largest
    while True:
        typeset = make(em)
        if typeset.logical_width <= width + _TOLERANCE and typeset.logical_height <= height + _TOLERANCE:
            return Fitted(typeset, em)
        if em <= Type.SMALLEST:
            break
        em = max(em * 0.93, Type.SMALLEST)
    factor = min(width / typeset.logical_width, height / typeset.logical_height, 1.0)
    return Fitted(typeset.shrink(factor), em * factor)


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
    for index, first in enumerate(blocks):
        for other in range(index + 1, len(blocks)):
            if boxes[index].overlap(boxes[other]) > _TOLERANCE:
                problems.append(f"{first.name} overlaps {blocks[other].name}")
    return problems

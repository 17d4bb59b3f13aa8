"""Which glyphs of a formula go on in the next line: glyphs of equal outline, in an order that looks like moving."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from manim import Animation, VGroup, VMobject
from manim.utils.rate_functions import smooth

Points = np.ndarray[Any, np.dtype[np.float64]]

_SAME_SHAPE = 0.02
"""Largest distance of corresponding points, in sizes of the glyph: Typst rounds outlines a little."""
_SAME_SIZE = 0.12
"""An exponent does not become a factor by moving."""


def shape_classes(glyphs: Sequence[Points]) -> list[int]:
    """A number for each outline; outlines that differ in place only, and hardly in size, have the same."""
    kinds: list[tuple[float, Points]] = []
    classes: list[int] = []
    for points in glyphs:
        low = points[:, :2].min(axis=0)
        size = max(float(np.ptp(points[:, 0])), float(np.ptp(points[:, 1])), 1e-9)
        normal = (points[:, :2] - low) / size
        for number, (height, kind) in enumerate(kinds):
            if kind.shape != normal.shape or abs(size / height - 1) > _SAME_SIZE:
                continue
            if np.abs(kind - normal).max() < _SAME_SHAPE:
                classes.append(number)
                break
        else:
            kinds.append((size, normal))
            classes.append(len(kinds) - 1)
    return classes


def pairs(before: Sequence[int], after: Sequence[int]) -> dict[int, int]:
    """For positions of `after` the position of `before` that goes there.

    First a longest common subsequence, so that terms keep their order; then one of what is left, for terms that change
    sides.
    """
    found = _common(before, after, range(len(before)), range(len(after)))
    taken = set(found.values())
    rest_before = [at for at in range(len(before)) if at not in taken]
    rest_after = [at for at in range(len(after)) if at not in found]
    return found | _common(before, after, rest_before, rest_after)


def _common(before: Sequence[int], after: Sequence[int], froms: Sequence[int], tos: Sequence[int]) -> dict[int, int]:
    """A longest common subsequence of parts of two sequences, by positions of both; the first of equal ones."""
    longest = [[0] * (len(tos) + 1) for _ in range(len(froms) + 1)]
    for i in range(len(froms) - 1, -1, -1):
        row, below = longest[i], longest[i + 1]
        for j in range(len(tos) - 1, -1, -1):
            if before[froms[i]] == after[tos[j]]:
                row[j] = below[j + 1] + 1
            else:
                row[j] = max(below[j], row[j + 1])
    found: dict[int, int] = {}
    i = j = 0
    while i < len(froms) and j < len(tos):
        if before[froms[i]] == after[tos[j]]:
            found[tos[j]] = froms[i]
            i, j = i + 1, j + 1
        elif longest[i + 1][j] >= longest[i][j + 1]:
            i += 1
        else:
            j += 1
    return found


class MoveGlyphs(Animation):
    """A line of glyphs comes out of the one above: some start as copies of its glyphs, the others fade in late."""

    def __init__(self, line: VGroup, above: VGroup, moved: dict[int, int], **kwargs: Any) -> None:
        self._ends = [glyph.points.copy() for glyph in line]
        self._starts = {at: above[source].points.copy() for at, source in moved.items()}
        self._looks = [(glyph.get_fill_opacity(), glyph.get_stroke_opacity()) for glyph in line]
        super().__init__(line, **{"rate_func": smooth, **kwargs})

    def create_starting_mobject(self) -> VMobject:
        """Nothing is interpolated from a copy."""
        return VMobject()

    def interpolate_mobject(self, alpha: float) -> None:
        """Manim's hook."""
        share = float(self.rate_func(alpha))
        late = min(max((share - 0.45) / 0.55, 0.0), 1.0)
        line = cast(VGroup, self.mobject)
        for at, (glyph, end) in enumerate(zip(line, self._ends, strict=True)):
            start = self._starts.get(at)
            if start is not None:
                glyph.set_points(start + share * (end - start))
            else:
                fill, stroke = self._looks[at]
                glyph.set_fill(opacity=fill * late, family=False).set_stroke(opacity=stroke * late, family=False)

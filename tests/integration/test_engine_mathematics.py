"""Formulas: what moves from line to line, matrices, number lines (R4, V9)."""

from __future__ import annotations

import pytest
from manim import VGroup

from services.video_render.adapters.manim import matching
from services.video_render.domain.storyboard import Derivation, DerivationStep
from tests.integration.engine_scenes import prepared


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("a+b=c", "b=c", "+b=c"),
        ("a+b=c", "a=c-b", "a=cb"),
        ("abc", "xyz", ""),
        ("aaaa", "aa", "aa"),
    ],
)
def test_v9_common_terms_are_found_in_their_order_and_then_across(before: str, after: str, expected: str) -> None:
    found = matching.pairs([ord(char) for char in before], [ord(char) for char in after])
    assert all(before[source] == after[at] for at, source in found.items())
    assert len(set(found.values())) == len(found)
    assert sorted(after[at] for at in found) == sorted(expected.replace("+", ""))


def lines(*formulas: str) -> list[VGroup]:
    scene = prepared(Derivation(tuple(DerivationStep(formula) for formula in formulas)))
    found: list[VGroup] = scene.lines
    return found


def test_v9_equal_glyphs_are_told_by_their_outline_and_size() -> None:
    above, below = lines("x + y &= x^2", "y &= x^2 - x")
    classes = matching.shape_classes([glyph.points for glyph in (*above, *below)])
    x, plus, y, equals, other_x, square = classes[:6]
    assert x == other_x
    assert len({x, plus, y, equals, square}) == 5
    assert classes[6:] == [y, equals, x, square, classes[10], x]
    assert classes[10] not in classes[:6], "a minus sign is new"


def test_v9_matched_glyphs_travel_and_the_others_fade_in() -> None:
    above, below = lines("a + b &= c", "b &= c - a")
    classes = matching.shape_classes([glyph.points for glyph in (*above, *below)])
    moved = matching.pairs(classes[: len(above)], classes[len(above) :])
    ends = [glyph.get_center().copy() for glyph in below]
    animation = matching.MoveGlyphs(below, above, moved, rate_func=lambda share: share)
    animation.interpolate_mobject(0.0)
    for at, glyph in enumerate(below):
        if at in moved:
            assert glyph.get_center() == pytest.approx(above[moved[at]].get_center(), abs=1e-3)
        else:
            assert glyph.get_fill_opacity() == 0.0
    animation.interpolate_mobject(1.0)
    assert [tuple(glyph.get_center()) for glyph in below] == [pytest.approx(tuple(end)) for end in ends]
    assert all(glyph.get_fill_opacity() == 1.0 for glyph in below)
    assert len(moved) == 4, "b, =, c and a; the minus sign is new"

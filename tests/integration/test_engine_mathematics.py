"""Formulas: what moves from line to line, matrices, number lines (R4, V9)."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from manim import VGroup

from services.video_render.adapters.manim import matching
from services.video_render.adapters.manim.layout import measure
from services.video_render.adapters.manim.spreading import spread
from services.video_render.domain.storyboard import (
    Derivation,
    DerivationStep,
    Interval,
    Matrix,
    MatrixEntry,
    MatrixRow,
    NumberLine,
    NumberLineInterval,
    NumberLineJump,
    NumberLinePoint,
)
from tests.integration.engine_scenes import prepared
from tests.integration.layout_strategies_data import number_lines


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


def test_v9_entries_of_a_matrix_are_found_and_stand_in_rows() -> None:
    rows = (MatrixRow(("1, 2; 3", "x^2", "a/b")), MatrixRow(("thin", "f(x, y)", "7")))
    scene = prepared(Matrix(rows, "A =", "v", highlights=(MatrixEntry(1, 3), MatrixEntry(2, 1), MatrixEntry(2, 3))))
    boxes = {place: measure(entry) for place, entry in scene.entries.items() if len(entry)}
    assert set(boxes) == {(0, 0), (0, 1), (0, 2), (1, 1), (1, 2)}, "a space has no ink"
    assert boxes[0, 0].right < boxes[0, 1].left < boxes[0, 1].right < boxes[0, 2].left
    assert boxes[0, 1].bottom > boxes[1, 1].top
    assert len(scene.boxes) == 2
    marked = measure(scene.boxes[0])
    assert marked.left < boxes[0, 2].left < boxes[0, 2].right < marked.right
    assert marked.overlap(boxes[0, 1]) == 0.0
    inked = {
        tuple(glyph.get_fill_rgbas()[0]) for entry in scene.entries.values() for glyph in entry if glyph.fill_opacity
    }
    assert len(inked) == 1, "all in the colour of text"


def test_v9_points_intervals_and_jumps_stand_where_their_numbers_are() -> None:
    scene = prepared(
        NumberLine(
            Interval(-5, 5),
            1.0,
            (NumberLinePoint(0.0), NumberLinePoint(2.5, "here")),
            (NumberLineInterval(Interval(-1, 3), open_max=True), NumberLineInterval(Interval(2, 4))),
            (NumberLineJump(0, 3, "+3"), NumberLineJump(3, -2, "-5")),
        )
    )
    assert scene.dots[1].get_center()[:2] == pytest.approx((scene.scale(2.5), scene.y))
    assert scene.point_labels[0] is None, "the tick says it"
    closed, opened = scene.bars[0][-2:]
    assert closed.get_fill_color() == closed.get_stroke_color()
    assert opened.get_fill_color() != opened.get_stroke_color()
    assert scene.lanes == [0, 1]
    inner, outer = scene.jumps
    assert inner.tip.get_center()[0] == pytest.approx(scene.scale(3))
    assert outer.tip.get_center()[0] == pytest.approx(scene.scale(-2))
    assert measure(outer.arc).top > measure(inner.arc).top


@settings(
    max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)
@given(number_lines())
def test_r4_labels_of_a_number_line_never_cover_each_other(content: NumberLine) -> None:
    scene = prepared(content, "A heading")
    labels = [measure(block.mobject) for block in scene.blocks if block.name.startswith("the label")]
    assert all(one.overlap(two) < 1e-3 for one, two in combinations(labels, 2))
    for jump in scene.jumps:
        assert measure(jump.arc).top <= scene.area.top + 0.01


SIZES = st.floats(0.1, 4)


@given(st.lists(st.tuples(st.floats(-5, 5), SIZES), max_size=9), st.floats(0, 0.5))
def test_r4_spread_labels_keep_their_order_and_their_distance(labels: list[tuple[float, float]], gap: float) -> None:
    labels = sorted(labels)
    sizes = [size for _, size in labels]
    middles = spread([wanted for wanted, _ in labels], sizes, -20.0, 20.0, gap)
    for (one, two), (size, other) in zip(pairwise(middles), pairwise(sizes), strict=True):
        assert two - one >= (size + other) / 2 - 1e-6
    assert all(m - s / 2 >= -20.0 - 1e-6 and m + s / 2 <= 20.0 + 1e-6 for m, s in zip(middles, sizes, strict=True))
    assert spread([1.0, 5.0], [1.0, 1.0], -20.0, 20.0, gap) == pytest.approx([1.0, 5.0])

"""Charts of data: pies and scattered points (R4, V9)."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from services.video_render.adapters.manim.layout import measure
from services.video_render.adapters.manim.templates import pie
from services.video_render.domain.storyboard import (
    ChartSeries,
    ChartStyle,
    DataChart,
    ScatterChart,
    ScatterPoint,
    ScatterSeries,
)
from tests.integration.engine_scenes import prepared
from tests.integration.layout_strategies_data import pies


def chart(*values: float) -> DataChart:
    names = tuple(f"name {number}" for number in range(len(values)))
    return DataChart(ChartStyle.PIE, names, (ChartSeries(values),))


def test_v9_slices_are_in_proportion_and_the_largest_numbers_do_no_harm() -> None:
    for factor in (1.0, 1e11):
        drawn = prepared(chart(1 * factor, 2 * factor, 0.0, 5 * factor)).pie
        shares = [end - start for start, end in zip(drawn.edges, drawn.edges[1:], strict=False)]
        assert shares == pytest.approx([1 / 8, 2 / 8, 0.0, 5 / 8])
    assert len(drawn.slices[2].points) == 0


def test_v9_many_small_slices_keep_readable_names_on_both_sides() -> None:
    scene = prepared(chart(60.0, *[1.0] * 15), "A heading")
    assert scene.problems == []
    sides = {measure(text).left > 0 for text in pie.name_texts(scene.pie)}
    assert sides == {True, False}


@settings(
    max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)
@given(pies())
def test_r4_names_of_slices_never_cover_each_other_or_the_pie(content: DataChart) -> None:
    scene = prepared(content, "A heading")
    boxes = [measure(scene.pie.slices), *(measure(text) for text in pie.name_texts(scene.pie))]
    assert all(one.overlap(two) < 0.02 for one, two in combinations(boxes, 2))


def series(*points: tuple[float, float, float], name: str = "") -> ScatterSeries:
    return ScatterSeries(tuple(ScatterPoint(*point) for point in points), name)


def test_v9_the_line_through_points_is_the_one_of_least_squares() -> None:
    scene = prepared(ScatterChart((series((0, 1, 0), (1, 3, 0), (2, 5, 0), (3, 7, 0)),), trend=True))
    line, axes = scene.lines[0], scene.axes
    start, end = line.points[0], line.points[-1]
    rise = (end[1] - start[1]) / (axes.y(1) - axes.y(0))
    assert rise / ((end[0] - start[0]) / (axes.x(1) - axes.x(0))) == pytest.approx(2.0)


@pytest.mark.parametrize("points", [((1, 1, 0),), ((1, 1, 0), (1, 2, 0)), ((1e12, 1, 0), (1e12, 2, 0))])
def test_v9_no_line_where_x_does_not_vary(points: tuple[tuple[float, float, float], ...]) -> None:
    assert prepared(ScatterChart((series(*points),), trend=True)).lines == [None]


def test_v9_sizes_are_areas_and_have_a_key_only_where_they_differ() -> None:
    scene = prepared(ScatterChart((series((0, 0, 1), (1, 1, 4)),), size_label="people"))
    large, small = scene.series[0]
    assert large.width / small.width == pytest.approx(math.sqrt(4), rel=0.01)
    assert len(scene.key) >= 3, "its name and two sizes or more"
    assert len(prepared(ScatterChart((series((0, 0, 1), (1, 1, 1)),))).key) == 0

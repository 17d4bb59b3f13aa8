"""Plots: where curves, areas, tangents and moving points are (R4, V9)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from services.video_render.adapters.manim import curves
from services.video_render.adapters.manim.layout import measure
from services.video_render.adapters.manim.templates.plot_marks import function, slope
from services.video_render.domain import expression
from services.video_render.domain.storyboard import (
    FunctionPlot,
    Interval,
    MovingPoint,
    ParametricCurve,
    ParametricPlot,
    PlotFunction,
    ShadedArea,
    Tangent,
)
from tests.integration.engine_scenes import prepared

PARABOLA = (PlotFunction("x^2", "parabola"),)


def test_v9_the_label_of_an_area_stands_inside_or_else_in_the_legend() -> None:
    wide = prepared(FunctionPlot(PARABOLA, Interval(0, 3), areas=(ShadedArea(Interval(0, 3), label="nine"),)))
    label, area = measure(wide.area_labels[0]), wide.areas[0]
    assert len(wide.legend.group) == 1
    assert label.right < area.xs[-1]
    assert label.bottom > wide.axes.y(0.0)
    assert label.top < wide.axes.y(((label.left - wide.axes.box.left) / wide.axes.box.width * 3) ** 2)
    thin = prepared(FunctionPlot(PARABOLA, Interval(0, 3), areas=(ShadedArea(Interval(1, 1.01), label="thin"),)))
    assert len(thin.legend.group) == 2


def test_v9_an_area_is_cut_where_a_function_has_no_value() -> None:
    roots = (PlotFunction("sqrt(x)"), PlotFunction("1/x"))
    scene = prepared(FunctionPlot(roots, Interval(-2, 2), areas=(ShadedArea(Interval(-2, 2), 0, 1),)))
    box = measure(scene.areas[0].shape)
    assert box.left == pytest.approx(scene.axes.x(0), abs=0.1)
    assert box.right == pytest.approx(scene.axes.x(2))


def test_v9_a_tangent_touches_its_curve_and_says_its_slope() -> None:
    scene = prepared(FunctionPlot(PARABOLA, Interval(-2, 3), Interval(-3, 8), tangents=(Tangent(0, 1.0),)))
    [touch] = scene.tangents
    assert tuple(touch.dot.get_center()[:2]) == pytest.approx(scene.axes(1, 1)[:2])
    start, end = touch.line.get_start(), touch.line.get_end()
    rise = (end[1] - start[1]) / (scene.axes.y(1) - scene.axes.y(0))
    run = (end[0] - start[0]) / (scene.axes.x(1) - scene.axes.x(0))
    assert rise / run == pytest.approx(2.0, rel=1e-3)
    assert len(scene.legend.group) == 2


@pytest.mark.parametrize(
    ("source", "x", "expected"),
    [
        ("x^2", 1.0, 2.0),
        ("x^2", 3.0, 6.0),
        ("abs(x)", 0.0, None),
        ("1/x", 0.0, None),
        ("floor(x)", 1.0, None),
        ("x^3 - 3x", 1.0, 0.0),
        ("cos(x)", 0.0, 0.0),
        ("max(x, 2x)", 0.0, None),
    ],
)
def test_v9_slopes_where_there_are_any(source: str, x: float, expected: float | None) -> None:
    found = slope(function(source), x, Interval(-3, 3))
    assert math.isnan(found) if expected is None else found == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_v9_a_moving_point_runs_along_its_curve_and_hides_beside_the_plot() -> None:
    scene = prepared(
        FunctionPlot(PARABOLA, Interval(-2, 3), Interval(0, 4), moving_points=(MovingPoint(0, -2, 3, True),))
    )
    [touch] = scene.points
    for x in (-1.5, 0.0, 1.9):
        touch.put(x)
        assert tuple(touch.dot.get_center()[:2]) == pytest.approx(scene.axes(x, x * x)[:2])
        assert touch.dot.get_fill_opacity() == 1.0
        box = measure(touch.line)
        assert scene.axes.box.left - 0.01 <= box.left <= box.right <= scene.axes.box.right + 0.01
        assert scene.axes.box.bottom - 0.01 <= box.bottom <= box.top <= scene.axes.box.top + 0.01
    touch.put(2.5)
    assert touch.dot.get_fill_opacity() == touch.line.get_stroke_opacity() == 0.0


def test_v9_curves_are_cut_at_poles_and_exactly_at_the_edges() -> None:
    scene = prepared(FunctionPlot((PlotFunction("1/x"),), Interval(-2, 2), Interval(-4, 4)))
    box = scene.axes.box
    below, above = scene.parts[0]
    assert below.corners[-1][1] == pytest.approx(box.bottom)
    assert above.corners[0][1] == pytest.approx(box.top)
    assert below.parameters[-1] == pytest.approx(-0.25, abs=0.01)


def test_v9_a_unit_is_as_long_on_both_axes_unless_stretched() -> None:
    circle = (ParametricCurve("cos(t)", "3 sin(t)"),)
    units = []
    for stretch in (False, True):
        scene = prepared(ParametricPlot(circle, stretch=stretch))
        x, y = scene.axes.x, scene.axes.y
        units.append((x(1) - x(0)) / (y(1) - y(0)))
        reach = measure(scene.curves[0])
        assert (reach.left, reach.top) == pytest.approx((x(-1), y(3)), abs=0.01)
    assert units[0] == pytest.approx(1.0)
    assert units[1] > 2


def test_v9_a_curve_is_drawn_as_its_parameter_runs() -> None:
    scene = prepared(ParametricPlot((ParametricCurve("t", "t^2"),), Interval(0, 2), stretch=True))
    trace = curves.Trace(scene.curves[0], scene.parts[0], Interval(0, 2), rate_func=lambda share: share)
    for share in (0.25, 0.5, 1.0):
        trace.interpolate_mobject(share)
        end = scene.curves[0][0].points[-1][:2]
        assert tuple(end) == pytest.approx(scene.axes(2 * share, 4 * share**2)[:2], abs=1e-3)


def test_r4_ranges_of_values_with_poles_show_the_rest() -> None:
    xs = np.linspace(-1, 1, 400)
    bounds = curves.fit_range([1 / xs])
    assert -60 < bounds.min < -5
    assert 5 < bounds.max < 60
    assert curves.fit_range([np.array([np.nan])]) == Interval(-1.0, 1.0)


def test_r1_every_function_can_stand_in_a_legend() -> None:
    for name in sorted(expression.FUNCTIONS):
        source = f"{name}(x, 1)" if name in ("min", "max") else f"{name}(x)"
        scene = prepared(FunctionPlot((PlotFunction(f"2{source} % 3 + 1e-5x"),)))
        assert len(scene.legend.group) == 1


def test_v9_the_slope_of_a_level_tangent_is_0() -> None:
    scene = prepared(FunctionPlot((PlotFunction("x^3 - 3x"),), Interval(-2.5, 2.5), tangents=(Tangent(0, 1.0),)))
    assert scene.legend.group[1].width < 1.9, "m = 0 and not a power of ten"

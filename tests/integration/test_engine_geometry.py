"""Geometry scenes: where figures are at every moment, and that they stay on the frame (R4, V9)."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from manim import tempconfig

from services.video_render.adapters.manim import plane, scene_drawing
from services.video_render.adapters.manim.figure_labels import inner_middle
from services.video_render.adapters.manim.layout import FRAME, measure
from services.video_render.adapters.manim.templates.geometry import GeometryScene
from services.video_render.adapters.manim.themes import DARK
from services.video_render.application.engine import Rung
from services.video_render.domain.storyboard import (
    Geometry,
    GeometryAngle,
    GeometryFigure,
    GeometryMotion,
    GeometryStep,
    Position,
    Scene,
    Storyboard,
)
from tests.fakes.geometry import REARRANGEMENT, polygon, side
from tests.integration.layout_strategies_data import geometries

TINY = Rung("tiny", 426, 240, 10)


def prepared(content: Geometry, heading: str = "") -> GeometryScene:
    scene = Scene("s", content, heading)
    assert Storyboard("t", (scene,)).violations() == ()
    with (
        tempfile.TemporaryDirectory() as folder,
        tempconfig(scene_drawing.settings(TINY, Path(folder))),
    ):
        story = GeometryScene(scene, DARK)
        story.prepare()
    return story


def shown_boxes(story: GeometryScene, step: int) -> list[tuple[str, float]]:
    """How far each figure that is shown in a step reaches beyond the frame."""
    found = []
    for drawing in story.shown(step):
        for part in drawing.family_members_with_points():
            box = measure(part)
            found.append(
                (
                    drawing.figure.id,
                    max(
                        FRAME.left - box.left,
                        box.right - FRAME.right,
                        FRAME.bottom - box.bottom,
                        box.top - FRAME.top,
                    ),
                )
            )
    return found


@settings(
    max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)
@given(geometries())
def test_r4_figures_and_labels_stay_on_the_frame_at_all_times(content: Geometry) -> None:
    story = prepared(content, "A heading")
    assert [problem for problem in story.problems if "frame" in problem or "overlaps" in problem] == []
    for step in range(len(content.steps) + 1):
        for share in (0.0, 0.13, 0.5, 0.9, 1.0):
            story.pose_at(step, share)
            assert [found for found in shown_boxes(story, step) if not found[1] <= 0.0] == []


def corners(story: GeometryScene, name: str, rest: int) -> list[tuple[float, float]]:
    at = story.course.index(name)
    places = np.array([plane.place(corner) for corner in story.content.figures[at].positions()])
    return [(round(z.real, 6), round(z.imag, 6)) for z in story.course.rest(rest, at)(places).tolist()]


def test_v9_the_rearrangement_proof_ends_in_two_rectangles_beside_two_squares() -> None:
    story = prepared(REARRANGEMENT, "Proof")
    assert story.problems == []
    assert corners(story, "t1", 5) == [(0, 0), (4, 0), (0, 3)]
    assert corners(story, "t3", 5) == [(4, 3), (0, 3), (4, 0)]
    assert corners(story, "t2", 5) == [(7, 3), (7, 7), (4, 3)]
    assert corners(story, "t4", 5) == [(4, 7), (4, 3), (7, 7)]
    visible = {figure.id for at, figure in enumerate(REARRANGEMENT.figures) if story.course.visible(5, at)}
    assert visible == {"frame", "aa", "bb", "t1", "t2", "t3", "t4"}


def test_v9_a_motion_turns_then_grows_then_moves_along_an_arc() -> None:
    point = GeometryFigure("p", point=Position(2, 0))
    motion = GeometryMotion(("p",), Position(0, 1), 90.0, Position(1, 0), 2.0)
    course = plane.Course(Geometry((point,), (GeometryStep(motions=(motion,)),)))
    assert course.rest(1, 0)(2 + 0j) == pytest.approx(1 + 3j)
    half = course.pose(0, 0.5, 0)(2 + 0j)
    assert abs(half - (1 + 0.5j)) == pytest.approx(2**0.5)
    bounds = course.bounds()
    assert (bounds.left, bounds.right, bounds.top) == pytest.approx((1.0, 2.16, 3.0), abs=0.1)


def test_v9_figures_turn_about_the_middle_of_them_all_by_default() -> None:
    square = GeometryFigure("s", polygon=polygon((0, 0), (2, 0), (2, 2), (0, 2)))
    course = plane.Course(Geometry((square,), (GeometryStep(motions=(GeometryMotion(("s",), degrees=180.0),)),)))
    assert course.rest(1, 0)(0j) == pytest.approx(2 + 2j)


def test_v9_labels_of_sides_stand_outside_and_those_of_angles_inside() -> None:
    triangle = GeometryFigure("t", "", 1, True, polygon=polygon((0, 0), (4, 0), (0, 3)))
    angle = GeometryFigure("w", "$w$", angle=GeometryAngle(Position(), Position(4, 0), Position(0, 3), right=True))
    story = prepared(Geometry((triangle, side("$b$", (0, 0), (4, 0)), side("$c$", (4, 0), (0, 3)), angle)))
    middles = {drawing.figure.id: drawing.label.get_center() for drawing in story.drawings if drawing.label}
    view = story.view
    inside = {
        name: (at[0] - view.shift.real) / view.factor.real > 0 and (at[1] - view.shift.imag) / view.factor.real > 0
        for name, at in middles.items()
    }
    assert inside == {"b": False, "c": True, "w": True}
    x, y = ((middles["c"][i] - (view.shift.real, view.shift.imag)[i]) / view.factor.real for i in (0, 1))
    assert 3 * x + 4 * y > 12, "beyond the hypotenuse"


def test_v9_the_label_of_a_bent_polygon_lies_inside_it() -> None:
    bent = np.array([0, 3, 3 + 3j, 2 + 3j, 2 + 1j, 1j], dtype=complex)
    far = bent + (1e6 + 1e6j)
    for shape in (bent, far):
        spot = inner_middle(shape) - shape[0]
        assert (0 < spot.real < 3 and 0 < spot.imag < 1) or (2 < spot.real < 3 and 0 < spot.imag < 3)


def test_r4_labels_that_cover_each_other_are_reported() -> None:
    same = tuple(GeometryFigure(f"t{number}", "the same place", text=Position(1, 1)) for number in range(2))
    assert prepared(Geometry(same)).problems == ["the labels of 't0' and 't1' cover each other"]


def test_r4_very_many_covered_labels_are_counted_not_listed() -> None:
    same = tuple(GeometryFigure(f"t{number}", "the same place", text=Position(1, 1)) for number in range(12))
    problems = prepared(Geometry(same)).problems
    assert len(problems) == 6
    assert problems[-1] == "61 more pairs of labels cover each other"

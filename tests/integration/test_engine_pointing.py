"""What is pointed at stands out: lines of code, paths through networks (V9)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from manim import ManimColor, VMobject, tempconfig

from services.video_render.adapters.manim import scene_drawing
from services.video_render.adapters.manim.edges import Edge, label_place, route
from services.video_render.adapters.manim.frame_renderer import FrameRenderer
from services.video_render.adapters.manim.layout import Box
from services.video_render.adapters.manim.network_layout import Size, place
from services.video_render.adapters.manim.painter import Pixels
from services.video_render.adapters.manim.templates import TEMPLATES, StoryScene
from services.video_render.adapters.manim.themes import DARK
from services.video_render.application.engine import Rung
from services.video_render.domain.storyboard import (
    Code,
    CodeHighlight,
    Content,
    Network,
    NetworkEdge,
    NetworkLayout,
    NetworkNode,
    Scene,
    SceneAnimation,
    Transition,
)

AREA = Box(-6.0, 6.0, -3.0, 3.0)


class _Nowhere:
    """A sink that only counts."""

    def __init__(self) -> None:
        self.frames = 0

    def write(self, pixels: Pixels, rows: tuple[int, int] | None = None) -> None:
        self.frames += 1

    def repeat(self, count: int) -> None:
        self.frames += count


def played(content: Content) -> StoryScene[Any]:
    """The scene as it stands at its end."""
    scene = Scene("s", content, duration_s=5.0, animation=SceneAnimation(transition=Transition.CUT))
    with (
        tempfile.TemporaryDirectory() as folder,
        tempconfig(scene_drawing.settings(Rung("tiny", 214, 120, 5), Path(folder))),
    ):
        renderer = FrameRenderer(_Nowhere(), DARK.background, lambda done: None)
        story = TEMPLATES[type(content)](scene, DARK, renderer=renderer)
        story.construct()
        return story


def test_v9_lines_pointed_at_stay_bright_while_the_others_dim() -> None:
    notes = (CodeHighlight(1, note="first"), CodeHighlight(2, 3, "then these"))
    story: Any = played(Code(("one = 1", "two = 2", "three = 3", "four = 4"), "python", notes))
    brightness = [{part.get_fill_opacity() for part in line} for line in story.lines]
    assert brightness == [{0.32}, {1.0}, {1.0}, {0.32}]
    assert story.band.get_top()[1] == pytest.approx(story.bands[1].get_top()[1])
    assert story.band.get_top()[1] > story.lines[1].get_top()[1] > story.lines[2].get_bottom()[1]
    assert story.lines[2].get_bottom()[1] > story.band.get_bottom()[1]
    on_screen = story.get_mobject_family_members()
    assert [note in on_screen for note in story.notes] == [False, True]


def test_v9_code_without_highlights_keeps_all_its_lines_bright() -> None:
    story: Any = played(Code(("one = 1", "two = 2"), "python"))
    assert {part.get_fill_opacity() for line in story.lines for part in line} == {1.0}


def test_v9_the_nodes_of_a_path_are_lit_and_the_edges_between_them_drawn_over() -> None:
    nodes = tuple(NetworkNode(name) for name in "abcd")
    edges = (NetworkEdge("a", "b"), NetworkEdge("c", "b"), NetworkEdge("c", "d"))
    story: Any = played(Network(nodes, edges, path=("a", "b", "c")))
    colours = [node[0].get_fill_color().to_hex().lower() for node in story.nodes]
    lit, dark = DARK.accents[1], DARK.panel
    assert colours == [lit, lit, lit, dark]
    over = [
        mobject
        for mobject in story.get_mobject_family_members()
        if isinstance(mobject, VMobject)
        and mobject.get_stroke_width() == 7.0
        and mobject.get_stroke_color() == ManimColor(lit)
    ]
    assert len(over) == 2


def test_v9_edges_go_round_nodes_that_stand_in_their_way() -> None:
    boxes = [Box(-5, -4, -0.3, 0.3), Box(-0.5, 0.5, -0.3, 0.3), Box(4, 5, -0.3, 0.3)]
    assert route(boxes, 0, 1, AREA).straight
    round_about = route(boxes, 0, 2, AREA)
    assert not round_about.straight
    middle = boxes[1]
    inside = [p for p in round_about.points if middle.left < p[0] < middle.right and middle.bottom < p[1] < middle.top]
    assert inside == []


def test_v9_labels_of_edges_stand_beside_lines_and_clear_of_nodes() -> None:
    boxes = [Box(-5, -4, -0.3, 0.3), Box(4, 5, -0.3, 0.3)]
    edge = route(boxes, 0, 1, AREA)
    at = label_place([edge], 0, 1.0, 0.3, boxes, AREA)
    assert at is not None
    assert abs(at[1]) > 0.15
    full = [Box(-6, 6, -3, 3)]
    assert label_place([edge], 0, 1.0, 0.3, full, AREA) is None


def test_v9_two_edges_between_the_same_nodes_keep_apart() -> None:
    boxes = [Box(-5, -4, -0.3, 0.3), Box(4, 5, -0.3, 0.3)]
    there, back = route(boxes, 0, 1, AREA, bend=True), route(boxes, 1, 0, AREA, bend=True)
    assert there.at(0.5)[0][1] * back.at(0.5)[0][1] < 0


def test_v9_an_arrow_ends_where_its_edge_does() -> None:
    edge = Edge(((0.0, 0.0), (1.0, 0.0), (3.0, 0.0)), True)
    points, angle = edge.shortened(0.5)
    assert points[-1] == pytest.approx((2.5, 0.0))
    assert angle == pytest.approx(0.0)


def test_v9_trees_stand_in_rows_parents_over_the_middle_of_their_children() -> None:
    nodes = tuple(NetworkNode(name) for name in "abcde")
    edges = (NetworkEdge("a", "b"), NetworkEdge("a", "c"), NetworkEdge("c", "d"), NetworkEdge("c", "e"))
    places = place(Network(nodes, edges), [Size(1.0, 0.5)] * 5, AREA, 0.3, 0.5)
    assert places is not None
    (ax, ay), (bx, by), (cx, cy), (dx, dy), (ex, ey) = places
    assert ay > by == cy > dy == ey
    assert ax == pytest.approx((bx + cx) / 2)
    assert cx == pytest.approx((dx + ex) / 2)


def test_v9_springs_find_a_drawing_without_crossings_where_there_is_an_easy_one() -> None:
    """A ladder drawn from a circle would stay twisted."""
    names = ("s", "m", "l", "t", "p", "h")
    pairs = ("sm", "sl", "lm", "mt", "lp", "pt", "th", "ph")
    edges = tuple(NetworkEdge(pair[0], pair[1]) for pair in pairs)
    network = Network(tuple(NetworkNode(name) for name in names), edges, layout=NetworkLayout.SPRING, path=("s",))
    places = place(network, [Size(1.0, 0.5)] * 6, AREA, 0.3, 0.5)
    assert places is not None
    at = dict(zip(names, places, strict=True))

    def side(pair: str, c: str) -> float:
        a, b = pair[0], pair[1]
        return (at[b][0] - at[a][0]) * (at[c][1] - at[a][1]) - (at[b][1] - at[a][1]) * (at[c][0] - at[a][0])

    crossings = [
        (first, second)
        for number, first in enumerate(pairs)
        for second in pairs[:number]
        if not set(first) & set(second)
        and side(first, second[0]) * side(first, second[1]) < 0
        and side(second, first[0]) * side(second, first[1]) < 0
    ]
    assert crossings == []
    assert at["s"][0] == min(x for x, _ in places), "a path begins at the left"

"""The storyboard value: JSON there and back, rules with field paths, content address (V9, V10)."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from services.video_render.domain.content_address import content_hash
from services.video_render.domain.storyboard import (
    KINDS,
    BulletItem,
    Bullets,
    ChartSeries,
    ChartStyle,
    Code,
    Compare,
    CompareSide,
    DataChart,
    Derivation,
    DerivationStep,
    Equation,
    FunctionPlot,
    Geometry,
    GeometryAngle,
    GeometryCircle,
    GeometryFigure,
    GeometryMotion,
    GeometryPolygon,
    GeometrySegment,
    GeometryStep,
    Image,
    Interval,
    Matrix,
    MatrixBrackets,
    MatrixEntry,
    MatrixRow,
    Network,
    NetworkEdge,
    NetworkLayout,
    NetworkNode,
    NumberLine,
    NumberLineInterval,
    NumberLineJump,
    NumberLinePoint,
    Paragraph,
    ParametricCurve,
    ParametricPlot,
    PlotFunction,
    Position,
    Quote,
    Recap,
    ScatterChart,
    ScatterPoint,
    ScatterSeries,
    Scene,
    Section,
    Storyboard,
    Table,
    TableRow,
    Timeline,
    TimelineEvent,
    TitleCard,
)
from services.video_render.domain.violations import StoryboardInvalid

PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""One pixel."""

ONE_OF_EACH = (
    TitleCard("Title", "Subtitle"),
    Bullets((BulletItem("outer"), BulletItem("inner", 1))),
    Paragraph("Some **text** with $x^2$."),
    Equation("a^2 + b^2 = c^2", "caption"),
    Derivation((DerivationStep("x &= 1", "why"), DerivationStep("&= 2 - 1"))),
    FunctionPlot((PlotFunction("x^2", "parabola"),), Interval(-2, 2), Interval(0, 4), "caption"),
    Table(("a", "b"), (TableRow(("1", "2")),)),
    Code(("print(1)",), "python"),
    DataChart(ChartStyle.LINE, ("x", "y"), (ChartSeries((1.0, -2.0), "s"),), "m"),
    Recap(("one", "two")),
    Section("Part", "2", "of three"),
    Quote("Words.", "Somebody", "Somewhere"),
    Compare(CompareSide("a", ("1", "2")), CompareSide("b", ("3",)), "so"),
    Timeline((TimelineEvent("1905", "E", "mc²"), TimelineEvent("1915", "G"))),
    Matrix(
        (MatrixRow(("1", "2")), MatrixRow(("3", "x^2"))), "A =", "v", MatrixBrackets.ROUND, (MatrixEntry(2, 1),), "c"
    ),
    NumberLine(
        Interval(-5, 5),
        1.0,
        (NumberLinePoint(0.0), NumberLinePoint(2.5, "here")),
        (NumberLineInterval(Interval(-1, 3), open_max=True, label="I"),),
        (NumberLineJump(0.0, 3.0, "+3"),),
        "caption",
    ),
    ParametricPlot((ParametricCurve("cos(t)", "sin(2t)", "knot"),), Interval(0, 3), Interval(-1, 1), stretch=True),
    ScatterChart(
        (ScatterSeries((ScatterPoint(1.0, 2.0, 3.0), ScatterPoint())),), "x", "y", "size", trend=True, caption="c"
    ),
    Image(PICTURE, "caption", "a dot"),
    Network(
        (NetworkNode("a", "A"), NetworkNode("b")), (NetworkEdge("a", "b", "3"),), True, NetworkLayout.TREE, ("a", "b")
    ),
    Geometry(
        (
            GeometryFigure("P", "P", 1, point=Position(1, 2)),
            GeometryFigure("s", segment=GeometrySegment(Position(), Position(1, 0), arrow=True)),
            GeometryFigure("t", "T", 2, True, polygon=GeometryPolygon((Position(), Position(3, 0), Position(0, 4)))),
            GeometryFigure("c", circle=GeometryCircle(Position(), 2.0)),
            GeometryFigure("w", angle=GeometryAngle(Position(), Position(1, 0), Position(0, 1), right=True)),
            GeometryFigure("x", "words", text=Position(5, 5)),
        ),
        (
            GeometryStep(show=("t",), note="first"),
            GeometryStep(
                motions=(GeometryMotion(("t", "P"), Position(1, 1), 90.0, Position(), 2.0),), highlight=("c",)
            ),
        ),
        "caption",
    ),
)


def board(*contents: object) -> Storyboard:
    scenes = tuple(Scene(f"s{index}", content) for index, content in enumerate(contents))  # type: ignore[arg-type]
    return Storyboard("Title", scenes)


def paths(storyboard: Storyboard) -> dict[str, str]:
    return {violation.field: violation.message for violation in storyboard.violations()}


def test_v9_every_kind_survives_json() -> None:
    original = board(*ONE_OF_EACH)
    assert {scene.kind for scene in original.scenes} == set(KINDS)
    assert Storyboard.from_dict(original.to_dict()) == original


def test_v9_a_missing_y_range_is_left_out_of_json() -> None:
    original = board(FunctionPlot((PlotFunction("x"),)))
    assert "y" not in original.to_dict()["scenes"][0]["function_plot"]
    assert Storyboard.from_dict(original.to_dict()) == original


@pytest.mark.parametrize(
    ("content", "field", "message"),
    [
        (FunctionPlot((PlotFunction("x"), PlotFunction("foo(x)"))), "functions[1].expression", "unknown name 'foo'"),
        (FunctionPlot((PlotFunction("x"),), Interval(1, 1)), "x", "max must be greater than min"),
        (Equation("foo + 1"), "math", "unknown name 'foo'"),
        (Equation('#read("/etc/passwd")'), "math", "must not hold code"),
        (Derivation((DerivationStep("(x"),)), "steps[0].math", "bracket"),
        (Table(("a", "b"), (TableRow(("1",)),)), "rows[0].cells", "must have 2 cells"),
        (DataChart(ChartStyle.BAR, ("a",), (ChartSeries((1.0, 2.0)),)), "series[0].values", "one value per category"),
        (Bullets(()), "items", "must not be empty"),
        (Bullets((BulletItem("x" * 301),)), "items[0].text", "at most 300 characters"),
        (Bullets((BulletItem("x", 2),)), "items[0].level", "0 or 1"),
        (Code(("   ",)), "lines", "some text"),
        (Code(("x",), "not a language!"), "language", "language name"),
        (Paragraph("a\x00b"), "text", "control characters"),
    ],
)
def test_v9_a_broken_rule_names_its_field(content: object, field: str, message: str) -> None:
    storyboard = board(TitleCard("t"), content)
    kind = storyboard.scenes[1].kind
    found = paths(storyboard)
    assert message in found[f"scenes[1].{kind}.{field}"]
    with pytest.raises(StoryboardInvalid):
        storyboard.validated()


def test_v9_scene_and_board_fields_are_checked() -> None:
    scenes = (Scene("same", TitleCard("t"), duration_s=500), Scene("same", TitleCard("t")), Scene("", TitleCard("t")))
    found = paths(Storyboard("", scenes, language="klingon!", theme="neon"))
    assert set(found) == {"title", "language", "theme", "scenes[0].duration_s", "scenes[1].id", "scenes[2].id"}


def test_v9_json_of_the_wrong_shape_names_every_field_at_once() -> None:
    broken = {
        "title": 3,
        "colour": "red",
        "scenes": [
            {"id": "a", "title": {"text": "ok"}, "equation": {"math": "x"}},
            {"id": "b", "bullets": {"items": [{"text": 1}, {"level": 1}]}},
            {"id": "c", "data_chart": {"style": "donut", "categories": "x", "series": []}},
            {"id": "d", "title": {"text": "t", "size": 3}, "duration_s": True},
            "not a scene",
        ],
    }
    with pytest.raises(StoryboardInvalid) as caught:
        Storyboard.from_dict(broken)
    assert {violation.field for violation in caught.value.violations} == {
        "title",
        "colour",
        "scenes[0]",
        "scenes[1].bullets.items[0].text",
        "scenes[1].bullets.items[1].text",
        "scenes[2].data_chart.style",
        "scenes[2].data_chart.categories",
        "scenes[3].title.size",
        "scenes[3].duration_s",
        "scenes[4]",
    }


def test_v10_the_content_address_follows_what_is_seen() -> None:
    scene = Scene("a", TitleCard("Title"), narration="Hello", duration_s=3.0)

    def address(of: Scene, voice: str = "", quality: str = "720p", theme: str = "dark", engine: str = "1") -> str:
        return content_hash(of, theme=theme, language="en", quality=quality, engine_version=engine, voice=voice)

    same = address(scene)
    assert address(replace(scene, id="b")) == same
    assert address(replace(scene, narration="Other")) == same
    different = {
        address(replace(scene, heading="H")),
        address(replace(scene, duration_s=4.0)),
        address(replace(scene, content=TitleCard("Other"))),
        address(scene, quality="1080p"),
        address(scene, theme="light"),
        address(scene, engine="2"),
        address(scene, voice="anna"),
        address(replace(scene, narration="Other"), voice="anna"),
    }
    assert len(different) == 8
    assert same not in different
    assert len(same) == 64

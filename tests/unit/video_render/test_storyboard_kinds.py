"""The rules of each kind of scene: whatever is wrong is named with its field (V9)."""

from __future__ import annotations

import pytest

from services.video_render.domain import pictures
from services.video_render.domain.storyboard import (
    ChartSeries,
    ChartStyle,
    Code,
    CodeHighlight,
    Compare,
    CompareSide,
    Content,
    DataChart,
    FunctionPlot,
    Geometry,
    GeometryCircle,
    GeometryFigure,
    GeometryMotion,
    GeometryStep,
    Image,
    Interval,
    Matrix,
    MatrixEntry,
    MatrixRow,
    MovingPoint,
    Network,
    NetworkEdge,
    NetworkLayout,
    NetworkNode,
    NumberLine,
    NumberLineInterval,
    NumberLineJump,
    NumberLinePoint,
    ParametricCurve,
    ParametricPlot,
    PlotFunction,
    Position,
    Quote,
    ScatterChart,
    ScatterPoint,
    ScatterSeries,
    Scene,
    SceneAnimation,
    ShadedArea,
    Storyboard,
    Tangent,
    Timeline,
    TimelineEvent,
)
from services.video_render.domain.violations import StoryboardInvalid
from tests.unit.video_render.test_storyboard import PICTURE

A, B = NetworkNode("a"), NetworkNode("b")
AB, BA = NetworkEdge("a", "b"), NetworkEdge("b", "a")
DOT = GeometryFigure("d", point=Position())
UNIT = Interval(0, 1)
LINE = (PlotFunction("x"),)
WIDE = PICTURE[:16] + b"\x00\x01\x00\x00" + PICTURE[20:]

BROKEN: list[tuple[Content, str, str]] = [
    (Code(("x",), highlights=(CodeHighlight(2),)), "highlights[0].first_line", "between 1 and 1"),
    (Code(("x", "y"), highlights=(CodeHighlight(2, 1),)), "highlights[0].last_line", "between first_line and 2"),
    (Quote("x" * 601), "text", "at most 600 characters"),
    (Compare(CompareSide("", ("x",)), CompareSide("r", ())), "left.title", "must not be empty"),
    (Compare(CompareSide("l", ("x",)), CompareSide("r", ())), "right.items", "must not be empty"),
    (Timeline((TimelineEvent("", "t"),)), "events[0].when", "must not be empty"),
    (Matrix((MatrixRow(("1", "2")), MatrixRow(("3",)))), "rows[1].entries", "must have 2 entries"),
    (Matrix((MatrixRow(("1 & 2",)),)), "rows[0].entries[0]", "must not hold '&'"),
    (Matrix((MatrixRow(("foo",)),)), "rows[0].entries[0]", "unknown name 'foo'"),
    (Matrix((MatrixRow(("1",)),), highlights=(MatrixEntry(1, 2),)), "highlights[0].column", "between 1 and 1"),
    (NumberLine(Interval(3, 2)), "range", "max must be greater"),
    (NumberLine(Interval(0, 100), 1.0), "step", "at most 40 ticks"),
    (NumberLine(UNIT, points=(NumberLinePoint(2.0),)), "points[0].value", "between 0 and 1"),
    (NumberLine(UNIT, jumps=(NumberLineJump(0.5, 0.5),)), "jumps[0].end", "must differ from start"),
    (NumberLine(UNIT, intervals=(NumberLineInterval(Interval(0, 2)),)), "intervals[0].range", "must lie between"),
    (FunctionPlot(LINE, areas=(ShadedArea(UNIT, 1),)), "areas[0].function", "between 0 and 0"),
    (FunctionPlot(LINE, areas=(ShadedArea(Interval(0, 9)),)), "areas[0].x", "must lie between -5 and 5"),
    (FunctionPlot(LINE, tangents=(Tangent(0, 7.0),)), "tangents[0].x", "between -5 and 5"),
    (FunctionPlot(LINE, moving_points=(MovingPoint(),)), "moving_points[0].end", "must differ from start"),
    (ParametricPlot((ParametricCurve("cos(x)", "t"),)), "curves[0].x", "unknown name 'x'"),
    (DataChart(ChartStyle.PIE, ("a", "b"), (ChartSeries((1.0, -1.0)),)), "series[0].values", "not be negative"),
    (DataChart(ChartStyle.PIE, ("a",), (ChartSeries((1.0,)),) * 2), "series", "at most 1 entries"),
    (ScatterChart((ScatterSeries((ScatterPoint(1, 2, -3),)),)), "series[0].points[0].size", "between 0"),
    (Image(b"GIF89a"), "data", "PNG or JPEG"),
    (Image(WIDE), "data", "at most 4096 × 4096 pixels, has 65536 × 1"),
    (Image(PICTURE + bytes(2**19)), "data", "at most 524288 bytes"),
    (Network((A, A)), "nodes[1].id", "used twice"),
    (Network((A,), (AB,)), "edges[0].target", "no node 'b'"),
    (Network((A, B), (AB, BA)), "edges[1]", "is there twice"),
    (Network((A, B), (AB, BA), directed=True, layout=NetworkLayout.TREE), "edges", "must form trees"),
    (Network((A,), path=("z",)), "path[0]", "no node 'z'"),
    (Geometry((GeometryFigure("a"),)), "figures[0]", "exactly one of"),
    (Geometry((GeometryFigure("a", point=Position(), text=Position()),)), "figures[0]", "has 2"),
    (Geometry((GeometryFigure("a", text=Position()),)), "figures[0].label", "must not be empty"),
    (Geometry((GeometryFigure("a", circle=GeometryCircle(Position(), 0)),)), "figures[0].circle.radius", "greater"),
    (Geometry((GeometryFigure("a", point=Position(1e7)),)), "figures[0].point", "within ±1e+06"),
    (Geometry((DOT, DOT)), "figures[1].id", "used twice"),
    (Geometry((DOT,), (GeometryStep(),)), "steps[0]", "must do something"),
    (Geometry((DOT,), (GeometryStep(show=("z",)),)), "steps[0].show[0]", "no figure 'z'"),
    (Geometry((DOT,), (GeometryStep(motions=(GeometryMotion(("d",)),) * 2),)), "steps[0].motions", "once only"),
]


@pytest.mark.parametrize(("content", "field", "message"), BROKEN, ids=[f"{type(c).__name__}-{f}" for c, f, _ in BROKEN])
def test_v9_a_broken_rule_of_a_kind_names_its_field(content: Content, field: str, message: str) -> None:
    scene = Scene("s", content)
    found = {each.field: each.message for each in Storyboard("Title", (scene,)).violations()}
    assert message in found[f"scenes[0].{scene.kind}.{field}"]


def test_v9_a_scene_has_its_own_look_and_pace() -> None:
    scenes = (
        Scene("a", Quote("x"), theme="light", animation=SceneAnimation(speed=2.0)),
        Scene("b", Quote("x"), theme="neon", animation=SceneAnimation(speed=9.0)),
    )
    board = Storyboard("Title", scenes)
    assert (board.theme_of(scenes[0]), Storyboard("t", (Scene("c", Quote("x")),)).theme) == ("light", "dark")
    assert [each.field for each in board.violations()] == ["scenes[1].theme", "scenes[1].animation.speed"]


def test_v9_json_holds_what_is_not_as_usual() -> None:
    board = Storyboard("Title", (Scene("a", Image(PICTURE), animation=SceneAnimation(speed=2.0)),))
    [scene] = board.to_dict()["scenes"]
    assert set(scene) == {"id", "animation", "image"}
    assert scene["animation"] == {"speed": 2.0}
    assert Storyboard.from_dict(board.to_dict()) == board


def test_v9_limits_of_a_whole_storyboard() -> None:
    long = tuple(Scene(f"s{number}", Quote("x"), duration_s=120) for number in range(16))
    heavy = tuple(Scene(f"s{number}", Image(PICTURE + bytes(500_000))) for number in range(5))
    for scenes, message in ((long, "1800 seconds"), (heavy, "bytes of pictures")):
        [found] = Storyboard("Title", scenes).violations()
        assert found.field == "scenes"
        assert message in found.message


JPEG = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xff\xc2\x00\x11\x08\x00\x20\x01\x40" + bytes(20)


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (PICTURE, (1, 1)),
        (JPEG, (320, 32)),
        (JPEG[:11], None),
        (b"\xff\xd8\xff\xda" + JPEG[4:], None),
        (b"\xff\xd8" + bytes(100), None),
        (PICTURE[:20], None),
        (b"", None),
        (b"<svg/>", None),
    ],
)
def test_v9_the_size_of_a_picture_is_read_from_its_header(data: bytes, size: tuple[int, int] | None) -> None:
    assert pictures.size_of(data) == size


@pytest.mark.parametrize("number", [10**400, float("inf"), float("nan"), "1", True, None])
def test_v9_a_number_that_is_none_is_refused_by_its_field(number: object) -> None:
    value = Storyboard("Title", (Scene("a", Quote("x")),)).to_dict()
    value["scenes"][0]["duration_s"] = number
    with pytest.raises(StoryboardInvalid) as caught:
        Storyboard.from_dict(value)
    assert [field for field, _ in caught.value.field_violations] == ["scenes[0].duration_s"]

"""Storyboards over the wire, and their edits (V9)."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor import FieldDescriptor

from services.video_render.api import storyboard_codec
from services.video_render.domain.editing import Edits, plain
from services.video_render.domain.storyboard import (
    KINDS,
    Equation,
    FunctionPlot,
    Image,
    Interval,
    Paragraph,
    PlotFunction,
    Quote,
    Scene,
    SceneAnimation,
    ShadedArea,
    Storyboard,
    TitleCard,
    Transition,
)
from services.video_render.domain.violations import StoryboardInvalid
from t2m.video_render.v1 import scene_plots_pb2, storyboard_pb2, storyboard_service_pb2
from tests.unit.video_render.test_storyboard import ONE_OF_EACH, PICTURE, board


def test_v9_every_kind_survives_the_wire() -> None:
    original = board(*ONE_OF_EACH)
    wire = storyboard_codec.encode(original).SerializeToString()
    assert storyboard_codec.decode(storyboard_pb2.Storyboard.FromString(wire)) == original


def test_v9_scene_options_and_zero_survive_the_wire() -> None:
    area = ShadedArea(Interval(0, 1), 0, to_function=0)
    plot = FunctionPlot((PlotFunction("x"),), areas=(area,))
    scene = Scene("a", plot, "h", "said", 4.0, "light", SceneAnimation(transition=Transition.CUT, speed=2.0))
    original = Storyboard("t", (scene,), "de", "contrast")
    assert storyboard_codec.decode(storyboard_codec.encode(original)) == original


def test_v9_the_proto_has_the_kinds_of_the_domain() -> None:
    [content] = storyboard_pb2.Scene.DESCRIPTOR.oneofs
    assert {field.name for field in content.fields} == set(KINDS)
    assert all(field.type == FieldDescriptor.TYPE_MESSAGE for field in content.fields)


def test_v9_what_is_wrong_is_named_below_storyboard() -> None:
    message = storyboard_pb2.Storyboard(title="t", scenes=[storyboard_pb2.Scene(id="a")])
    message.scenes.add(id="b").equation.math = "foo"
    message.scenes.add(id="c").function_plot.functions.add(expression="x")
    area = scene_plots_pb2.ShadedArea(function=7)
    message.scenes[2].function_plot.areas.append(area)
    with pytest.raises(StoryboardInvalid) as caught:
        storyboard_codec.decode(message)
    shape = {"storyboard.scenes[0]", "storyboard.scenes[2].function_plot.areas[0].x"}
    assert {field for field, _ in caught.value.field_violations} == shape
    del message.scenes[0]
    message.scenes[1].function_plot.areas[0].x.max = 1
    with pytest.raises(StoryboardInvalid) as caught:
        storyboard_codec.decode(message, "board")
    rules = {"board.scenes[0].equation.math", "board.scenes[1].function_plot.areas[0].function"}
    assert {field for field, _ in caught.value.field_violations} == rules


BOARD = Storyboard("Old", (Scene("a", Quote("1")), Scene("b", Quote("2")), Scene("c", Quote("3"))))


def test_v9_edits_replace_add_remove_and_order() -> None:
    message = storyboard_service_pb2.StoryboardEdits(title="New", theme="light", remove_scene_ids=["a"])
    message.scenes.add(id="b").quote.text = "changed"
    message.scenes.add(id="d").quote.text = "added"
    message.scene_order.extend(["d", "c", "b"])
    edited = storyboard_codec.decode_edits(message).apply(BOARD)
    assert (edited.title, edited.theme, edited.language) == ("New", "light", "en")
    assert [(scene.id, scene.content) for scene in edited.scenes] == [
        ("d", Quote("added")),
        ("c", Quote("3")),
        ("b", Quote("changed")),
    ]


def test_v9_no_edits_change_nothing() -> None:
    assert storyboard_codec.decode_edits(storyboard_service_pb2.StoryboardEdits()).apply(BOARD) == BOARD


@pytest.mark.parametrize(
    ("edits", "field"),
    [
        (Edits(remove_scene_ids=("a", "z")), "edits.remove_scene_ids[1]"),
        (Edits(scene_order=("a", "b")), "edits.scene_order"),
        (Edits(remove_scene_ids=("a", "b", "c")), "scenes"),
        (Edits(scenes=(Scene("b", Equation("foo")),)), "scenes[1].equation.math"),
        (Edits(theme="neon"), "theme"),
    ],
)
def test_v9_edits_that_make_no_sense_are_refused(edits: Edits, field: str) -> None:
    with pytest.raises(StoryboardInvalid) as caught:
        edits.apply(BOARD)
    assert [name for name, _ in caught.value.field_violations] == [field]


def test_v9_a_scene_among_edits_that_is_none_is_named() -> None:
    message = storyboard_service_pb2.StoryboardEdits()
    message.scenes.add(id="b")
    with pytest.raises(StoryboardInvalid) as caught:
        storyboard_codec.decode_edits(message)
    assert caught.value.field_violations[0][0] == "edits.scenes[0]"


@pytest.mark.parametrize("content", ONE_OF_EACH, ids=[type(content).__name__ for content in ONE_OF_EACH])
def test_v10_every_kind_has_a_plain_stand_in(content: object) -> None:
    scene = Scene("a", content, "Heading", "What is said.", 4.0)  # type: ignore[arg-type]
    stand_in = plain(scene)
    assert isinstance(stand_in.content, (Paragraph, TitleCard))
    assert (stand_in.id, stand_in.narration, stand_in.duration_s) == ("a", "What is said.", 4.0)
    assert Storyboard("t", (stand_in,)).violations() == ()


def test_v10_a_stand_in_keeps_the_words_and_leaves_out_what_may_fail() -> None:
    assert plain(Scene("a", Equation("x^2", "Squares"))).content == Paragraph("Squares")
    assert plain(Scene("a", Image(PICTURE), narration="Said.")).content == Paragraph("Said.")
    assert plain(Scene("a", Equation("x^2"), heading="H")) == Scene("a", TitleCard("H"))

"""The script planner (R1): deterministic, keeps the user's words, says where a block is wrong."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.video_render.application.planning import ScriptPlanner
from services.video_render.domain.storyboard import (
    Code,
    DataChart,
    Derivation,
    FunctionPlot,
    Geometry,
    Interval,
    NumberLine,
    Storyboard,
)
from services.video_render.domain.violations import StoryboardInvalid

SCRIPT = r"""
# Second law
Force equals *mass* times acceleration.

F = m a

- heavy things need more force
- light ones less
  - much less

$$ \frac{F}{m} = a $$

```math
F = m a   // the law
F / m = a   // divide
```

plot: y = x^2, x from -3 to 3

```plot
sin(x) as sine
cos(x)
x from 0 to 2pi
y: -1.5 to 1.5
caption: waves
```

| a | b |
|---|---|
| 1 | 2 |
| 3 |

```python
print("hi")
```

chart: bar
unit: kg
Apples: 1,200
Pears: -3.5

## Remember
- forces add up
- mass resists
"""


def plan(topic: str, context: str) -> Storyboard:
    return ScriptPlanner().plan(topic, context)


def texts(storyboard: Storyboard) -> str:
    return json.dumps(storyboard.to_dict(), ensure_ascii=False)


def test_r1_every_block_becomes_its_kind() -> None:
    storyboard = plan("Newton's laws", SCRIPT)
    kinds = [scene.kind for scene in storyboard.scenes]
    assert kinds == [
        "title",
        "paragraph",
        "equation",
        "bullets",
        "equation",
        "derivation",
        "function_plot",
        "function_plot",
        "table",
        "code",
        "data_chart",
        "recap",
    ]
    assert storyboard.scenes[1].heading == "Second law"
    assert all(3 <= scene.duration_s <= 20 for scene in storyboard.scenes)
    assert storyboard == plan("Newton's laws", SCRIPT)


def test_r1_blocks_carry_their_data() -> None:
    scenes = plan("Newton's laws", SCRIPT).scenes
    derivation, plot, table, code, chart = (scenes[index].content for index in (5, 7, 8, 9, 10))
    assert isinstance(derivation, Derivation)
    assert [(step.math, step.note) for step in derivation.steps] == [
        ("F &= m a", "the law"),
        ("F / m &= a", "divide"),
    ]
    assert isinstance(plot, FunctionPlot)
    assert [(f.expression, f.label) for f in plot.functions] == [("sin(x)", "sine"), ("cos(x)", "")]
    assert plot.x.max == pytest.approx(6.2832, abs=1e-3)
    assert plot.y == Interval(-1.5, 1.5)
    assert plot.caption == "waves"
    assert table.rows[1].cells == ("3", "")  # type: ignore[union-attr]
    assert isinstance(code, Code)
    assert code.language == "python"
    assert isinstance(chart, DataChart)
    assert chart.categories == ("Apples", "Pears")
    assert chart.series[0].values == (1200.0, -3.5)
    assert chart.unit == "kg"


@pytest.mark.parametrize(
    "topic",
    [
        "Pythagorean theorem",
        "the QUADRATIC formula",
        "What is a derivative?",
        "Integrals",
        "Sine and cosine",
        "Exponential growth",
    ],
)
def test_r1_known_topics_have_an_outline(topic: str) -> None:
    storyboard = plan(topic, "prove it visually")
    kinds = {scene.kind for scene in storyboard.scenes}
    assert len(storyboard.scenes) >= 5
    assert {"title", "equation", "function_plot", "recap"} <= kinds
    assert "prove it visually" in texts(storyboard)


def test_r1_a_script_of_its_own_is_not_mixed_with_an_outline() -> None:
    storyboard = plan("Pythagorean theorem", SCRIPT)
    assert "hypotenuse" not in texts(storyboard)


def test_r1_a_long_brief_on_a_known_topic_opens_the_outline() -> None:
    brief = "I teach thirteen year olds who have never seen a proof. " * 4
    storyboard = plan("Pythagorean theorem", brief)
    assert storyboard.scenes[1].heading == "The question"
    assert "I teach thirteen year olds" in texts(storyboard)


def test_r1_plain_prose_is_divided_and_recapped() -> None:
    prose = (
        "Plants turn light into sugar. Chlorophyll absorbs red and blue light, e.g. in the leaves. Water is split, "
        "and oxygen leaves the leaf. Carbon dioxide is built into glucose. The sugar feeds the whole plant."
    )
    storyboard = plan("Photosynthesis", prose)
    kinds = [scene.kind for scene in storyboard.scenes]
    assert len(kinds) >= 5
    assert kinds[0] == "title"
    assert kinds[-1] == "recap"
    shown = " ".join(scene.content.text for scene in storyboard.scenes[1:-1])  # type: ignore[union-attr]
    assert shown == prose


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ("one\n\nplot: y = foo(x)", "line 3: plot: 'y = foo(x)': unknown name 'foo'"),
        ("```plot\nsin(\n```", "line 2: plot: 'sin('"),
        ("```plot\nx^2\nx from 3 to 1\n```", "line 3: plot: the range of x"),
        ("```chart\ndonut\na: 1\n```", "line 1: chart: 'donut' is not a style"),
        ("chart: bar\nA: 1\nB: 1, 2", "line 1: chart: 'B' has 2 values"),
        ("$$ (a + b $$", "line 1: equation: '(a + b' has a bracket that is not closed"),
    ],
)
def test_r1_a_block_that_cannot_be_shown_is_an_error_with_its_line(context: str, message: str) -> None:
    with pytest.raises(StoryboardInvalid) as caught:
        plan("Topic", context)
    (violation,) = caught.value.violations
    assert violation.field == "context"
    assert message in violation.message


def test_r1_a_scene_of_any_kind_can_be_written_as_json() -> None:
    storyboard = plan("Lines", '## Doubling\n```scene\n{"number_line": {"range": {"min": 0, "max": 8}}}\n```')
    scene = storyboard.scenes[1]
    assert (scene.heading, scene.content) == ("Doubling", NumberLine(Interval(0, 8)))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"matrix": {\n"rows": [}', "line 3: scene: is not JSON"),
        ('{"matrix": {"rows": [{"entries": ["foo"]}]}}', "line 1: scene: matrix.rows[0].entries[0]: unknown name"),
        ('{"matrix": {"row": []}}', "line 1: scene: matrix.row: unknown field"),
        ('{"hologram": {}}', "line 1: scene: must be an object with one field, the kind; kinds are title,"),
        ('{"title": {"text": "a"}, "heading": "b"}', "line 1: scene: must be an object with one field"),
        ("[1]", "line 1: scene: must be an object"),
        ("[" * 1800, "scene: is not JSON"),
        (
            '{"number_line": {"range": {"min": 0, "max": 1' + "0" * 900 + "}}}",
            "number_line.range.max: must be a finite",
        ),
    ],
)
def test_r1_a_scene_that_cannot_be_shown_names_line_and_field(lines: str, message: str) -> None:
    with pytest.raises(StoryboardInvalid) as caught:
        plan("Topic", f"```scene\n{lines}\n```")
    (violation,) = caught.value.violations
    assert violation.field == "context"
    assert message in violation.message


def test_r1_the_outline_of_pythagoras_moves_triangles_to_prove_it() -> None:
    storyboard = plan("Pythagorean theorem", "prove it visually")
    (proof,) = [scene for scene in storyboard.scenes if scene.kind == "geometry"]
    assert isinstance(proof.content, Geometry)
    assert any(step.motions for step in proof.content.steps)
    assert "Slide one triangle across the gap" in proof.narration
    assert sum(scene.duration_s for scene in storyboard.scenes) < 95


def test_r1_a_plot_of_a_novel_is_text() -> None:
    storyboard = plan("A novel", "Plot: the hero leaves home and finds a friend")
    assert "the hero leaves home" in texts(storyboard)


@pytest.mark.parametrize(
    ("topic", "context", "fields"),
    [
        ("", "", {"topic", "context"}),
        ("x" * 501, "ok", {"topic"}),
        ("ok", "x" * 2001, {"context"}),
        ("a\x00", "b", {"topic"}),
    ],
)
def test_v1_lengths_are_checked(topic: str, context: str, fields: set[str]) -> None:
    with pytest.raises(StoryboardInvalid) as caught:
        plan(topic, context)
    assert {violation.field for violation in caught.value.violations} == fields


LINES = st.sampled_from(
    [
        "# Head",
        "- item",
        "  - sub",
        "1. one",
        "| a | b |",
        "|---|---|",
        "$$ x $$",
        "$$",
        "```",
        "```plot",
        "```scene",
        '{"title": {}}',
        "x^2",
        "",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(LINES, st.text(max_size=60)), min_size=1, max_size=25))
def test_r1_any_context_gives_a_valid_storyboard_or_violations(lines: list[str]) -> None:
    try:
        storyboard = plan("Topic", "\n".join(lines)[:2000])
    except StoryboardInvalid as error:
        complaints = error.violations
    else:
        complaints = storyboard.violations()
        assert complaints == ()
    assert all(violation.field for violation in complaints)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.text(alphabet=st.characters(categories=["L", "N"]), min_size=1, max_size=12), min_size=1, max_size=80)
)
def test_r1_no_word_of_plain_prose_is_lost(words: list[str]) -> None:
    storyboard = plan("Topic", " ".join(words)[:2000])
    shown = texts(storyboard)
    for word in " ".join(words)[:2000].split():
        assert word in shown

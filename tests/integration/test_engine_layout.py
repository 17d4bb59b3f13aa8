"""Layout holds for texts of any length: nothing leaves the frame, nothing overlaps (R4)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from manim import tempconfig

from services.video_render.adapters.manim import scene_drawing
from services.video_render.adapters.manim.templates import TEMPLATES
from services.video_render.adapters.manim.themes import DARK
from services.video_render.application.engine import Rung
from services.video_render.domain.storyboard import (
    BulletItem,
    Bullets,
    ChartSeries,
    ChartStyle,
    Code,
    DataChart,
    Derivation,
    DerivationStep,
    Equation,
    FunctionPlot,
    Interval,
    Paragraph,
    PlotFunction,
    Recap,
    Scene,
    Storyboard,
    Table,
    TableRow,
    TitleCard,
)
from tests.integration import layout_strategies_data


def text(limit: int, least: int = 1) -> st.SearchStrategy[str]:
    """Words of any length, some far too long, up to `limit` characters."""
    word = st.text(alphabet="abcdefgWM.,é中", min_size=1, max_size=40)
    words = st.lists(word, min_size=least, max_size=max(limit // 4, 1)).map(" ".join)
    return words.map(lambda value: value[:limit].strip() or "x" * least)


MATHS = st.lists(st.sampled_from(["x^2", "a/b", "sum_(k=1)^n k", "sqrt(1 + sqrt(2))", "alpha"]), min_size=1, max_size=9)
MATH = MATHS.map(" + ".join).map(lambda source: f"y &= {source}")
NUMBER = st.floats(-1e9, 1e9, allow_nan=False)
PLOTS = st.sampled_from(["x^2", "1/x", "tan(x)", "sin(x)/x", "1000000x", "0", "sqrt(x)", "ln(-1-x^2)"])


def charts(count: int, series: int) -> st.SearchStrategy[DataChart]:
    values = st.lists(NUMBER, min_size=count, max_size=count).map(tuple)
    return st.builds(
        DataChart,
        st.sampled_from(ChartStyle),
        st.lists(text(80), min_size=count, max_size=count).map(tuple),
        st.lists(st.builds(ChartSeries, values, text(80)), min_size=series, max_size=series).map(tuple),
        text(80, 0).filter(bool) | st.just(""),
    )


def tables(columns: int) -> st.SearchStrategy[Table]:
    cells = st.lists(text(120), min_size=columns, max_size=columns).map(tuple)
    return st.builds(Table, cells, st.lists(st.builds(TableRow, cells), min_size=1, max_size=12).map(tuple))


CONTENT = st.one_of(
    st.builds(TitleCard, text(500), text(500)),
    st.builds(
        Bullets, st.lists(st.builds(BulletItem, text(300), st.integers(0, 1)), min_size=1, max_size=12).map(tuple)
    ),
    st.builds(Paragraph, text(2000)),
    st.builds(Equation, MATH.map(lambda m: m.replace("&", "")), text(300)),
    st.builds(Derivation, st.lists(st.builds(DerivationStep, MATH, text(80)), min_size=1, max_size=8).map(tuple)),
    st.builds(
        FunctionPlot,
        st.lists(st.builds(PlotFunction, PLOTS, text(80)), min_size=1, max_size=4).map(tuple),
        st.sampled_from([Interval(-5, 5), Interval(0, 1e6), Interval(-0.001, 0.002)]),
        st.none(),
        text(300),
    ),
    st.integers(1, 6).flatmap(tables),
    st.builds(Code, st.lists(text(160), min_size=1, max_size=30).map(tuple), st.sampled_from(["", "python", "nope"])),
    st.tuples(st.integers(1, 16), st.integers(1, 4)).flatmap(lambda shape: charts(*shape)),
    st.builds(Recap, st.lists(text(300), min_size=1, max_size=12).map(tuple)),
    layout_strategies_data.CONTENT,
)


def layout_problems(content: Any, heading: str) -> list[str]:
    """What the template itself reports after placing everything; frames are not drawn."""
    scene = Scene("s", content, heading)
    assert Storyboard("t", (scene,)).violations() == ()
    with (
        tempfile.TemporaryDirectory() as folder,
        tempconfig(scene_drawing.settings(Rung("tiny", 426, 240, 10), Path(folder))),
    ):
        story = TEMPLATES[type(content)](scene, DARK)
        story.prepare()
        return story.problems


# Shrinking would set thousands of pages; the failing content itself says enough.
@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(CONTENT, text(120) | st.just(""))
def test_r4_nothing_leaves_the_frame_or_overlaps(content: Any, heading: str) -> None:
    broken = [p for p in layout_problems(content, heading) if "leaves the frame" in p or "overlaps" in p]
    assert broken == []


def test_r4_what_is_too_small_to_read_is_reported() -> None:
    rows = tuple(TableRow(tuple("many words in a cell " * 5 for _ in range(6))) for _ in range(12))
    problems = layout_problems(Table(("h",) * 6, rows), "Heading")
    assert any("too long" in problem for problem in problems)


def test_r4_characters_without_a_glyph_are_reported() -> None:
    assert any("no glyph" in problem for problem in layout_problems(Paragraph("\U0010fffd"), ""))

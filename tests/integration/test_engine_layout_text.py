"""Layout holds for words, pictures and networks of any size (R4): nothing leaves the frame, nothing overlaps."""

from __future__ import annotations

import tempfile
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from manim import tempconfig

from services.video_render.adapters.manim import scene_drawing
from services.video_render.adapters.manim.layout import FRAME, Box, measure
from services.video_render.adapters.manim.templates import TEMPLATES
from services.video_render.adapters.manim.themes import DARK
from services.video_render.application.engine import Rung
from services.video_render.domain.storyboard import (
    Content,
    Network,
    NetworkEdge,
    NetworkLayout,
    NetworkNode,
    Scene,
    Storyboard,
)
from tests.integration.layout_strategies_text import CONTENT, text

SLACK = 0.02
EXAMPLES = 6
"""For each of seven kinds: about forty in a run."""


def boxes(content: Content, heading: str, language: str = "en") -> dict[str, Box]:
    """Bounding boxes of everything that a template has placed, headings too; no frame is drawn."""
    scene = Scene("s", content, heading)
    assert Storyboard("t", (scene,), language).violations() == ()
    with (
        tempfile.TemporaryDirectory() as folder,
        tempconfig(scene_drawing.settings(Rung("tiny", 426, 240, 10), Path(folder))),
    ):
        story = TEMPLATES[type(content)](scene, DARK, language)
        story.prepare()
        found = {block.name: measure(block.mobject) for block in story.blocks}
        assert len(found) == len(story.blocks), "blocks have names of their own"
        return found


def broken(placed: dict[str, Box]) -> list[str]:
    outside = [
        f"{name} leaves the frame"
        for name, box in placed.items()
        if box.left < FRAME.left - SLACK
        or box.right > FRAME.right + SLACK
        or box.bottom < FRAME.bottom - SLACK
        or box.top > FRAME.top + SLACK
    ]
    overlaps = [
        f"{name} overlaps {other_name}"
        for (name, box), (other_name, other) in combinations(placed.items(), 2)
        if box.overlap(other) > SLACK
    ]
    return outside + overlaps


# Shrinking would set thousands of pages; the failing content itself says enough.
@pytest.mark.parametrize("kind", CONTENT)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(data=st.data())
def test_r4_nothing_leaves_the_frame_or_overlaps(kind: str, data: st.DataObject) -> None:
    content = data.draw(CONTENT[kind])
    heading = data.draw(text(120) | st.just(""))
    language = data.draw(st.sampled_from(["en", "ar", "zh"]))
    assert broken(boxes(content, heading, language)) == []


@pytest.mark.parametrize("layout", NetworkLayout)
@pytest.mark.parametrize("labels", [False, True])
def test_r4_the_largest_networks_keep_their_nodes_apart(layout: NetworkLayout, labels: bool) -> None:
    nodes = tuple(NetworkNode(f"n{at}", f"a long label, number {at:02d} of 24 nodes"[:40]) for at in range(24))
    if layout is NetworkLayout.TREE:
        pairs = [((at - 1) // 3, at) for at in range(1, 24)]
    else:
        pairs = [(a, b) for a, b in combinations(range(24), 2) if (a * 5 + b * 3) % 5 == 0][:60]
    edges = tuple(NetworkEdge(f"n{a}", f"n{b}", "edge" if labels else "") for a, b in pairs)
    placed = boxes(Network(nodes, edges, True, layout, caption="A caption"), "Heading")
    assert broken(placed) == []
    assert sum(name.startswith("node") for name in placed) == 24


def test_r4_the_same_network_is_laid_out_the_same_way() -> None:
    nodes = tuple(NetworkNode(f"n{at}") for at in range(9))
    edges = tuple(NetworkEdge(f"n{a}", f"n{b}") for a, b in [*((at, at + 1) for at in range(8)), (0, 4), (2, 7)])
    network = Network(nodes, edges, layout=NetworkLayout.SPRING)
    assert boxes(network, "") == boxes(network, "")

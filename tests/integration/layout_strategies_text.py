"""Scenes of words, pictures and networks of any size that the rules allow, for the layout test."""

from __future__ import annotations

import io

from hypothesis import strategies as st
from PIL import Image as Pillow

from services.video_render.domain.storyboard import (
    Code,
    CodeHighlight,
    Compare,
    CompareSide,
    Content,
    Image,
    Network,
    NetworkEdge,
    NetworkLayout,
    NetworkNode,
    Quote,
    Section,
    Timeline,
    TimelineEvent,
)

ALPHABETS = ("abcdefgWM.,é", "勾股定理。한국あア", "ابتثجح ץשלום", "नमस्तेทฤษฎี")
"""Latin, East Asian, right to left, with marks above and below."""


def text(limit: int, least: int = 1) -> st.SearchStrategy[str]:
    """Words in a script, some far too long, up to `limit` characters; sometimes exactly as long as allowed."""

    def words(alphabet: str) -> st.SearchStrategy[str]:
        word = st.text(alphabet=alphabet, min_size=1, max_size=40)
        return st.lists(word, min_size=least, max_size=max(limit // 4, 1)).map(" ".join)

    some = st.sampled_from(ALPHABETS).flatmap(words)
    full = st.sampled_from(["W", "long words ", "سطر طويل ", "漢字", "$x^2$ and "]).map(lambda part: part * limit)
    return (some | full).map(lambda value: value[:limit].strip() or "x" * least)


def _picture(size: tuple[int, int]) -> bytes:
    stream = io.BytesIO()
    Pillow.new("RGB", size, "#336699").save(stream, "PNG")
    return stream.getvalue()


SIDE = st.builds(CompareSide, text(80), st.lists(text(200), min_size=1, max_size=8).map(tuple))
EVENT = st.builds(TimelineEvent, text(40), text(80), text(160, 0))
SIZES = st.sampled_from([(1, 1), (1, 4000), (4000, 1), (30, 20), (1200, 300), (300, 1200)])


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """From one node to 24 with 60 edges; trees where the layout wants one."""
    count = draw(st.integers(1, 24))
    layout = draw(st.sampled_from(NetworkLayout))
    nodes = tuple(NetworkNode(f"n{at}", draw(text(40, 0))) for at in range(count))
    label = text(20, 0) if draw(st.booleans()) else st.just("")
    if layout is NetworkLayout.TREE or draw(st.booleans()):
        pairs = [(draw(st.integers(0, at - 1)), at) for at in range(1, count) if draw(st.integers(0, 5))]
    else:
        number = st.integers(0, count - 1)
        drawn = draw(st.lists(st.tuples(number, number), max_size=60))
        pairs = list({tuple(sorted(pair)): pair for pair in drawn if pair[0] != pair[1]}.values())
    edges = tuple(NetworkEdge(f"n{start}", f"n{end}", draw(label)) for start, end in pairs)
    path = tuple(f"n{at}" for at in draw(st.lists(st.integers(0, count - 1), max_size=6)))
    return Network(nodes, edges, draw(st.booleans()), layout, path, draw(text(300, 0)))


@st.composite
def listings(draw: st.DrawFn) -> Code:
    """Source text with lines that are pointed at."""
    lines = tuple(draw(st.lists(text(160, 0), min_size=1, max_size=30)))
    if not any(line.strip() for line in lines):
        lines = ("x", *lines[1:])
    number = st.integers(1, len(lines))
    spans = draw(st.lists(st.tuples(number, number), max_size=8))
    highlights = tuple(CodeHighlight(min(span), max(span), draw(text(160, 0))) for span in spans)
    return Code(lines, draw(st.sampled_from(["", "python", "nope"])), highlights)


CONTENT: dict[str, st.SearchStrategy[Content]] = {
    "section": st.builds(Section, text(300), text(20, 0), text(300, 0)),
    "quote": st.builds(Quote, text(600), text(120, 0), text(120, 0)),
    "compare": st.builds(Compare, SIDE, SIDE, text(300, 0)),
    "timeline": st.builds(Timeline, st.lists(EVENT, min_size=1, max_size=10).map(tuple)),
    "image": st.builds(Image, SIZES.map(_picture), text(300, 0), st.just("")),
    "network": networks(),
    "code": listings(),
}
"""Kind → any content of it."""

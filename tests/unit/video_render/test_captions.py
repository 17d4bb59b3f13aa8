"""Captions: pieces that can be read, at the times of their words (V8)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.video_render.domain.captions import LONGEST, Caption, Mark, captions, subrip, webvtt

TEXT = "One two three. Four five, six seven; eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen."


def marks(text: str) -> list[Mark]:
    """Every word takes a second."""
    return [Mark(match.start(), float(number)) for number, match in enumerate(re.finditer(r"\S+", text))]


def test_v8_pieces_end_at_sentences_then_at_pauses() -> None:
    cues = captions(TEXT, marks(TEXT), 0.5, 17.5)
    assert [cue.text for cue in cues] == [
        "One two three.",
        "Four five, six seven;",
        "eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen.",
    ]
    assert [cue.start_s for cue in cues] == [0.5, 3.5, 7.5]
    assert [cue.end_s for cue in cues] == [3.5, 7.5, 17.5]


def test_v8_without_marks_characters_are_equally_long() -> None:
    cues = captions("aaaa. bbbb.", (), 1.0, 12.0)
    assert [(cue.start_s, cue.end_s) for cue in cues] == [(1.0, 7.0), (7.0, 12.0)]


@given(
    st.lists(st.text(alphabet="abc中é.,;!? ", min_size=1, max_size=60), min_size=1, max_size=12).map(" ".join),
    st.booleans(),
)
def test_v8_nothing_is_lost_and_time_goes_forward(text: str, marked: bool) -> None:
    cues = captions(text, marks(text) if marked else (), 0.4, 30.0)
    assert "".join("".join(cue.text.split()) for cue in cues) == "".join(text.split())
    assert all(len(cue.text) <= LONGEST for cue in cues)
    assert all(cue.start_s < cue.end_s for cue in cues)
    assert [cue.start_s for cue in cues] == sorted(cue.start_s for cue in cues)


CUES = (
    Caption(0.4, 2.0, "Less < more & more"),
    Caption(3661.5, 3662.25, "A line that is long enough to be cut into two of them"),
)


def test_v8_webvtt() -> None:
    assert webvtt(CUES) == (
        "WEBVTT\n\n"
        "00:00:00.400 --> 00:00:02.000\nLess &lt; more &amp; more\n\n"
        "01:01:01.500 --> 01:01:02.250\nA line that is long enough\nto be cut into two of them\n"
    )


def test_v8_subrip() -> None:
    assert subrip(CUES[:1]) == "1\n00:00:00,400 --> 00:00:02,000\nLess < more & more\n"


@pytest.mark.parametrize("text", ["", "   "])
def test_v8_nothing_said_is_no_caption(text: str) -> None:
    assert captions(text, (), 0.0, 1.0) == ()

"""A job on the screen, drawn by rich into a recording: what stands there at which width (O8)."""

from __future__ import annotations

import io
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from gateway.client.commands.output import Column, Output
from gateway.client.commands.screens import JobScreen, LineScreen, state_of
from gateway.client.commands.words import ago, line, safe, size, span
from gateway.client.core.streams import Event
from gateway.client.progress import JobView

NOW = datetime(2026, 11, 21, 20, 40, tzinfo=UTC)
SCENES = [
    {
        "index": 0,
        "title": "What a jet is",
        "status": "completed",
        "frames_done": 10,
        "frames_total": 10,
        "cached": True,
    },
    {"index": 1, "title": "How it\x1b[31m works", "status": "processing", "frames_done": 5, "frames_total": 20},
    {"index": 2, "title": "Remember", "status": "queued", "frames_total": 8},
]


def an_event(kind: str, **body: Any) -> Event:
    """As it comes out of a stream."""
    return Event(1, kind, {kind: body})


def a_view(**snapshot: Any) -> JobView:
    """A job that is being drawn."""
    view = JobView("01890000-0000-7000-8000-00000000abcd", topic="Jets")
    body = {"status": "processing", "current_stage": "rendering", "progress": 40, "attempt": 1, "scenes": SCENES}
    view.take(an_event("snapshot", **body, **snapshot), 0)
    return view


def drawn(view: JobView, width: int, height: int = 30, *, ascii_only: bool = False) -> str:
    """The screen as text, a minute after it was opened."""
    buffer = io.TextIOWrapper(io.BytesIO(), encoding="ascii" if ascii_only else "utf-8", errors="replace")
    console = Console(file=buffer, width=width, height=height, color_system=None, record=True)
    times = iter([0.0])
    console.print(JobScreen(view, clock=lambda: next(times, 60.0), now=lambda: NOW))
    return console.export_text()


@pytest.mark.parametrize("width", [100, 60, 40])
def test_O8_the_screen_fits(width: int) -> None:
    """O8: share, stage, time and each scene, whatever the width; no line is longer than the terminal."""
    text = drawn(a_view(), width)
    lines = [row.rstrip() for row in text.splitlines()]
    assert max(map(len, lines)) <= width
    for word in ("Jets", "40 %", "rendering", "1:00", "from cache", "5/20", "queued"):
        assert word in text, word
    assert [row[0] for row in lines if row[:1] in "✓▸·" and row] == ["✓", "▸", "·"]
    assert "\x1b" not in text


def test_O8_the_screen_without_unicode() -> None:
    """O8: an ASCII terminal gets ASCII."""
    text = drawn(a_view(), 80, ascii_only=True)
    assert text.replace("\ufffd", "").isascii(), "but for what stands for a control character"
    assert "> 1 How it" in text


def test_O8_of_many_scenes_the_ones_at_work_are_shown() -> None:
    """O8: as many as there is room for, around the first that is not done; and how many are not shown."""
    view = a_view()
    for index in range(60):
        status = "completed" if index < 40 else "processing" if index == 40 else "queued"
        view.take(an_event("scene", scene={"index": index, "title": f"Scene {index}", "status": status}), 1)
    text = drawn(view, 80, height=20)
    assert len(text.splitlines()) <= 20
    assert "Scene 40" in text
    assert "Scene 39" in text
    assert "Scene 10" not in text
    assert "40 of 60 scenes are done" in text


def test_O8_the_time_that_is_left() -> None:
    """O8: by the pace of the last half minute; before there is one by what the server expects; then unknown."""
    view = a_view(estimated_completion=(NOW + timedelta(seconds=90)).isoformat())
    assert view.remaining_s(1, NOW) == 90
    assert "about 1:30 left" in drawn(view, 100)
    for second, percent in ((5, 50), (10, 60)):
        view.take(an_event("progress", progress=percent, scene_index=1, frames_done=9, frames_total=20), second)
    assert view.remaining_s(10, NOW) == pytest.approx(20)
    view.take(an_event("status", status="completed", progress=100, attempt=1), 12)
    assert view.remaining_s(12, NOW) is None
    assert a_view().remaining_s(1, NOW) is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"status": "queued"}, "queued"),
        ({"status": "processing", "current_stage": "planning"}, "planning"),
        ({"status": "processing", "current_stage": "rendering", "attempt": 2}, "rendering, attempt 2"),
        ({"status": "processing", "current_stage": "publishing", "waits_for": "storage"}, "waits for storage"),
        ({"status": "queued", "next_attempt_at": "2026-11-21T20:41:00Z", "attempt": 2}, "attempt 2 failed, again at "),
        ({"status": "cancelled", "current_stage": "unspecified"}, "cancelled"),
    ],
)
def test_O8_J1_the_state_in_words(body: dict[str, Any], words: str) -> None:
    """O8, J1: what is going on, or why nothing is."""
    view = JobView("1")
    view.take(an_event("status", **body), 0)
    assert state_of(view).startswith(words)


def test_O8_a_place_in_the_queue() -> None:
    """O8, V3: while it waits; not once it runs."""
    view = JobView("1")
    view.take(an_event("snapshot", status="queued", queue_position=3), 0)
    assert state_of(view) == "queued, 3 ahead"
    view.take(an_event("status", status="processing", current_stage="planning", attempt=1), 1)
    assert state_of(view) == "planning"


def test_O8_lines_where_nothing_can_move() -> None:
    """O8: one for each new state and each ten percent, not for each event."""
    said: list[str] = []
    view = a_view()
    with LineScreen(said.append, view) as screen:
        for percent in range(40, 61):
            view.take(an_event("progress", progress=percent, scene_index=1), time.monotonic())
            screen.changed()
    assert said == [f" {percent} %  rendering, 1 of 3 scenes" for percent in (40, 50, 60)]


def test_O8_tables_give_way() -> None:
    """O8: where there is little room the least important columns go, and long texts are cut; nothing wraps."""
    columns = (
        Column("ID", needs=8),
        Column("TOPIC", stretches=True, needs=20),
        Column("QUALITY", gives_way=2, needs=7),
        Column("CREATED", gives_way=1, needs=10),
    )

    def shown(width: int) -> list[str]:
        output = Output()
        output.out = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, record=True)
        output.table(columns, [("0000abcd", "A topic that is much too long to be shown", "low", "just now")])
        return [row.rstrip() for row in output.out.export_text().splitlines()]

    assert shown(100)[0].split() == ["ID", "TOPIC", "QUALITY", "CREATED"]
    assert shown(50)[0].split() == ["ID", "TOPIC", "CREATED"]
    assert shown(34)[0].split() == ["ID", "TOPIC"]
    assert all(len(row) <= 34 for row in shown(34))
    assert shown(34)[1].endswith("…")
    assert len(shown(34)) == 2


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (span(7.4), "0:07"),
        (span(754), "12:34"),
        (span(3723), "1:02:03"),
        (span(-1), "0:00"),
        (size(17), "17 B"),
        (size(1_234_567), "1.2 MB"),
        (ago("2026-11-21T20:39:30Z", NOW), "just now"),
        (ago("2026-11-21T20:30:00Z", NOW), "10 min ago"),
        (ago("2026-11-21T17:30:00Z", NOW), "3 h ago"),
        (ago("2026-11-18T20:30:00Z", NOW), "3 d ago"),
        (ago(None, NOW), "–"),
        (line("a\n  b\tc"), "a b c"),
        (safe("\x1b]0;title\x07 \u202etxt.exe"), "\ufffd]0;title\ufffd \ufffdtxt.exe"),
    ],
)
def test_O8_words(said: str, words: str) -> None:
    """O8: lengths, sizes, times, and other people's text without what could move the cursor."""
    assert said == words

"""The demo's own parts: the event reader and the display."""

from __future__ import annotations

import io

from rich.console import Console

from deploy.local import sse
from deploy.local.display import JobDisplay


def test_events_are_read_with_ids_kinds_and_several_data_lines() -> None:
    text = 'retry: 1000\n\n: heartbeat\n\nid: 3\nevent: status\ndata: {"a":\ndata: 1}\n\nid: 4\ndata: {}\n\ndata: {"cut'
    assert list(sse.parse(text.split("\n"))) == [
        sse.Event("3", "status", {"a": 1}),
        sse.Event("4", "message", {}),
    ]


def test_plain_lines_say_stage_and_scene_and_do_not_repeat() -> None:
    output = io.StringIO()
    with JobDisplay(Console(file=output, force_terminal=False)) as display:
        display.show({"status": "queued", "progress": 0, "current_stage": "queued"})
        display.show({"current_stage": "rendering", "scenes": [{"index": 0, "status": "processing"}, {"index": 1}]})
        for percent in range(5, 40):
            display.show({"progress": percent})
        display.show({"scene": {"index": 0, "status": "completed"}})
    lines = [line.strip() for line in output.getvalue().splitlines()]
    assert lines[0].endswith("queued")
    assert lines[1].endswith("rendering, scene 1 of 2")
    assert lines[-1].endswith("rendering, scene 2 of 2")
    assert len(lines) == 6

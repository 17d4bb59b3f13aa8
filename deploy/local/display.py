"""The progress of a job at the terminal: a bar, or plain lines where there is no terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

ENDED = frozenset({"completed", "failed", "cancelled"})
"""The states of a job that never change."""
LINE_EVERY = 10.0
"""Percent between two plain lines of the same stage."""


class JobDisplay:
    """Shows what the events of a job say. A context manager."""

    def __init__(self, console: Console) -> None:
        """``console.is_terminal`` decides between bar and lines."""
        self._console = console
        self._percent = 0.0
        self._stage = "queued"
        self._scenes: dict[int, str] = {}
        self._shown: tuple[str, float] = ("", -LINE_EVERY)
        self._bar = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("queued", total=100.0)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, payload: dict[str, Any]) -> None:
        """Take in one event's content: any of progress, current_stage, scenes (a list) or scene (one)."""
        self._percent = float(payload.get("progress") or self._percent)
        ended = payload.get("status") in ENDED
        self._stage = str(payload["status"] if ended else payload.get("current_stage") or self._stage)
        for scene in [*payload.get("scenes", []), *([payload["scene"]] if payload.get("scene") else [])]:
            self._scenes[int(scene.get("index", 0))] = str(scene.get("status", ""))
        text = self._text()
        if self._console.is_terminal:
            self._bar.update(self._task, completed=self._percent, description=text)
        elif text != self._shown[0] or self._percent >= self._shown[1] + LINE_EVERY:
            self._shown = (text, self._percent)
            self._console.print(f"  {self._percent:5.1f} %  {text}", highlight=False)

    def _text(self) -> str:
        if not self._scenes or self._stage != "rendering":
            return self._stage
        done = sum(status == "completed" for status in self._scenes.values())
        return f"rendering, scene {min(done + 1, len(self._scenes))} of {len(self._scenes)}"

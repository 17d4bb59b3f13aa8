"""A job on the screen: its share done, its scenes, when it will be there; or lines, where nothing can move."""

from __future__ import annotations

import contextlib
import sys
import termios
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gateway.client.commands.words import STYLES, line, span, when
from gateway.client.progress import JobView, SceneView

_NARROW = 70
_AROUND = 9
"""Lines of the screen that are not scenes."""
_EVERY_PERCENT = 10.0


class JobScreen:
    """The picture of a job at this moment; drawn anew by rich several times a second."""

    def __init__(
        self,
        view: JobView,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._view = view
        self._clock = clock
        self._now = now
        self._began = clock()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        parts: list[RenderableType] = [self._head(), self._bar(options)]
        if self._view.scenes:
            parts += [Text(""), self._scenes(options)]
        yield Group(*parts)

    def _head(self) -> Text:
        view = self._view
        return Text.assemble((line(view.topic) or "Job", "bold"), "  ", (view.job_id, "dim"), overflow="fold")

    def _bar(self, options: ConsoleOptions) -> RenderableType:
        view = self._view
        done = Text(f"{view.progress:3.0f} %")
        state = Text(self._state(), STYLES.get(view.status, ""))
        left = view.remaining_s(self._clock(), self._now())
        clock = Text(span(self._clock() - self._began), "dim")
        if left is not None:
            clock.append(f", about {span(left)} left")
        style = "red" if view.status == "failed" else "yellow" if view.status == "cancelled" else "cyan"
        bar = ProgressBar(100, view.progress, complete_style=style, finished_style="green")
        grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
        if options.max_width < _NARROW:
            grid.add_column(ratio=1)
            grid.add_column(justify="right", no_wrap=True)
            grid.add_row(bar, done)
            return Group(grid, Text.assemble(state, "  ", clock))
        for column in ({"ratio": 1}, {"justify": "right", "no_wrap": True}, {"no_wrap": True}, {"no_wrap": True}):
            grid.add_column(**column)
        grid.add_row(bar, done, state, clock)
        return grid

    def _state(self) -> str:
        return state_of(self._view)

    def _scenes(self, options: ConsoleOptions) -> RenderableType:
        scenes = [self._view.scenes[index] for index in sorted(self._view.scenes)]
        room = max(3, (options.height or options.size.height) - _AROUND)
        first = self._first(scenes, room)
        shown = scenes[first : first + room]
        grid = Table.grid(padding=(0, 1, 0, 0), expand=True)
        grid.add_column(no_wrap=True, width=1)
        grid.add_column(no_wrap=True, justify="right", style="dim")
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=3)
        grid.add_column(no_wrap=True, ratio=2)
        grid.add_column(no_wrap=True, justify="right")
        for scene in shown:
            grid.add_row(*self._row(scene, ascii_only=options.ascii_only))
        parts: list[RenderableType] = [grid]
        hidden = len(scenes) - len(shown)
        if hidden:
            done = sum(scene.status == "completed" for scene in scenes)
            parts.append(Text(f"  {done} of {len(scenes)} scenes are done; {hidden} not shown here", "dim"))
        return Group(*parts)

    @staticmethod
    def _first(scenes: list[SceneView], room: int) -> int:
        """Where the part that is shown begins: just before what is being worked on."""
        at_work = next((at for at, scene in enumerate(scenes) if scene.status != "completed"), 0)
        return max(0, min(at_work - 1, len(scenes) - room))

    def _row(self, scene: SceneView, *, ascii_only: bool) -> tuple[RenderableType, ...]:
        glyphs = _GLYPHS_ASCII if ascii_only else _GLYPHS
        style = STYLES.get(scene.status, "")
        bar: RenderableType = Text("")
        figure = scene.status
        if scene.status == "processing":
            bar = ProgressBar(max(1, scene.frames_total), scene.frames_done, complete_style="cyan")
            figure = f"{scene.frames_done}/{scene.frames_total}" if scene.frames_total else "starting"
        elif scene.status == "completed":
            figure = "from cache" if scene.cached else "stand-in" if scene.fallback else "done"
        if scene.warnings:
            figure += " !"
        return (
            Text(glyphs.get(scene.status, " "), style),
            Text(str(scene.index)),
            Text(line(scene.title), "dim" if scene.status == "queued" else ""),
            bar,
            Text(figure, "yellow" if scene.fallback or scene.warnings else style),
        )


_GLYPHS = {"completed": "✓", "processing": "▸", "failed": "✗", "cancelled": "–", "queued": "·"}
_GLYPHS_ASCII = {"completed": "+", "processing": ">", "failed": "x", "cancelled": "-", "queued": "."}


def state_of(view: JobView) -> str:
    """What is going on, in a few words."""
    if view.ended:
        return view.status
    if view.next_attempt_at:
        at = when(view.next_attempt_at)
        tail = f" at {at.astimezone():%H:%M:%S}" if at else ""
        return f"failed once, again{tail}" if view.attempt <= 1 else f"attempt {view.attempt} failed, again{tail}"
    if view.waits_for:
        return f"waits for {line(view.waits_for)}"
    if view.status == "queued":
        ahead = view.queue_position
        return "queued" if ahead is None else "next in the queue" if ahead == 0 else f"queued, {ahead} ahead"
    retry = f", attempt {view.attempt}" if view.attempt > 1 else ""
    return (view.stage if view.stage != "unspecified" else view.status) + retry


class MovingScreen:
    """Draws the picture in place; what remains at the end is the last one."""

    def __init__(self, console: Console, view: JobView) -> None:
        self._live = Live(JobScreen(view), console=console, refresh_per_second=5, transient=False)
        self._silence = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._silence.enter_context(_no_echo_of_controls())
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        self._silence.close()

    def changed(self) -> None:
        """Nothing to do: it is drawn several times a second anyway."""


@contextlib.contextmanager
def _no_echo_of_controls() -> Iterator[None]:
    """Without the `^C` that a terminal writes into the picture, which is then off by a line."""
    try:
        before = termios.tcgetattr(sys.stdin)
    except (termios.error, ValueError, OSError):
        yield
        return
    changed = [*before]
    changed[3] &= ~termios.ECHOCTL
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, changed)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


class LineScreen:
    """A line when something changes that is worth one."""

    def __init__(self, say: Callable[[str], None], view: JobView) -> None:
        self._say = say
        self._view = view
        self._said: tuple[str, int] = ("", -1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held."""

    def changed(self) -> None:
        """Say how things are, if that is new: another state, or ten percent more."""
        view = self._view
        state = state_of(view)
        scenes = [scene for scene in view.scenes.values() if scene.status == "completed"]
        step = (state, int(view.progress // _EVERY_PERCENT))
        if step == self._said:
            return
        self._said = step
        tail = f", {len(scenes)} of {len(view.scenes)} scenes" if view.scenes else ""
        self._say(f"{view.progress:3.0f} %  {state}{tail}")

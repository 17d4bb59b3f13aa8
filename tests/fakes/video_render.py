"""Stand-ins for the render engine and for the stores of video_render."""

from __future__ import annotations

import copy
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.video_render.application.engine import (
    AudioOutput,
    Chapter,
    Ladder,
    MediaFailed,
    MediaInfo,
    OnFrames,
    SceneFailed,
    SceneOutput,
    SegmentOutput,
    Sound,
    Tile,
)
from services.video_render.application.ports import Delivery
from services.video_render.domain.errors import RenderNotFound
from services.video_render.domain.events import Event
from services.video_render.domain.outcomes import RenderedScene
from services.video_render.domain.render import Render
from services.video_render.domain.request import Priority
from services.video_render.domain.steps import StepState, render_id_of
from services.video_render.domain.storyboard import Paragraph, Scene, Storyboard

TICK_S = 0.05


class ScriptedPlanner:
    """One paragraph scene per line of the context; `ScriptedRenderer` obeys what a line says."""

    def plan(self, topic: str, context: str) -> Storyboard:
        """A storyboard titled by the topic."""
        lines = context.splitlines()
        scenes = (Scene(f"s{number}", Paragraph(line), heading=f"Scene {number}") for number, line in enumerate(lines))
        return Storyboard(topic, tuple(scenes)).validated()


class ScriptedRenderer:
    """Draws nothing, in as much time as wanted.

    The scene's text is a script of words: `burn 1.5` spends seconds while it reports frames, `fail CODE` and
    `flaky CODE` raise a final and a retryable `SceneFailed`, `crash` ends the process, `die SIGKILL` kills it,
    `hog MIB` takes memory, `mark FOLDER` leaves a file per attempt in a folder, and `until FILE` waits for a file (at
    most 60 s).
    """

    engine_version = "scripted-1"

    def preload(self) -> None:
        """Nothing is heavy here."""

    def render(
        self, storyboard: Storyboard, index: int, ladder: Ladder, out_dir: Path, on_frames: OnFrames
    ) -> SceneOutput:
        """Do what the script says, then write a tiny segment."""
        content = storyboard.scenes[index].content
        assert isinstance(content, Paragraph)
        words = content.text.split()
        for verb, argument in zip(words[::2], words[1::2], strict=True):
            _obey(verb, argument, index, on_frames)
        poster = out_dir / "poster.png"
        poster.write_text(f"poster of {content.text}\n")
        segments = []
        for rung in ladder:
            path = out_dir / f"{rung.name}.mp4"
            size = path.write_text(f"segment of {content.text}\n")
            segments.append(SegmentOutput(rung, path, "avc1.64001f", rung.fps, 0, (size,), rung.fps))
        on_frames(ladder[0].fps, ladder[0].fps)
        return SceneOutput(tuple(segments), ladder[0].fps, 1.0, poster, ())


def _obey(verb: str, argument: str, index: int, on_frames: OnFrames) -> None:
    match verb:
        case "burn":
            _spend(float(argument), on_frames)
        case "mark":
            Path(argument, f"{index}-{time.monotonic_ns()}").touch()
        case "until":
            give_up = time.monotonic() + 60
            while not Path(argument).exists() and time.monotonic() < give_up:
                _spend(TICK_S, on_frames)
        case "fail" | "flaky":
            raise SceneFailed(argument, "as the script says", retryable=verb == "flaky")
        case "crash":
            raise SystemExit(argument)
        case "die":
            os.kill(os.getpid(), signal.Signals[argument])
        case "hog":
            bytearray(int(argument) * 1024 * 1024)
        case _:
            pass


def _spend(seconds: float, on_frames: OnFrames) -> None:
    ticks = max(1, round(seconds / TICK_S))
    for tick in range(ticks):
        on_frames(tick + 1, ticks + 1)
        time.sleep(TICK_S)


class ScriptedMedia:
    """Joins by concatenation."""

    def assemble(
        self, segments: Sequence[Path], out: Path, chapters: Sequence[Chapter], sounds: Sequence[Sound] = ()
    ) -> None:
        """The segments' texts, one after the other, and then what is heard."""
        heard = [sound.audio.read_text() for sound in sounds if sound.audio]
        out.write_text("".join([path.read_text() for path in segments] + heard))

    def voice_track(self, speech: Path | None, lead_s: float, duration_s: float, out: Path) -> AudioOutput:
        """What was said, as text."""
        size = out.write_text(f"heard: {speech.read_text() if speech else 'silence'}\n")
        return AudioOutput(out, "mp4a.40.2", 47, 46.875, 0, (size,), 94)

    def probe(self, path: Path) -> MediaInfo:
        """As many frames as lines, one second each."""
        lines = path.read_text().splitlines()
        if not lines:
            raise MediaFailed("empty")
        return MediaInfo(float(len(lines)), 854, 480, 15.0, "scripted", path.stat().st_size, 15 * len(lines))

    def shrink(self, picture: Path, width: int, out: Path) -> tuple[int, int]:
        """A text."""
        out.write_text(f"{picture.read_text().strip()}, {width} wide\n")
        return width, width * 9 // 16

    def sprite(self, video: Path, out: Path) -> Sequence[Tile]:
        """A text."""
        out.write_text(f"sprite of {video.name}\n")
        return [Tile(0.0, 1.0, 0, 0, 160, 90)]

    def poster(self, video: Path, out: Path) -> None:
        """A text."""
        out.write_text(f"poster of {video.name}\n")


class ManualClock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        """The current moment."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += timedelta(seconds=seconds)


@dataclass
class MemoryChange:
    """A locked render; see the port `Change`."""

    render: Render
    now: datetime
    remembered: dict[str, RenderedScene] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)

    def remember(self, content_hash: str, scene: RenderedScene) -> None:
        """See the port."""
        self.remembered[content_hash] = scene

    def forget(self, content_hashes: Iterable[str]) -> None:
        """See the port."""
        self.forgotten.update(content_hashes)


class MemoryRenderStore:
    """`RenderStore` in memory; proven equal to Postgres by the contract suite. One event loop, no parallel change."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._renders: dict[str, Render] = {}
        self._cache: dict[tuple[str, str], RenderedScene] = {}
        self._drawn_for: dict[tuple[str, str], str] = {}
        self._used: dict[tuple[str, str], datetime] = {}
        self.events: dict[str, list[Event]] = {}
        self.pending: list[Delivery] = []
        self._delivered = 0

    async def add(self, render: Callable[[datetime], Render], render_id: str) -> tuple[Render, bool]:
        """See the port."""
        if render_id in self._renders:
            return await self.get(render_id), False
        made = render(self._clock())
        self._save(MemoryChange(made, self._clock()))
        return made, True

    async def get(self, render_id: str) -> Render:
        """See the port."""
        if render_id not in self._renders:
            raise RenderNotFound(render_id)
        return copy.deepcopy(self._renders[render_id])

    @asynccontextmanager
    async def change(self, render_id: str) -> AsyncIterator[MemoryChange]:
        """See the port."""
        change = MemoryChange(await self.get(render_id), self._clock())
        yield change
        self._save(change)

    async def renew(self, step_id: str, fence: int, lease: timedelta) -> bool:
        """See the port."""
        render = self._renders.get(render_id_of(step_id))
        step = render.steps.get(step_id) if render else None
        if step is None or step.state is not StepState.RUNNING or step.fence != fence:
            return False
        step.lease_until = self._clock() + lease
        return True

    async def expired(self, limit: int) -> list[str]:
        """See the port."""
        now = self._clock()
        found = [step for render in self._renders.values() for step in render.steps.values() if step.expired(now)]
        found.sort(key=lambda step: step.lease_until or now)
        return [step.step_id for step in found[:limit]]

    async def held(self, limit: int) -> list[tuple[str, str]]:
        """See the port."""
        steps = [step for render in self._renders.values() for step in render.steps.values()]
        return [(step.step_id, step.holder) for step in steps if step.state is StepState.RUNNING and step.holder][
            :limit
        ]

    async def unclaimed(self, queue: Priority, older_than: timedelta, limit: int) -> list[str]:
        """See the port."""
        offered = {delivery.step_id for delivery in self.pending}
        found = [
            step
            for render in self._renders.values()
            if render.request.priority is queue
            for step in render.steps.values()
            if step.state is StepState.QUEUED
            and step.step_id not in offered
            and step.queued_at < self._clock() - older_than
        ]
        found.sort(key=lambda step: step.queued_at)
        return [step.step_id for step in found[:limit]]

    async def of_job(self, owner_id: str, job_id: str) -> list[str]:
        """See the port."""
        place = (owner_id, job_id)
        return [key for key, made in self._renders.items() if (made.request.owner_id, made.request.job_id) == place]

    async def forget_job(self, owner_id: str, job_id: str) -> int:
        """See the port."""
        found = await self.of_job(owner_id, job_id)
        for render_id in found:
            del self._renders[render_id], self.events[render_id]
            self.pending = [delivery for delivery in self.pending if render_id_of(delivery.step_id) != render_id]
        self._cache = {
            key: scene for key, scene in self._cache.items() if (key[0], self._drawn_for[key]) != (owner_id, job_id)
        }
        return len(found)

    async def cached_scenes(self, owner_id: str, content_hashes: Sequence[str]) -> Mapping[str, RenderedScene]:
        """See the port."""
        wanted = set(content_hashes)
        found = {key: scene for (owner, key), scene in self._cache.items() if owner == owner_id and key in wanted}
        self._used |= {(owner_id, key): self._clock() for key in found}
        return found

    async def evict_scenes(self, unused: timedelta, most_bytes: int) -> int:
        """See the port."""
        newest_first = sorted(self._cache, key=lambda key: (-self._used[key].timestamp(), key[1]))
        held: dict[str, int] = {}
        gone = []
        for key in newest_first:
            held[key[0]] = held.get(key[0], 0) + self._cache[key].size_bytes
            if held[key[0]] > most_bytes or self._used[key] < self._clock() - unused:
                gone.append(key)
        for key in gone:
            del self._cache[key]
        return len(gone)

    def take_pending(self) -> list[Delivery]:
        """What the outbox would publish now."""
        taken, self.pending = self.pending, []
        return taken

    def _save(self, change: MemoryChange) -> None:
        render = copy.deepcopy(change.render)
        log = self.events.setdefault(render.render_id, [])
        log.extend(render.events)
        render.seq += len(render.events)
        for step_id in render.dispatches:
            self._delivered += 1
            self.pending.append(Delivery(step_id, f"{step_id}.{self._delivered}", render.request.priority))
        for made in (render, change.render):
            made.seq = render.seq
            made.events.clear()
            made.dispatches.clear()
        owner = render.request.owner_id
        self._cache.update({(owner, key): scene for key, scene in change.remembered.items()})
        self._drawn_for.update({(owner, key): render.request.job_id for key in change.remembered})
        self._used.update({(owner, key): self._clock() for key in change.remembered})
        for key in change.forgotten:
            self._cache.pop((owner, key), None)
        self._renders[render.render_id] = render


@dataclass
class FakeLiveness:
    """`Liveness` that knows what a test says."""

    name: str = "me"
    dead: set[str] = field(default_factory=set)

    def me(self) -> str:
        """See the port."""
        return self.name

    def provably_dead(self, holder: str) -> bool:
        """See the port."""
        return holder in self.dead

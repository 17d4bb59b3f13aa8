"""Ports of the render engine: plan a storyboard, draw a scene, put the segments together.

Everything here is blocking and knows no database, queue or network; the durable graph calls it from worker processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.video_render.domain.storyboard import Storyboard
from services.video_render.domain.violations import StoryboardInvalid, Violation

__all__ = [
    "QUALITIES",
    "AudioOutput",
    "Chapter",
    "Ladder",
    "MediaFailed",
    "MediaInfo",
    "MediaTools",
    "OnFrames",
    "Planner",
    "Rung",
    "SceneFailed",
    "SceneOutput",
    "SceneRenderer",
    "SegmentOutput",
    "Sound",
    "StoryboardInvalid",
    "Tile",
    "Violation",
    "ladder_of",
]

OnFrames = Callable[[int, int], None]
"""Called a few times per second with (frames done, frames expected in all); the second may grow."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the quality ladder: pixels and frames per second."""

    name: str
    width: int
    height: int
    fps: int

    @property
    def key(self) -> str:
        """The name with its numbers, for content addresses: `720p:1280x720@30`."""
        return f"{self.name}:{self.width}x{self.height}@{self.fps}"


QUALITIES: dict[str, Rung] = {
    "low": Rung("480p", 854, 480, 15),
    "medium": Rung("720p", 1280, 720, 30),
    "high": Rung("1080p", 1920, 1080, 60),
}
"""The rung each `quality` of a request stands for."""


Ladder = tuple[Rung, ...]
"""The rungs of a video, best first; their frame rates divide that of the first."""


def ladder_of(qualities: Iterable[str]) -> Ladder:
    """The rungs of some qualities, best first."""
    return tuple(sorted({QUALITIES[quality] for quality in qualities}, key=lambda rung: rung.height, reverse=True))


@dataclass(frozen=True, slots=True)
class SegmentOutput:
    """A scene at one rung: a self-contained fragmented MP4 file of closed GOPs, without sound.

    `head_bytes`, then a fragment of each of `fragment_bytes`; a fragment shows `fragment_frames`, the last the rest.
    """

    rung: Rung
    path: Path
    codec: str
    """As in RFC 6381."""
    frames: int
    head_bytes: int
    fragment_bytes: tuple[int, ...]
    fragment_frames: int


@dataclass(frozen=True, slots=True)
class SceneOutput:
    """One rendered scene: a segment for each rung, best first, and a still of it."""

    segments: tuple[SegmentOutput, ...]
    frames: int
    duration_s: float
    poster: Path
    warnings: tuple[str, ...]
    """What the layout check repaired at a price or could not repair, for people to read."""


class SceneFailed(Exception):
    """A scene could not be drawn.

    `code` is stable and machine-readable (`TYPESETTING_FAILED`, `RENDER_FAILED`, `ENCODE_FAILED`); `retryable` is
    False when the same scene would fail the same way again.
    """

    def __init__(self, code: str, message: str, retryable: bool) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.log: tuple[str, ...] = ()
        """What the process that drew printed last; added by whoever supervised it."""

    def __reduce__(self) -> tuple[type[SceneFailed], tuple[str, str, bool]]:
        return type(self), (self.code, self.message, self.retryable)


class SceneRenderer(Protocol):
    """Draws one scene of a storyboard to a segment."""

    @property
    def engine_version(self) -> str:
        """Part of every content address: changes whenever the same scene might look different."""
        ...

    def preload(self) -> None:
        """Import what is heavy and warm the fonts; call it before workers fork. May be called more than once."""
        ...

    def render(
        self, storyboard: Storyboard, index: int, ladder: Ladder, out_dir: Path, on_frames: OnFrames
    ) -> SceneOutput:
        """Draw scene `index` into `out_dir`, once for all rungs; raises `SceneFailed`.

        Blocking, single process, may be killed at any moment: the segments and the poster appear under their final
        names only when they are complete, and a second call into the same directory replaces them.
        """
        ...


@dataclass(frozen=True, slots=True)
class Chapter:
    """A named part of the finished video, from `start_s` to `end_s` (seconds)."""

    title: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What was measured from a media file (not what was asked for)."""

    duration_s: float
    width: int
    height: int
    fps: float
    codec: str
    size_bytes: int
    frames: int
    codec_string: str = ""
    """As in RFC 6381, for players: `avc1.640020`."""
    chapters: tuple[Chapter, ...] = ()
    audio_codec: str = ""
    """Empty without sound."""


class MediaFailed(Exception):
    """A media file is missing, damaged or does not fit the others; rendering it again may help."""


@dataclass(frozen=True, slots=True)
class Sound:
    """What is heard in a scene of `duration_s` seconds: an audio file as long, or silence."""

    audio: Path | None
    duration_s: float


@dataclass(frozen=True, slots=True)
class AudioOutput:
    """A scene's sound as a fragmented MP4 file. Frames are the codec's, `frame_rate` of them a second."""

    path: Path
    codec: str
    frames: int
    frame_rate: float
    head_bytes: int
    fragment_bytes: tuple[int, ...]
    fragment_frames: int


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of a sprite, in pixels, that shows the video from `start_s` to `end_s`."""

    start_s: float
    end_s: float
    left: int
    top: int
    width: int
    height: int


class MediaTools(Protocol):
    """Works on finished media files."""

    def assemble(
        self, segments: Sequence[Path], out: Path, chapters: Sequence[Chapter], sounds: Sequence[Sound] = ()
    ) -> None:
        """Join segments of one rung into one faststart MP4 without encoding the video again, with one track of all
        sounds if there are any; raises `MediaFailed`.

        `out` appears only when it is complete.
        """
        ...

    def voice_track(self, speech: Path | None, lead_s: float, duration_s: float, out: Path) -> AudioOutput:
        """A scene's sound: silence, the speech from `lead_s` on at the usual loudness, silence up to `duration_s`.

        `out` appears only when it is complete. Raises `MediaFailed`.
        """
        ...

    def probe(self, path: Path) -> MediaInfo:
        """Measure a file; raises `MediaFailed` when it cannot be read to its end."""
        ...

    def shrink(self, picture: Path, width: int, out: Path) -> tuple[int, int]:
        """Save a picture at most `width` pixels wide as JPEG; its size in pixels. Raises `MediaFailed`."""
        ...

    def sprite(self, video: Path, out: Path) -> Sequence[Tile]:
        """Save small stills of the whole video as one JPEG; which is where. Raises `MediaFailed`."""
        ...

    def poster(self, video: Path, out: Path) -> None:
        """Save a telling, not blank frame of the video as JPEG or PNG (by `out`'s suffix); raises `MediaFailed`."""
        ...


class Planner(Protocol):
    """Turns a request into a storyboard."""

    def plan(self, topic: str, context: str) -> Storyboard:
        """A valid storyboard; raises `StoryboardInvalid` with field paths `topic`, `context` or `scenes[…]…`."""
        ...

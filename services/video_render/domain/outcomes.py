"""What steps produce: stored files, rendered scenes, the finished video, or the reason why not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from services.video_render.domain.captions import Caption


class Stage(StrEnum):
    """What a render is doing."""

    NONE = "none"
    PLANNING = "planning"
    RENDERING = "rendering"
    ASSEMBLING = "assembling"
    PUBLISHING = "publishing"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A committed object of the storage service; `sha256` in hexadecimal."""

    object_id: str
    sha256: str
    size_bytes: int
    content_type: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A scene at one rung of the ladder: a fragmented MP4 file without sound.

    `head_bytes`, then a fragment of each of `fragment_bytes`; a fragment shows `fragment_frames`, the last the rest.
    """

    rung: str
    file: StoredFile
    frames: int
    head_bytes: int
    fragment_bytes: tuple[int, ...]
    fragment_frames: int
    width: int = 0
    height: int = 0
    frame_rate: float = 0.0
    codec: str = ""
    """As in RFC 6381, such as `avc1.64001f`."""


@dataclass(frozen=True, slots=True)
class Still:
    """A smaller picture of a scene, in pixels."""

    file: StoredFile
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class RenderedScene:
    """A finished scene, measured; `duration_s` in seconds, `segments` best first."""

    segments: tuple[Segment, ...]
    poster: StoredFile
    frames: int
    duration_s: float
    warnings: tuple[str, ...] = ()
    audio: Segment | None = None
    """What is heard in it, where that was wanted; its frames are those of the audio codec."""
    captions: tuple[Caption, ...] = ()
    """Of what is heard, in seconds from its beginning."""
    stills: tuple[Still, ...] = ()
    """Smaller than `poster`, the smallest first."""

    @property
    def size_bytes(self) -> int:
        """Of all its files."""
        seen = [segment.file for segment in self.segments] + [still.file for still in self.stills]
        heard = [self.audio.file] if self.audio else []
        return sum(file.size_bytes for file in (self.poster, *seen, *heard))


@dataclass(frozen=True, slots=True)
class Chapter:
    """Where a scene starts in the video and how long it lasts, in seconds."""

    scene_index: int
    title: str
    kind: str
    start_s: float
    duration_s: float
    fallback: bool = False
    """Whether a plain scene stands in for one that could not be drawn."""


@dataclass(frozen=True, slots=True)
class Rendition:
    """The video at one rung. Every figure is measured from the file; `codec` as in RFC 6381, such as `avc1.640020`."""

    rung: str
    file: StoredFile
    width: int
    height: int
    frame_rate: float
    codec: str
    peak_bits_per_s: int
    mean_bits_per_s: int


@dataclass(frozen=True, slots=True)
class RenderedVideo:
    """A published video: the best rendition, and all of them. Every figure is measured from the file."""

    video: StoredFile
    poster: StoredFile
    storyboard: StoredFile
    title: str
    duration_s: float
    width: int
    height: int
    frame_rate: float
    codec: str
    frame_count: int
    chapters: tuple[Chapter, ...]
    renditions: tuple[Rendition, ...] = ()
    """Best first."""
    audio_codec: str = ""
    """Empty without sound."""
    captions_vtt: StoredFile | None = None
    captions_srt: StoredFile | None = None
    stills: tuple[tuple[int, Still], ...] = ()
    """(scene index, still)."""
    poster_scene: int = 0
    sprite: StoredFile | None = None
    sprite_map: StoredFile | None = None


@dataclass(frozen=True, slots=True)
class StepFailure:
    """Why an attempt at a step failed; not `retryable` when the next attempt would fail the same way."""

    code: str
    message: str
    retryable: bool
    log: tuple[str, ...] = ()
    """What the attempt said last, oldest first."""
    blames_scene: bool = False
    """Another scene in its place could succeed."""
    poison: bool = False
    """It took a process with it: once the step's attempts are used up, a new render shall not begin the same again."""


@dataclass(frozen=True, slots=True)
class RenderFailure:
    """Why a render failed, and where; `retryable` when a whole new render may succeed."""

    code: str
    message: str
    stage: Stage
    scene_index: int | None
    retryable: bool
    log: tuple[str, ...] = ()

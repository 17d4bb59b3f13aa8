"""What the durable graph needs from the outside; the ports of the engine itself are in `engine`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from services.video_render.application.engine import AudioOutput, Ladder, OnFrames, SceneOutput
from services.video_render.domain.captions import Caption
from services.video_render.domain.outcomes import RenderedScene, StoredFile
from services.video_render.domain.render import Render
from services.video_render.domain.request import Priority
from services.video_render.domain.storyboard import Storyboard


class Change(Protocol):
    """A render locked for one transition; what is done to it is saved together or not at all."""

    @property
    def render(self) -> Render:
        """The locked render, to be changed by its own methods."""
        ...

    @property
    def now(self) -> datetime:
        """The store's clock, read after the lock was taken: the only clock that leases know."""
        ...

    def remember(self, content_hash: str, scene: RenderedScene) -> None:
        """Save a scene, whose files belong to the render's job, under its content address for the render's owner."""
        ...

    def forget(self, content_hashes: Iterable[str]) -> None:
        """Drop scenes whose files are gone."""
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """A step that must be offered to workers once; `task_id` is unique."""

    step_id: str
    task_id: str
    priority: Priority


class StoreUnavailable(ConnectionError):
    """The store does not answer right now. A transition that ended with it may or may not have been saved."""


class RenderStore(Protocol):
    """Renders, their steps, events and deliveries: the only authority. Every method may raise `StoreUnavailable`."""

    async def add(self, render: Callable[[datetime], Render], render_id: str) -> tuple[Render, bool]:
        """Store a new render made at the store's time; the render that has the id already, and False, if one has."""
        ...

    async def get(self, render_id: str) -> Render:
        """The render as it is; raises `RenderNotFound`."""
        ...

    def change(self, render_id: str) -> AbstractAsyncContextManager[Change]:
        """Lock a render for a transition; raises `RenderNotFound`. An exception inside leaves it as it was."""
        ...

    async def renew(self, step_id: str, fence: int, lease: timedelta) -> bool:
        """Prolong a lease to `lease` from now; False when the step is no longer held under this fence."""
        ...

    async def expired(self, limit: int) -> list[str]:
        """Steps whose holders have not renewed in time, oldest first."""
        ...

    async def held(self, limit: int) -> list[tuple[str, str]]:
        """Steps that are held, with their holders."""
        ...

    async def unclaimed(self, queue: Priority, older_than: timedelta, limit: int) -> list[str]:
        """Steps that were offered to a queue (nothing of them waits in the outbox) and not claimed since."""
        ...

    async def of_job(self, owner_id: str, job_id: str) -> list[str]:
        """The ids of the renders that were made for a job."""
        ...

    async def forget_job(self, owner_id: str, job_id: str) -> int:
        """Drop the renders of a job with their steps, events and deliveries, and the remembered scenes whose files are
        the job's; how many renders there were.
        """
        ...

    async def cached_scenes(self, owner_id: str, content_hashes: Sequence[str]) -> Mapping[str, RenderedScene]:
        """The owner's scenes among these content addresses, which count as used now."""
        ...

    async def evict_scenes(self, unused: timedelta, most_bytes: int) -> int:
        """Forget remembered scenes that were of no use for so long, and the least recently used of an owner's that
        together are larger than a size; how many.
        """
        ...


class Liveness(Protocol):
    """Knows the processes of this machine."""

    def me(self) -> str:
        """The name of this process; empty when it has none."""
        ...

    def provably_dead(self, holder: str) -> bool:
        """Whether the named process is gone for certain; False on any doubt."""
        ...


class TaskQueue(Protocol):
    """Moves step ids to workers. It may lose and repeat them."""

    async def publish(self, delivery: Delivery) -> None:
        """Enqueue; raises `QueueUnavailable`."""
        ...

    async def revoke(self, task_ids: Sequence[str]) -> None:
        """Kill the processes that run these deliveries. Best effort: their heartbeats notice as well."""
        ...

    async def depth(self, queue: Priority) -> int | None:
        """Deliveries waiting in a queue; None when the broker cannot say."""
        ...


class LiveStreams(Protocol):
    """What watchers of renders are sent from."""

    async def forget(self, stream_ids: Sequence[str]) -> None:
        """Drop the streams of these renders."""
        ...


class QueueUnavailable(ConnectionError):
    """The broker does not take tasks right now; they stay in the outbox."""


class FileKind(StrEnum):
    """What a stored file is."""

    VIDEO = "video"
    SEGMENT = "segment"
    POSTER = "poster"
    STORYBOARD = "storyboard"
    CAPTIONS = "captions"


@dataclass(frozen=True, slots=True)
class FileSpec:
    """Where a file belongs and which attempt wrote it; `request_id` makes a repeated write return the first answer."""

    request_id: str
    owner_id: str
    job_id: str
    kind: FileKind
    fence: int
    content_type: str
    filename: str
    scene_index: int | None = None


class FileUnavailable(Exception):
    """The storage service does not answer, or not in time; worth another attempt."""


class FileLost(Exception):
    """A file that is referenced is gone, or its bytes are not what was stored."""


OnBytes = Callable[[int], None]
"""Told how many more bytes of a file are stored."""


class FileStore(Protocol):
    """Keeps files under immutable ids."""

    async def save(self, source: Path, spec: FileSpec, on_bytes: OnBytes | None = None) -> StoredFile:
        """Store a file, verified end to end; raises `FileUnavailable`."""
        ...

    async def fetch(self, object_id: str, owner_id: str, target: Path) -> None:
        """Fetch what an owner has stored by other ways; raises `FileLost`, also for somebody else's, and
        `FileUnavailable`.
        """
        ...

    async def load(self, file: StoredFile, target: Path) -> None:
        """Fetch a file and verify it; `target` appears only when complete. Raises `FileLost`, `FileUnavailable`."""
        ...


@dataclass(frozen=True, slots=True)
class DrawnScene:
    """A scene as it was drawn, none of its files stored yet."""

    output: SceneOutput
    audio: AudioOutput | None
    captions: tuple[Caption, ...]
    warning: str
    """What went wrong with its voice; empty for nothing."""


class Spool(Protocol):
    """Drawn scenes that wait on this machine for the storage to come back; any of them may vanish.

    They survive the end of the process, so that whoever takes the step up here need not draw it again.
    """

    async def put(self, name: str, scene: DrawnScene) -> bool:
        """Keep the scene, whose files the caller gives up; False when there is no room."""
        ...

    async def take(self, name: str, folder: Path) -> DrawnScene | None:
        """Bring the scene's files into a folder, verified; None when it is not here (whole)."""
        ...

    async def drop(self, name: str) -> None:
        """Forget the scene, if it is here."""
        ...


class SegmentCache(Protocol):
    """Segments on this machine, by checksum; anything in it may vanish at any time."""

    async def keep(self, source: Path, sha256: str) -> None:
        """Keep a copy of a segment that was just stored."""
        ...

    async def fetch(self, sha256: str, target: Path) -> bool:
        """Put the segment at `target`; False when it is not here (whole)."""
        ...


class SceneCrashed(Exception):
    """The process that drew a scene ended without a result. `log` is what it printed last.

    `code` is `OUT_OF_MEMORY` when the kernel has killed it for that, `SCENE_CRASHED` for any other violent end (also of
    its supervisor), and `SCENE_RENDER_FAILED` when it left by itself.
    """

    def __init__(self, code: str, message: str, log: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.log = log

    @property
    def violent(self) -> bool:
        """Whether the process did not leave by itself."""
        return self.code != "SCENE_RENDER_FAILED"


class SceneProcess(Protocol):
    """Draws scenes in a process of their own, which ends with its supervisor."""

    async def render(
        self, storyboard: Storyboard, index: int, ladder: Ladder, out_dir: Path, on_frames: OnFrames
    ) -> SceneOutput:
        """As `SceneRenderer.render`; raises `SceneFailed`, `SceneCrashed`. Cancelling kills the process at once."""
        ...


class Workspace(Protocol):
    """Scratch folders."""

    def folder(self, step_id: str, fence: int) -> AbstractAsyncContextManager[Path]:
        """An empty folder of one attempt; removed at the end."""
        ...


class Shutdown(Protocol):
    """Tells a step that its worker must end."""

    async def wait(self) -> None:
        """Return when running steps must be handed back, the grace period being over."""
        ...

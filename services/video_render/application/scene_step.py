"""The scene step: draw one scene in a process of its own, store its segment, become its result."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

from services.video_render.application.engine import (
    AudioOutput,
    MediaTools,
    SceneFailed,
    SceneOutput,
    SegmentOutput,
    ladder_of,
)
from services.video_render.application.ports import (
    Change,
    DrawnScene,
    FileKind,
    FileLost,
    FileSpec,
    FileStore,
    FileUnavailable,
    RenderStore,
    SceneProcess,
    SegmentCache,
    Spool,
    Workspace,
)
from services.video_render.application.reporting import Reporter, together
from services.video_render.application.steps import Claim
from services.video_render.application.transition import transition
from services.video_render.application.voice import LEAD_S, Voice, narrated
from services.video_render.domain.editing import plain
from services.video_render.domain.kinds.diagrams import MAX_IMAGE_FILE_BYTES
from services.video_render.domain.outcomes import RenderedScene, Segment, Still, StoredFile
from services.video_render.domain.storyboard import Image, Scene, Storyboard

AUDIO = "audio"
"""What stands in place of a rung's name for what is heard."""
STILL_WIDTHS = (320, 640)
_POSTER_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}


@dataclass(frozen=True, slots=True)
class SceneStep:
    """Renders a scene; `progress_every_s` is the least time between two stored reports."""

    store: RenderStore
    files: FileStore
    segments: SegmentCache
    process: SceneProcess
    media: MediaTools
    voice: Voice | None
    workspace: Workspace
    spool: Spool
    progress_every_s: float = 0.5
    full_spool_pause_s: float = 3.0

    async def __call__(self, claim: Claim) -> None:
        """Raises `SceneFailed`, `SceneCrashed`, `MediaFailed`, `LeaseLost`; `FileUnavailable`, where what was drawn
        waits in the spool.
        """
        scene = known = await self._known(claim)
        worth_keeping = False  # Files of a known scene are those of the job that drew it.
        if scene is None:
            async with self.workspace.folder(claim.step_id, claim.fence) as folder:
                scene, worth_keeping = await self._made(claim, folder)

        def record(change: Change) -> None:
            change.render.scene_rendered(claim.step_id, claim.fence, scene, change.now, cached=known is not None)
            if worth_keeping and not claim.step.fallback:
                change.remember(claim.step.content_hash, scene)

        await transition(self.store, claim.render.render_id, record)

    async def _made(self, claim: Claim, folder: Path) -> tuple[RenderedScene, bool]:
        """The scene, stored; and whether it is what was wanted: another time, the voice may not fail."""
        name = f"{claim.step_id}-plain" if claim.step.fallback else claim.step_id
        drawn = await self.spool.take(name, folder) or await self._draw(claim, folder)
        while True:
            try:
                stored = await self._stored(claim, drawn)
                break
            except FileUnavailable:
                if await self.spool.put(name, drawn):
                    raise
                # No room for more: this worker holds on to what it has, and takes nothing else up meanwhile.
                await asyncio.sleep(self.full_spool_pause_s)
        await self.spool.drop(name)
        return stored, not drawn.warning

    async def _draw(self, claim: Claim, folder: Path) -> DrawnScene:
        request = claim.render.request
        board = Storyboard.from_dict(claim.render.storyboard)
        scene = board.scenes[claim.step.index]
        if claim.step.fallback:
            scene = plain(scene)
        scene = await self._with_picture(scene, request.owner_id, folder)
        narration = await narrated(self.voice if request.narration else None, scene, board.language, folder)
        scenes = [narration.scene if at == claim.step.index else each for at, each in enumerate(board.scenes)]
        output = await self._drawn(claim, replace(board, scenes=tuple(scenes)), folder)
        audio = None
        if request.narration:
            speech = narration.speech.audio if narration.speech else None
            track = folder / "audio.mp4"
            audio = await asyncio.to_thread(self.media.voice_track, speech, LEAD_S, output.duration_s, track)
        captions = tuple(narration.captions(output.duration_s)) if narration.speech else ()
        return DrawnScene(output, audio, captions, narration.warning)

    async def _with_picture(self, scene: Scene, owner_id: str, folder: Path) -> Scene:
        """The scene with the bytes of its picture, where that is a file. Raises `SceneFailed`, `FileUnavailable`."""
        picture = scene.content
        if not isinstance(picture, Image) or not picture.file_id:
            return scene
        path = folder / "picture"
        try:
            await self.files.fetch(picture.file_id, owner_id, path)
        except FileLost as lost:
            message = f"there is no file {picture.file_id} (any more)"
            raise SceneFailed("IMAGE_NOT_FOUND", message, retryable=False) from lost
        if path.stat().st_size > MAX_IMAGE_FILE_BYTES:
            message = f"the file of the picture has more than {MAX_IMAGE_FILE_BYTES} bytes"
            raise SceneFailed("IMAGE_TOO_LARGE", message, retryable=False)
        return replace(scene, content=replace(picture, data=path.read_bytes(), file_id=""))

    async def _known(self, claim: Claim) -> RenderedScene | None:
        """The same scene, if another render of the owner has finished it since this one was planned."""
        if claim.step.fallback:
            return None
        address = claim.step.content_hash
        found = await self.store.cached_scenes(claim.render.request.owner_id, [address])
        return found.get(address)

    async def _drawn(self, claim: Claim, board: Storyboard, folder: Path) -> SceneOutput:
        ladder = ladder_of(claim.render.request.qualities)
        latest = (0, 0)

        def note(done: int, total: int) -> None:
            nonlocal latest
            latest = (done, total)
            reporter.note()

        def record(change: Change) -> None:
            change.render.progressed(claim.step_id, claim.fence, *latest)

        reporter = Reporter(self.store, claim, self.progress_every_s, record)
        return await reporter.during(self.process.render(board, claim.step.index, ladder, folder, note))

    async def _stored(self, claim: Claim, drawn: DrawnScene) -> RenderedScene:
        output, audio = drawn.output, drawn.audio
        files = [(each.path, each.rung.name) for each in output.segments]
        if audio is not None:
            files.append((audio.path, AUDIO))
        kind = _POSTER_TYPES[output.poster.suffix.lower()]
        shrunk = [await self._shrunk(output.poster, width) for width in STILL_WIDTHS]
        poster, *saved = await together(
            self._save(claim, FileKind.POSTER, output.poster, kind),
            *(self._save(claim, FileKind.POSTER, path, "image/jpeg", path.stem) for path, _ in shrunk),
            *(self._save(claim, FileKind.SEGMENT, path, "video/mp4", name) for path, name in files),
        )
        stills = [Still(file, *size) for file, (_, size) in zip(saved, shrunk, strict=False)]
        segments = saved[len(shrunk) :]
        for (path, _), file in zip(files, segments, strict=True):
            await self.segments.keep(path, file.sha256)
        stored = tuple(_segment(each, file) for each, file in zip(output.segments, segments, strict=False))
        heard = _audio(audio, segments[-1]) if audio is not None else None
        warnings = (*output.warnings, drawn.warning) if drawn.warning else output.warnings
        return RenderedScene(
            stored, poster, output.frames, output.duration_s, warnings, heard, drawn.captions, tuple(stills)
        )

    async def _shrunk(self, poster: Path, width: int) -> tuple[Path, tuple[int, int]]:
        path = poster.with_name(f"{width}.jpg")
        return path, await asyncio.to_thread(self.media.shrink, poster, width, path)

    async def _save(self, claim: Claim, kind: FileKind, path: Path, content_type: str, rung: str = "") -> StoredFile:
        request = claim.render.request
        name = f"scene_{claim.step.index:03d}"
        spec = FileSpec(
            request_id=claim.request_id(f"{kind}-{rung}" if rung else kind),
            owner_id=request.owner_id,
            job_id=request.job_id,
            kind=kind,
            fence=claim.fence,
            content_type=content_type,
            filename=f"{name}_{rung}{path.suffix}" if rung else f"{name}{path.suffix}",
            scene_index=claim.step.index,
        )
        return await self.files.save(path, spec)


def _segment(output: SegmentOutput, file: StoredFile) -> Segment:
    return Segment(
        rung=output.rung.name,
        file=file,
        width=output.rung.width,
        height=output.rung.height,
        frame_rate=float(output.rung.fps),
        codec=output.codec,
        frames=output.frames,
        head_bytes=output.head_bytes,
        fragment_bytes=output.fragment_bytes,
        fragment_frames=output.fragment_frames,
    )


def _audio(output: AudioOutput, file: StoredFile) -> Segment:
    return Segment(
        rung=AUDIO,
        file=file,
        frame_rate=output.frame_rate,
        codec=output.codec,
        frames=output.frames,
        head_bytes=output.head_bytes,
        fragment_bytes=output.fragment_bytes,
        fragment_frames=output.fragment_frames,
    )

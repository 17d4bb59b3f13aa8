"""The assemble step: segments → one video, measured, stored; then the row points to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.video_render.application import engine
from services.video_render.application.engine import MediaInfo, MediaTools
from services.video_render.application.ports import (
    Change,
    FileKind,
    FileLost,
    FileSpec,
    FileStore,
    OnBytes,
    RenderStore,
    SegmentCache,
    Workspace,
)
from services.video_render.application.reporting import Reporter, together
from services.video_render.application.steps import Claim
from services.video_render.application.transition import transition
from services.video_render.application.voice import Narration, spoken_text
from services.video_render.domain.captions import Caption, subrip, webvtt
from services.video_render.domain.outcomes import (
    Chapter,
    RenderedScene,
    RenderedVideo,
    Rendition,
    Segment,
    StoredFile,
)
from services.video_render.domain.steps import Step
from services.video_render.domain.storyboard import Storyboard

_PARALLEL_LOADS = 4
_Saving = Coroutine[Any, Any, StoredFile]
_SUBRIP = "application/x-subrip"
_POSTER_PREFERENCE = (
    *("geometry", "function_plot", "parametric_plot", "network", "image", "scatter_chart", "data_chart"),
    *("number_line", "equation", "derivation", "matrix", "timeline", "compare", "quote", "title"),
)
"""Kinds that show best what a video is about, best first."""


@dataclass(frozen=True, slots=True)
class AssembleStep:
    """Joins and publishes."""

    store: RenderStore
    files: FileStore
    segments: SegmentCache
    media: MediaTools
    workspace: Workspace
    progress_every_s: float = 0.5

    async def __call__(self, claim: Claim) -> None:
        """Raises `MediaFailed`, `FileUnavailable`, `LeaseLost`."""
        async with self.workspace.folder(claim.step_id, claim.fence) as folder:
            lost = await self._gathered(claim, folder)
            if lost:
                await self._render_again(claim, lost)
                return
            chapters = chapters_of(claim.render.scenes)
            marks = [engine.Chapter(c.title, c.start_s, c.start_s + c.duration_s) for c in chapters]
            rungs = rungs_of(claim.render.scenes)
            infos = await asyncio.gather(*(self._joined(claim, folder, rung, marks) for rung in rungs))
            await transition(
                self.store,
                claim.render.render_id,
                lambda change: change.render.publishing(claim.step_id, claim.fence, change.now),
            )
            published = await self._published(claim, folder, infos, chapters)  # joined anew, should it be put off
        await transition(
            self.store,
            claim.render.render_id,
            lambda change: change.render.published(claim.step_id, claim.fence, published, change.now),
        )

    async def _gathered(self, claim: Claim, folder: Path) -> list[Step]:
        """Bring all segments into the folder; the scenes of which one no longer exists."""
        gate = asyncio.Semaphore(_PARALLEL_LOADS)

        async def fetched(scene: Step, segment: Segment) -> Step | None:
            path = _segment_path(folder, scene, segment.rung)
            async with gate:
                if await self.segments.fetch(segment.file.sha256, path):
                    return None
                try:
                    await self.files.load(segment.file, path)
                except FileLost:
                    return scene
                return None

        wanted = [(scene, segment) for scene in claim.render.scenes for segment in _parts(scene)]
        missing = await asyncio.gather(*(fetched(scene, segment) for scene, segment in wanted))
        indexes = {scene.index for scene in missing if scene is not None}
        return [scene for scene in claim.render.scenes if scene.index in indexes]

    async def _joined(self, claim: Claim, folder: Path, rung: str, marks: Sequence[engine.Chapter]) -> MediaInfo:
        """Join the segments of a rung; what came of it."""
        paths = [_segment_path(folder, scene, rung) for scene in claim.render.scenes]
        video = _video_path(folder, rung)
        sounds = [_sound(folder, scene) for scene in claim.render.scenes]
        heard = sounds if any(sound.audio for sound in sounds) else ()
        await asyncio.to_thread(self.media.assemble, paths, video, marks, heard)
        return await asyncio.to_thread(self.media.probe, video)

    async def _render_again(self, claim: Claim, lost: Sequence[Step]) -> None:
        def record(change: Change) -> None:
            indexes = [scene.index for scene in lost]
            change.render.scenes_lost(claim.step_id, claim.fence, indexes, change.now)
            change.forget([scene.content_hash for scene in lost])

        await transition(self.store, claim.render.render_id, record)

    async def _published(
        self, claim: Claim, folder: Path, infos: Sequence[MediaInfo], chapters: tuple[Chapter, ...]
    ) -> RenderedVideo:
        scenes, info = claim.render.scenes, infos[0]
        rungs = rungs_of(scenes)
        storyboard = folder / "storyboard.json"
        storyboard.write_text(json.dumps(claim.render.storyboard, ensure_ascii=False, indent=2), encoding="utf-8")
        videos, (poster, stored_storyboard, *sprite), captions = await together(
            self._videos(claim, [_video_path(folder, rung) for rung in rungs], rungs),
            together(
                self._poster(claim, folder),
                self._save(claim, FileKind.STORYBOARD, storyboard, "application/json"),
                *await self._sprite(claim, folder, rungs[-1]),
            ),
            together(*self._captions(claim, folder)),
        )
        return RenderedVideo(
            video=videos[0],
            poster=poster,
            storyboard=stored_storyboard,
            title=claim.render.title,
            duration_s=info.duration_s,
            width=info.width,
            height=info.height,
            frame_rate=info.fps,
            codec=info.codec,
            frame_count=info.frames,
            chapters=chapters,
            audio_codec=info.audio_codec,
            captions_vtt=captions[0] if captions else None,
            captions_srt=captions[1] if captions else None,
            stills=tuple((scene.index, still) for scene in scenes for still in _result(scene).stills),
            poster_scene=best_scene(scenes).index,
            sprite=sprite[0],
            sprite_map=sprite[1],
            renditions=tuple(
                _rendition(rung, file, measured, [_segment_of(scene, rung) for scene in scenes])
                for rung, file, measured in zip(rungs, videos, infos, strict=True)
            ),
        )

    async def _videos(self, claim: Claim, paths: Sequence[Path], rungs: Sequence[str]) -> list[StoredFile]:
        """The videos, stored while the render is told how far that is."""
        total, stored = sum(path.stat().st_size for path in paths), 0

        def note(count: int) -> None:
            nonlocal stored
            stored += count
            reporter.note()

        def record(change: Change) -> None:
            change.render.stored_bytes(claim.step_id, claim.fence, stored / total)

        reporter = Reporter(self.store, claim, self.progress_every_s, record)
        saving = (
            self._save(claim, FileKind.VIDEO, path, "video/mp4", rung, note)
            for path, rung in zip(paths, rungs, strict=True)
        )
        return await reporter.during(together(*saving))

    async def _sprite(self, claim: Claim, folder: Path, rung: str) -> list[_Saving]:
        """Small stills in one picture, and the map of it; to be saved."""
        picture, places = folder / "sprite.jpg", folder / "sprite.vtt"
        tiles = await asyncio.to_thread(self.media.sprite, _video_path(folder, rung), picture)
        places.write_text(webvtt(Caption(each.start_s, each.end_s, _place(each)) for each in tiles), encoding="utf-8")
        files = ((picture, "image/jpeg", "sprite"), (places, "text/vtt", "map"))
        return [self._save(claim, FileKind.POSTER, path, kind, name) for path, kind, name in files]

    def _captions(self, claim: Claim, folder: Path) -> list[_Saving]:
        """The captions as WebVTT and as SubRip, to be saved; nothing when nothing is said."""
        cues = captions_of(Storyboard.from_dict(claim.render.storyboard), claim.render.scenes)
        if not cues:
            return []
        files = ((folder / "captions.vtt", webvtt(cues), "text/vtt"), (folder / "captions.srt", subrip(cues), _SUBRIP))
        for path, text, _ in files:
            path.write_text(text, encoding="utf-8")
        return [self._save(claim, FileKind.CAPTIONS, path, kind, path.suffix[1:]) for path, _, kind in files]

    async def _poster(self, claim: Claim, folder: Path) -> StoredFile:
        """The still of the best scene; of the assembled video where that still is gone."""
        best = _result(best_scene(claim.render.scenes)).poster
        path = folder / ("poster.png" if best.content_type == "image/png" else "poster.jpg")
        try:
            await self.files.load(best, path)
        except FileLost:
            best_rung = rungs_of(claim.render.scenes)[0]
            await asyncio.to_thread(self.media.poster, _video_path(folder, best_rung), path)
        return await self._save(claim, FileKind.POSTER, path, best.content_type)

    async def _save(
        self,
        claim: Claim,
        kind: FileKind,
        path: Path,
        content_type: str,
        rung: str = "",
        on_bytes: OnBytes | None = None,
    ) -> StoredFile:
        request = claim.render.request
        spec = FileSpec(
            request_id=claim.request_id(f"{kind}-{rung}" if rung else kind),
            owner_id=request.owner_id,
            job_id=request.job_id,
            kind=kind,
            fence=claim.fence,
            content_type=content_type,
            filename=path.name,
        )
        return await self.files.save(path, spec, on_bytes)


def chapters_of(scenes: Sequence[Step]) -> tuple[Chapter, ...]:
    """Where each scene starts, from the measured lengths of the scenes before it."""
    chapters, start = [], 0.0
    for scene in scenes:
        length = _result(scene).duration_s
        chapters.append(Chapter(scene.index, scene.title, scene.scene_kind, start, length, scene.fallback))
        start += length
    return tuple(chapters)


def captions_of(board: Storyboard, scenes: Sequence[Step]) -> list[Caption]:
    """What is said in the whole video; in scenes in which nobody speaks, over as long as they last."""
    cues, start = list[Caption](), 0.0
    for step, scene in zip(scenes, board.scenes, strict=True):
        result = _result(step)
        own = result.captions or Narration(scene, None, spoken_text(scene)).captions(result.duration_s)
        cues += [cue.shifted(start) for cue in own]
        start += result.duration_s
    return cues


def rungs_of(scenes: Sequence[Step]) -> tuple[str, ...]:
    """The rungs that all scenes have, best first."""
    return tuple(segment.rung for segment in _result(scenes[0]).segments)


def best_scene(scenes: Sequence[Step]) -> Step:
    """The scene whose still stands for the video: the first of the kind that tells most."""
    rank = {kind: position for position, kind in enumerate(_POSTER_PREFERENCE)}
    return min(scenes, key=lambda scene: (rank.get(scene.scene_kind, len(rank)), scene.index))


def _rendition(rung: str, file: StoredFile, info: MediaInfo, segments: Sequence[Segment]) -> Rendition:
    peak = max(
        size * 8 * info.fps / min(segment.fragment_frames, segment.frames - number * segment.fragment_frames)
        for segment in segments
        for number, size in enumerate(segment.fragment_bytes)
    )
    return Rendition(
        rung=rung,
        file=file,
        width=info.width,
        height=info.height,
        frame_rate=info.fps,
        codec=info.codec_string,
        peak_bits_per_s=round(peak),
        mean_bits_per_s=round(info.size_bytes * 8 / info.duration_s),
    )


def _place(tile: engine.Tile) -> str:
    """A part of the picture that lies beside the map (W3C Media Fragments)."""
    return f"sprite#xywh={tile.left},{tile.top},{tile.width},{tile.height}"


def _parts(scene: Step) -> list[Segment]:
    """Everything that a scene is made of."""
    result = _result(scene)
    return [*result.segments, result.audio] if result.audio else list(result.segments)


def _sound(folder: Path, scene: Step) -> engine.Sound:
    result = _result(scene)
    audio = _segment_path(folder, scene, result.audio.rung) if result.audio else None
    return engine.Sound(audio, result.duration_s)


def _segment_of(scene: Step, rung: str) -> Segment:
    return next(segment for segment in _result(scene).segments if segment.rung == rung)


def _segment_path(folder: Path, scene: Step, rung: str) -> Path:
    return folder / f"scene_{scene.index:03d}_{rung}.mp4"


def _video_path(folder: Path, rung: str) -> Path:
    return folder / f"video_{rung}.mp4"


def _result(scene: Step) -> RenderedScene:
    if scene.result is None:
        raise ValueError(f"scene {scene.index} of an assembly has no result")
    return scene.result

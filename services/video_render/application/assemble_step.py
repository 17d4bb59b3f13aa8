"""The assemble step: segments → one video, measured, stored; then the row points to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.video_render.application import engine
from services.video_render.application.engine import MediaInfo, MediaTools
from services.video_render.application.ports import (
    Change,
    FileKind,
    FileLost,
    FileSpec,
    FileStore,
    RenderStore,
    SegmentCache,
    Workspace,
)
from services.video_render.application.steps import Claim
from services.video_render.application.transition import transition
from services.video_render.domain.outcomes import Chapter, RenderedScene, RenderedVideo, StoredFile
from services.video_render.domain.steps import Step

_PARALLEL_LOADS = 4
_POSTER_PREFERENCE = ("function_plot", "data_chart", "equation", "derivation", "title")
"""Kinds that show best what a video is about, best first."""


@dataclass(frozen=True, slots=True)
class AssembleStep:
    """Joins and publishes."""

    store: RenderStore
    files: FileStore
    segments: SegmentCache
    media: MediaTools
    workspace: Workspace

    async def __call__(self, claim: Claim) -> None:
        """Raises `MediaFailed`, `FileUnavailable`, `LeaseLost`."""
        async with self.workspace.folder(claim.step_id, claim.fence) as folder:
            paths, lost = await self._gathered(claim, folder)
            if lost:
                await self._render_again(claim, lost)
                return
            chapters = chapters_of(claim.render.scenes)
            video = folder / "video.mp4"
            marks = [engine.Chapter(c.title, c.start_s, c.start_s + c.duration_s) for c in chapters]
            await asyncio.to_thread(self.media.assemble, paths, video, marks)
            info = await asyncio.to_thread(self.media.probe, video)
            await transition(
                self.store,
                claim.render.render_id,
                lambda change: change.render.publishing(claim.step_id, claim.fence, change.now),
            )
            published = await self._published(claim, folder, info, chapters)
        await transition(
            self.store,
            claim.render.render_id,
            lambda change: change.render.published(claim.step_id, claim.fence, published, change.now),
        )

    async def _gathered(self, claim: Claim, folder: Path) -> tuple[list[Path], list[Step]]:
        """The segments in order, and the scenes whose segment no longer exists."""
        gate = asyncio.Semaphore(_PARALLEL_LOADS)
        scenes = claim.render.scenes
        paths = [folder / f"scene_{scene.index:03d}.mp4" for scene in scenes]

        async def fetched(scene: Step, path: Path) -> bool:
            segment = _result(scene).segment
            async with gate:
                if await self.segments.fetch(segment.sha256, path):
                    return True
                try:
                    await self.files.load(segment, path)
                except FileLost:
                    return False
                return True

        there = await asyncio.gather(*map(fetched, scenes, paths))
        return paths, [scene for scene, found in zip(scenes, there, strict=True) if not found]

    async def _render_again(self, claim: Claim, lost: Sequence[Step]) -> None:
        def record(change: Change) -> None:
            indexes = [scene.index for scene in lost]
            change.render.scenes_lost(claim.step_id, claim.fence, indexes, change.now)
            change.forget([scene.content_hash for scene in lost])

        await transition(self.store, claim.render.render_id, record)

    async def _published(
        self, claim: Claim, folder: Path, info: MediaInfo, chapters: tuple[Chapter, ...]
    ) -> RenderedVideo:
        storyboard = folder / "storyboard.json"
        storyboard.write_text(json.dumps(claim.render.storyboard, ensure_ascii=False, indent=2), encoding="utf-8")
        poster, poster_type = await self._poster(claim, folder)
        stored = await asyncio.gather(
            self._save(claim, FileKind.VIDEO, folder / "video.mp4", "video/mp4"),
            self._save(claim, FileKind.POSTER, poster, poster_type),
            self._save(claim, FileKind.STORYBOARD, storyboard, "application/json"),
        )
        return RenderedVideo(
            *stored,
            title=claim.render.title,
            duration_s=info.duration_s,
            width=info.width,
            height=info.height,
            frame_rate=info.fps,
            codec=info.codec,
            frame_count=info.frames,
            chapters=chapters,
        )

    async def _poster(self, claim: Claim, folder: Path) -> tuple[Path, str]:
        """The still of the best scene; of the assembled video where that still is gone."""
        best = _result(best_scene(claim.render.scenes)).poster
        path = folder / ("poster.png" if best.content_type == "image/png" else "poster.jpg")
        try:
            await self.files.load(best, path)
        except FileLost:
            await asyncio.to_thread(self.media.poster, folder / "video.mp4", path)
        return path, best.content_type

    async def _save(self, claim: Claim, kind: FileKind, path: Path, content_type: str) -> StoredFile:
        request = claim.render.request
        spec = FileSpec(
            request_id=claim.request_id(kind),
            owner_id=request.owner_id,
            job_id=request.job_id,
            kind=kind,
            fence=claim.fence,
            content_type=content_type,
            filename=path.name,
        )
        return await self.files.save(path, spec)


def chapters_of(scenes: Sequence[Step]) -> tuple[Chapter, ...]:
    """Where each scene starts, from the measured lengths of the scenes before it."""
    chapters, start = [], 0.0
    for scene in scenes:
        length = _result(scene).duration_s
        chapters.append(Chapter(scene.index, scene.title, scene.scene_kind, start, length, scene.fallback))
        start += length
    return tuple(chapters)


def best_scene(scenes: Sequence[Step]) -> Step:
    """The scene whose still stands for the video: the first of the kind that tells most."""
    rank = {kind: position for position, kind in enumerate(_POSTER_PREFERENCE)}
    return min(scenes, key=lambda scene: (rank.get(scene.scene_kind, len(rank)), scene.index))


def _result(scene: Step) -> RenderedScene:
    if scene.result is None:
        raise ValueError(f"scene {scene.index} of an assembly has no result")
    return scene.result

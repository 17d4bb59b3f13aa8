"""Finished videos: where their files are, and what they are (V4, V6, V7)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from services.job.application.neighbours import Artifact, Location, LocationRequest, ObjectMissing, Objects
from services.job.application.ports import Viewer
from services.job.application.queries import Queries
from services.job.domain.errors import ArtifactNotFound, StateConflict
from services.job.domain.job import Job
from services.job.domain.render import Rendition, Still, Video

_LIFETIME = timedelta(hours=1)
_POSTER_CACHE = "private, max-age=3600"


@dataclass(frozen=True, slots=True)
class VideoView:
    """A finished video with locations that work for an hour."""

    job: Job
    video: Video
    filename: str
    location: Location
    renditions: list[tuple[Rendition, Location]]
    thumbnail: Location | None
    captions: Location | None
    artifacts: list[Artifact]


class Videos:
    """The use cases of finished videos. Each raises JobNotFound, StateConflict and ArtifactNotFound."""

    def __init__(self, queries: Queries, objects: Objects) -> None:
        self._queries = queries
        self._objects = objects

    async def download(self, viewer: Viewer, job_id: str, level: str) -> Location:
        """Where the MP4 is; `level` such as `720p`, empty for the best."""
        job, video = await self._finished(viewer, job_id)
        objects = {job.order.quality.level: video.video_object_id}
        objects |= {rendition.level: rendition.object_id for rendition in video.renditions}
        level = level or job.order.quality.level
        if level not in objects:
            raise ArtifactNotFound(f"the video is not there in {level}, only in {', '.join(objects)}")
        filename = filename_of(video.title, job.job_id, "" if len(objects) == 1 else level)
        return await self._locate(job, objects[level], filename=filename)

    async def thumbnail(
        self, viewer: Viewer, job_id: str, scene: int | None = None, width: int | None = None
    ) -> Location:
        """Where a still is: of a scene, or of the one that tells most; `width` pixels wide, or as wide as there is."""
        job, video = await self._with_pictures(viewer, job_id)
        if width is None and scene is None:
            return await self._poster(job, video)
        wanted = video.poster_scene_index if scene is None else scene
        stills = [still for still in video.stills if still.scene_index == wanted]
        if not stills:
            if scene is None:
                return await self._poster(job, video)
            raise ArtifactNotFound(f"the video has no still of a scene {scene}")
        # The widest is not wider than the video, so a wish for more than there is gets the widest.
        fitting = [still for still in stills if width is not None and still.width >= width]
        still = min(fitting, key=_width) if fitting else max(stills, key=_width)
        return await self._locate(job, still.object_id, inline=True, cache_control=_POSTER_CACHE)

    async def sprite(self, viewer: Viewer, job_id: str, *, places: bool = False) -> Location:
        """Where the picture of small stills is, or the map of it."""
        job, video = await self._with_pictures(viewer, job_id)
        object_id = video.sprite_map_object_id if places else video.sprite_object_id
        if not object_id:
            raise ArtifactNotFound("the video has no sprite")
        return await self._locate(job, object_id, inline=True, cache_control=_POSTER_CACHE)

    async def _with_pictures(self, viewer: Viewer, job_id: str) -> tuple[Job, Video]:
        job, video = await self._finished(viewer, job_id)
        if not (job.order.thumbnails and video.thumbnail_object_id):
            raise ArtifactNotFound("the video has no thumbnail")
        return job, video

    async def captions(self, viewer: Viewer, job_id: str, *, subrip: bool = False) -> Location:
        """Where the captions are, as WebVTT or as SubRip."""
        job, video = await self._finished(viewer, job_id)
        object_id = video.captions_srt_object_id if subrip else video.captions_vtt_object_id
        if not object_id:
            raise ArtifactNotFound("the video has no captions: nothing is said in it")
        filename = filename_of(video.title, job.job_id).removesuffix(".mp4") + (".srt" if subrip else ".vtt")
        return await self._locate(job, object_id, filename=filename, inline=True, cache_control=_POSTER_CACHE)

    async def get(self, viewer: Viewer, job_id: str) -> VideoView:
        """Everything there is to say about the video."""
        job, video = await self._finished(viewer, job_id)
        filename = filename_of(video.title, job.job_id)
        renditions = video.renditions or (_only(job, video),)
        located = asyncio.gather(*(self._locate(job, each.object_id, filename=filename) for each in renditions))
        poster, captions, artifacts, locations = await asyncio.gather(
            self._poster_if_any(job, video),
            self._captions_if_any(job, video),
            self._objects.artifacts(job.order.owner_id, job.job_id),
            located,
        )
        offered = list(zip(renditions, locations, strict=True))
        return VideoView(job, video, filename, locations[0], offered, poster, captions, artifacts)

    async def _finished(self, viewer: Viewer, job_id: str) -> tuple[Job, Video]:
        job = await self._queries.visible(viewer, job_id)
        if job.expired_at is not None:
            raise ArtifactNotFound(f"the video expired on {job.expired_at:%Y-%m-%d}")
        if job.video is None:
            raise StateConflict(f"there is no video: the job is {job.status}")
        return job, job.video

    async def _poster_if_any(self, job: Job, video: Video) -> Location | None:
        if not (job.order.thumbnails and video.thumbnail_object_id):
            return None
        try:
            return await self._poster(job, video)
        except ArtifactNotFound:
            return None

    async def _captions_if_any(self, job: Job, video: Video) -> Location | None:
        if not video.captions_vtt_object_id:
            return None
        try:
            return await self._locate(job, video.captions_vtt_object_id, inline=True, cache_control=_POSTER_CACHE)
        except ArtifactNotFound:
            return None

    async def _poster(self, job: Job, video: Video) -> Location:
        return await self._locate(job, video.thumbnail_object_id, inline=True, cache_control=_POSTER_CACHE)

    async def _locate(
        self, job: Job, object_id: str, *, filename: str = "", inline: bool = False, cache_control: str = ""
    ) -> Location:
        request = LocationRequest(object_id, job.order.owner_id, filename, inline, cache_control, lifetime=_LIFETIME)
        try:
            return await self._objects.locate(request)
        except ObjectMissing:
            raise ArtifactNotFound("the file is not there any more") from None


def _only(job: Job, video: Video) -> Rendition:
    """The one rendition of a video from before there were several."""
    return Rendition(
        job.order.quality.level,
        video.video_object_id,
        video.size_bytes,
        video.sha256,
        video.width,
        video.height,
        video.frame_rate,
    )


def _width(still: Still) -> int:
    return still.width


def filename_of(title: str, job_id: str, level: str = "") -> str:
    """A file name that every system takes, from the title; the job's id when nothing is left of it."""
    kept = "".join(char if char.isalnum() else " " for char in title)
    name = "-".join(kept.split())[:80] or job_id
    return f"{name}-{level}.mp4" if level else f"{name}.mp4"

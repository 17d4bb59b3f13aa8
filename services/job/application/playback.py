"""Videos as players take them, scene by scene while later scenes are drawn (V5)."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from services.job.application import hls
from services.job.application.neighbours import (
    LocationRequest,
    ObjectMissing,
    Objects,
    Playable,
    RenderAway,
    Renders,
    RenderUnknown,
)
from services.job.application.ports import Clock, Viewer
from services.job.application.queries import Queries
from services.job.domain.errors import ArtifactNotFound, RendersUnavailable, StateConflict
from services.job.domain.job import Job
from services.job.domain.values import JobStatus

_LIFETIME = timedelta(hours=2)
"""How long the URLs of a playlist work at least."""
_UNCHANGED = timedelta(hours=6)
"""How long they stay as they are, from the job's start on."""
_AT_ONCE = 8


class Playback:
    """The use cases of players. All raise JobNotFound, StateConflict, ArtifactNotFound, RendersUnavailable."""

    def __init__(self, queries: Queries, renders: Renders, objects: Objects, clock: Clock) -> None:
        self._queries = queries
        self._renders = renders
        self._objects = objects
        self._clock = clock

    async def master(self, viewer: Viewer, job_id: str) -> str:
        """The master playlist."""
        _, playable = await self._playable(viewer, job_id)
        rungs = [segment.rung for segment in playable.scenes[0].segments]
        return hls.master([_rung(playable, rung) for rung in rungs], _rung(playable, hls.AUDIO))

    async def media(self, viewer: Viewer, job_id: str, rung: str) -> str:
        """The media playlist of a rung such as `720p`, or of `audio`."""
        job, playable = await self._playable(viewer, job_id)
        segments = _rung(playable, rung)
        if not segments:
            there = ", ".join(segment.rung for segment in playable.scenes[0].segments)
            raise ArtifactNotFound(f"the video is not there in {rung}, only in {there}")
        gate, until = asyncio.Semaphore(_AT_ONCE), _until(job.started_at or job.created_at, self._clock.now())

        async def located(segment: hls.Segment) -> str:
            wanted = LocationRequest(segment.object_id, job.order.owner_id, inline=True, expires_at=until)
            async with gate:
                return (await self._objects.locate(wanted)).url

        try:
            urls = await asyncio.gather(*map(located, segments))
        except ObjectMissing:
            raise ArtifactNotFound("a scene of the video is not kept any more; download it as a whole") from None
        return hls.media(list(zip(segments, urls, strict=True)), complete=playable.complete)

    async def _playable(self, viewer: Viewer, job_id: str) -> tuple[Job, Playable]:
        job = await self._queries.visible(viewer, job_id)
        if job.expired_at is not None:
            raise ArtifactNotFound(f"the video expired on {job.expired_at:%Y-%m-%d}")
        if job.status not in (JobStatus.PROCESSING, JobStatus.COMPLETED):
            raise StateConflict(f"there is nothing to play: the job is {job.status}")
        try:
            playable = await self._renders.playable(job.render_id)
        except RenderUnknown:
            raise StateConflict("there is nothing to play yet: the render has not begun") from None
        except RenderAway as away:
            raise RendersUnavailable from away
        if not playable.scenes:
            raise StateConflict("there is nothing to play yet: no scene is finished")
        return job, playable


def _until(start: datetime, now: datetime) -> datetime:
    """When the URLs end. A playlist that grows must not change what it has said (RFC 8216 §6.2.1), and players give up
    when it does: so not a time from now.
    """
    periods = (now - start) // _UNCHANGED + 1
    return start + periods * _UNCHANGED + _LIFETIME


def _rung(playable: Playable, rung: str) -> list[hls.Segment]:
    parts = [[*scene.segments, scene.audio] for scene in playable.scenes]
    return [part for scene in parts for part in scene if part is not None and part.rung == rung]

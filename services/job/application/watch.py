"""Watch a job: a snapshot or a position, then everything that happens, once and in order (J7)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from services.job.application.ports import EventSource, JobStore, LiveEvent, Viewer
from services.job.application.queries import JobView, Queries
from services.job.domain.errors import PositionBeyondEnd, PositionExpired


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The job as it was after the event `view.job.revision`."""

    view: JobView


class Watch:
    """The use case behind `WatchJob`."""

    def __init__(self, queries: Queries, store: JobStore, source: EventSource) -> None:
        self._queries = queries
        self._store = store
        self._source = source

    async def open(self, viewer: Viewer, job_id: str, after_seq: int | None) -> AsyncGenerator[Snapshot | LiveEvent]:
        """What the watcher is to get. Ends after the terminal event, or when the server drains.

        Raises JobNotFound, PositionBeyondEnd and PositionExpired before anything is sent.
        """
        job = await self._queries.visible(viewer, job_id)
        first = None
        if after_seq is None:
            first, position = Snapshot(await self._queries.progress_of(job)), job.revision
        else:
            await self._check(job_id, after_seq, job.revision)
            position = after_seq
        ended = job.status.terminal and position >= job.revision
        return self._stream(job_id, first, position, ended)

    async def _check(self, job_id: str, after_seq: int, revision: int) -> None:
        if after_seq > revision:
            raise PositionBeyondEnd(f"the newest event is {revision}, there is nothing after {after_seq}")
        if after_seq < revision:
            following = await self._store.history(job_id, after_seq, 1)
            if not following or following[0].seq != after_seq + 1:
                raise PositionExpired(f"the events after {after_seq} are not kept any more")

    async def _stream(
        self, job_id: str, first: Snapshot | None, position: int, ended: bool
    ) -> AsyncGenerator[Snapshot | LiveEvent]:
        if first is not None:
            yield first
        if ended:
            return
        async with aclosing(self._source.follow(job_id, position)) as events:
            async for event in events:
                yield event
                if event.terminal:
                    return

"""Watch a job: a snapshot or a position, then everything that happens, once and in order (J7)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from services.job.application.ports import EventSource, JobStore, LiveEvent, Viewer
from services.job.application.queries import JobView, Queries
from services.job.application.streams import check_position, stream


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
            await check_position(self._store.history, job_id, after_seq, job.revision)
            position = after_seq
        ended = job.status.terminal and position >= job.revision
        return stream(self._source, job_id, first, position, ended)

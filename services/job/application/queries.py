"""Look at jobs: one, its progress, a list, its history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.job.application.estimates import Estimates
from services.job.application.page_tokens import PageTokens
from services.job.application.ports import JobQuery, JobStore, PageKey, StoredEvent, Viewer
from services.job.application.queueing import Queue
from services.job.domain.errors import JobNotFound
from services.job.domain.job import Job
from services.job.domain.values import JobStatus


@dataclass(frozen=True, slots=True)
class JobView:
    """A job with what is computed when it is looked at."""

    job: Job
    estimated_completion: datetime | None
    queue_position: int | None = None


@dataclass(frozen=True, slots=True)
class JobPage:
    """A page of a list; `next_page_token` is empty on the last."""

    views: list[JobView]
    next_page_token: str
    total: int | None


@dataclass(frozen=True, slots=True)
class PageWish:
    """Which page of a list is asked for."""

    limit: int
    page_token: str = ""
    skip: int = 0
    with_total: bool = False


class Queries:
    """The use cases that change nothing. Another owner's job raises JobNotFound."""

    def __init__(
        self,
        store: JobStore,
        queue: Queue,
        estimates: Estimates,
        tokens: PageTokens,
        slots: int,
    ) -> None:
        self._store = store
        self._queue = queue
        self._estimates = estimates
        self._tokens = tokens
        self._slots = max(slots, 1)

    async def get(self, viewer: Viewer, job_id: str) -> JobView:
        """The job as it is now."""
        return await self.view(await self.visible(viewer, job_id))

    async def visible(self, viewer: Viewer, job_id: str) -> Job:
        """The job, if it exists for this viewer."""
        job = await self._store.get(job_id)
        if job is None or not viewer.may_see(job):
            raise JobNotFound(job_id)
        return job

    async def view(self, job: Job) -> JobView:
        """The job with its estimate."""
        return JobView(job, await self._estimates.completion(job))

    async def progress(self, viewer: Viewer, job_id: str) -> JobView:
        """The job with its place in the queue (V3)."""
        return await self.progress_of(await self.visible(viewer, job_id))

    async def progress_of(self, job: Job) -> JobView:
        """The same for a job at hand."""
        if job.status is not JobStatus.QUEUED:
            return await self.view(job)
        position = await self._queue.position(job)
        estimate = await self._estimates.completion(job, position // self._slots)
        return JobView(job, estimate, position)

    async def page(self, query: JobQuery, wish: PageWish) -> JobPage:
        """A page of a list (J2). Raises FieldsRefused for a token that does not belong to the list."""
        after = self._tokens.open_list(wish.page_token, query) if wish.page_token else None
        jobs = await self._store.page(query, after, wish.skip, wish.limit + 1)
        shown = jobs[: wish.limit]
        token = ""
        if len(jobs) > wish.limit:
            last = shown[-1]
            moment = (last.changed_at or last.updated_at) if query.by_update else last.created_at
            token = self._tokens.seal_list(PageKey(moment, last.job_id), query)
        total = await self._store.count(query) if wish.with_total else None
        return JobPage([await self.view(job) for job in shown], token, total)

    async def history(self, viewer: Viewer, job_id: str, page_token: str, limit: int) -> tuple[list[StoredEvent], str]:
        """Events of a job, oldest first, and the token of the next page (J1)."""
        await self.visible(viewer, job_id)
        after = self._tokens.open_history(page_token, job_id) if page_token else 0
        events = await self._store.history(job_id, after, limit + 1)
        shown = events[:limit]
        token = self._tokens.seal_history(shown[-1].seq, job_id) if len(events) > limit else ""
        return shown, token

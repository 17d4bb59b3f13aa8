"""What operators do to jobs of anybody (J9). Every change is audited."""

from __future__ import annotations

from services.job.application.failed_jobs import FailedJobsStore
from services.job.application.orders import Orders
from services.job.application.page_tokens import PageTokens
from services.job.application.ports import Clock, JobStore, Signal, Viewer
from services.job.application.queueing import Queue, QueueState
from services.job.application.retention import Audit
from services.job.domain.audit import AuditEntry, AuditNote
from services.job.domain.errors import JobNotFound, StateConflict
from services.job.domain.job import Job
from services.job.domain.values import JobStatus

_REPEATABLE = (JobStatus.FAILED, JobStatus.CANCELLED)


class Admin:
    """The use cases behind `JobAdminService`, but for the list of failed jobs."""

    def __init__(
        self,
        store: JobStore,
        failed: FailedJobsStore,
        queue: Queue,
        audit: Audit,
        orders: Orders,
        tokens: PageTokens,
        clock: Clock,
        queued: Signal,
        commanded: Signal,
    ) -> None:
        self._store = store
        self._failed = failed
        self._queue = queue
        self._audit = audit
        self._orders = orders
        self._tokens = tokens
        self._clock = clock
        self._queued = queued
        self._commanded = commanded

    async def reprocess(self, actor: Viewer, job_id: str) -> Job:
        """Order a failed or cancelled job again; its repeat, while that has not ended.

        Raises JobNotFound, StateConflict.
        """
        origin = await self._store.get(job_id)
        if origin is None or origin.deleted_at is not None:
            raise JobNotFound(job_id)
        if origin.status not in _REPEATABLE:
            raise StateConflict(f"the job is {origin.status}; only a failed or cancelled one is made again")
        repeats = await self._failed.repeats(job_id)
        for repeat in repeats:
            if not repeat.status.terminal:
                return repeat
        # Two who ask at once count the same repeats, so they name the same one.
        made = await self._orders.repeat(origin, len(repeats) + 1)
        async with self._store.change(job_id) as locked:
            if locked is not None:
                locked.notes.append(AuditNote(actor.subject, "job.reprocessed", {"repeat_job_id": made.job_id}))
        return made

    async def requeue(self, actor: Viewer, job_id: str) -> Job:
        """Take a job back into the queue. Raises JobNotFound, StateConflict."""
        async with self._store.change(job_id) as job:
            if job is None or job.deleted_at is not None:
                raise JobNotFound(job_id)
            job.requeue(self._clock.now())
            job.notes.append(AuditNote(actor.subject, "job.requeued", {"attempt": str(job.attempt)}))
        self._commanded.set()
        self._queued.set()
        return job

    async def drain(self, actor: Viewer) -> QueueState:
        """Start nothing any more."""
        now = self._clock.now()
        if await self._queue.drain(actor.subject, now):
            await self._audit.record(AuditNote(actor.subject, "queue.drained"), now)
        return await self._queue.state(now)

    async def resume(self, actor: Viewer) -> QueueState:
        """Start jobs again."""
        now = self._clock.now()
        if await self._queue.resume():
            await self._audit.record(AuditNote(actor.subject, "queue.resumed"), now)
            self._queued.set()
        return await self._queue.state(now)

    async def queue(self) -> QueueState:
        """The queue as it is now."""
        return await self._queue.state(self._clock.now())

    async def audit(self, job_id: str, page_token: str, limit: int) -> tuple[list[AuditEntry], str]:
        """A page of the audit, newest first, and the token of the next one."""
        before = self._tokens.open_number(page_token, "audit", job_id) if page_token else None
        entries = await self._audit.entries(job_id, before, limit + 1)
        shown = list(entries[:limit])
        token = self._tokens.seal_number(shown[-1].entry_id, "audit", job_id) if len(entries) > limit else ""
        return shown, token

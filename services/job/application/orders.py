"""Accept, cancel and delete orders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from services.job.application.estimates import Estimates
from services.job.application.ports import Clock, JobStore, Repeated, RequestKey, Signal, Viewer
from services.job.application.request import OrderRequest
from services.job.application.webhooks.ports import Receivers
from services.job.domain.audit import AuditNote
from services.job.domain.errors import IdempotencyConflict, JobNotFound, QuotaExhausted
from services.job.domain.job import Job
from services.job.domain.plan import Plans
from services.job.domain.retention import pin, unpin

REQUEST_ID_LIFETIME = timedelta(hours=24)
"""How long a request id names its request."""


class Orders:
    """The use cases that change a job at a user's wish."""

    def __init__(
        self,
        store: JobStore,
        estimates: Estimates,
        clock: Clock,
        new_id: Callable[[], str],
        queued: Signal,
        commanded: Signal,
        receivers: Receivers,
    ) -> None:
        self._store = store
        self._estimates = estimates
        self._clock = clock
        self._new_id = new_id
        self._queued = queued
        self._commanded = commanded
        self._receivers = receivers

    async def create(self, viewer: Viewer, request: OrderRequest, request_id: str) -> Job:
        """Accept an order (V1); with a request id that is in use, the job as it was first accepted.

        Raises FieldsRefused, Unsupported, IdempotencyConflict; WebhookLimitReached for one webhook URL too many.
        """
        order = request.to_order(viewer.subject, viewer.plan)
        if order.webhook_url:
            order = replace(order, webhook_url=await self._receivers.accept(viewer.subject, order.webhook_url))
        now = self._clock.now()
        job = Job.accept(self._new_id(), order, now)
        job.first_estimate = await self._estimates.promise(job)
        key = None
        if request_id:
            expires = now + REQUEST_ID_LIFETIME
            key = RequestKey(viewer.subject, request_id, request.fingerprint(), expires)
        outcome = await self._store.create(job, key)
        if isinstance(outcome, Repeated):
            if key is None or outcome.fingerprint != key.fingerprint:
                raise IdempotencyConflict
            first = outcome.job
            return Job.accept(first.job_id, first.order, first.created_at, first.first_estimate)
        self._queued.set()
        return job

    async def cancel(self, viewer: Viewer, job_id: str) -> Job:
        """Stop a job (J3): its row now, its render as soon as video_render can be reached.

        Raises JobNotFound, StateConflict.
        """
        async with self._store.change(job_id) as job:
            if job is None or not viewer.may_see(job):
                raise JobNotFound(job_id)
            job.cancel(self._clock.now())
            commanded = bool(job.commands)
        if commanded:
            self._commanded.set()
        return job

    async def delete(self, viewer: Viewer, job_id: str) -> None:
        """Take a job out of every list, cancelled first if it runs. Raises JobNotFound."""
        async with self._store.change(job_id) as job:
            if job is None or not viewer.may_see(job):
                raise JobNotFound(job_id)
            job.delete(self._clock.now())
            job.notes.append(AuditNote(viewer.subject, "job.deleted"))
            commanded = bool(job.commands)
        if commanded:
            self._commanded.set()


class Pins:
    """Keeps jobs beyond retention (J10)."""

    def __init__(self, store: JobStore, plans: Plans, clock: Clock) -> None:
        self._store = store
        self._plans = plans
        self._clock = clock

    async def pin(self, viewer: Viewer, job_id: str) -> Job:
        """Keep a job. Raises JobNotFound, StateConflict, QuotaExhausted (of two at the limit, both may pass)."""
        async with self._store.change(job_id) as job:
            if job is None or not viewer.may_see(job):
                raise JobNotFound(job_id)
            if job.pinned_at is None:
                plan = self._plans.of(job.order.plan)
                if await self._store.pinned(job.order.owner_id) >= plan.pinned:
                    raise QuotaExhausted(f"the plan {plan.name} allows {plan.pinned} pinned jobs; unpin one")
                pin(job, plan, self._clock.now())
                job.notes.append(AuditNote(viewer.subject, "job.pinned"))
        return job

    async def unpin(self, viewer: Viewer, job_id: str) -> Job:
        """Leave a job to retention again. Raises JobNotFound."""
        async with self._store.change(job_id) as job:
            if job is None or not viewer.may_see(job):
                raise JobNotFound(job_id)
            if job.pinned_at is not None:
                unpin(job, self._plans.of(job.order.plan), self._clock.now())
                job.notes.append(AuditNote(viewer.subject, "job.unpinned"))
        return job

"""Accept, cancel and delete orders."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from services.job.application.estimates import Estimates
from services.job.application.ports import Clock, JobStore, Repeated, RequestKey, Signal, Viewer
from services.job.application.request import OrderRequest
from services.job.application.reservations import Reservations
from services.job.application.webhooks.ports import Receivers
from services.job.domain.audit import AuditNote
from services.job.domain.errors import CreditsExhausted, IdempotencyConflict, JobNotFound, QuotaExhausted
from services.job.domain.job import Job
from services.job.domain.order import Order
from services.job.domain.plan import Plans
from services.job.domain.retention import pin, unpin

REQUEST_ID_LIFETIME = timedelta(hours=24)
"""How long a request id names its request."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A job that can be stored."""

    job: Job


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
        reserved: Signal,
        receivers: Receivers,
        reservations: Reservations,
    ) -> None:
        self._reservations = reservations
        self._store = store
        self._estimates = estimates
        self._clock = clock
        self._new_id = new_id
        self._queued = queued
        self._commanded = commanded
        self._reserved = reserved
        self._receivers = receivers

    async def create(self, viewer: Viewer, request: OrderRequest, request_id: str) -> Job:
        """Accept an order (V1); with a request id that is in use, the job as it was first accepted.

        Raises FieldsRefused, Unsupported, IdempotencyConflict; WebhookLimitReached for one webhook URL too many.
        """
        key = None
        if request_id:
            expires = self._clock.now() + REQUEST_ID_LIFETIME
            key = RequestKey(viewer.subject, request_id, request.fingerprint(), expires)
        try:
            acceptance = await self.accept(viewer, request)
        except CreditsExhausted:
            # A repeat costs nothing: it may be answered though no credit is left.
            known = await self._store.repeated(key, self._clock.now()) if key is not None else None
            if key is None or known is None:
                raise
            return _first_answer(known, key)
        return await self._store_new(acceptance, key)

    async def repeat(self, origin: Job, number: int) -> Job:
        """Order what a job was about once more, in its owner's name; the same job for the same number (J9)."""
        order = replace(origin.order, origin_job_id=origin.job_id, batch_id="")
        expires = self._clock.now() + REQUEST_ID_LIFETIME
        # A client's request id has no space, so it cannot be taken for this one.
        key = RequestKey(order.owner_id, f"repeat {origin.job_id} {number}", b"repeat", expires)
        return await self._store_new(await self._accept(order), key)

    async def accept(self, viewer: Viewer, request: OrderRequest, batch_id: str = "") -> Acceptance:
        """A job that is not stored yet; what is reserved for it is given back by `withdraw`.

        Raises FieldsRefused, Unsupported, WebhookLimitReached, CreditsExhausted, CreditsUnavailable.
        """
        order = request.to_order(viewer.subject, viewer.plan)
        if order.webhook_url:
            order = replace(order, webhook_url=await self.receiver(viewer, order.webhook_url))
        return await self._accept(replace(order, batch_id=batch_id) if batch_id else order)

    async def receiver(self, viewer: Viewer, url: str) -> str:
        """A webhook's URL as it is stored. Raises FieldsRefused, WebhookLimitReached."""
        return await self._receivers.accept(viewer.subject, url)

    async def withdraw(self, acceptances: Iterable[Acceptance]) -> None:
        """Give back what was reserved for jobs that were certainly not stored."""
        for acceptance in acceptances:
            if acceptance.job.order.credit_cost:
                await self._reservations.withdraw(acceptance.job.job_id)

    async def _accept(self, order: Order) -> Acceptance:
        job_id = self._new_id()
        priced = await self._reservations.reserve(order, job_id)
        job = Job.accept(job_id, priced, self._clock.now())
        job.first_estimate = await self._estimates.promise(job)
        return Acceptance(job)

    async def _store_new(self, acceptance: Acceptance, key: RequestKey | None) -> Job:
        outcome = await self._store.create(acceptance.job, key)
        if isinstance(outcome, Repeated):
            await self.withdraw([acceptance])
            return _first_answer(outcome, key)
        self._queued.set()
        if acceptance.job.order.credit_cost:
            self._reserved.set()
        return acceptance.job

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


def _first_answer(outcome: Repeated, key: RequestKey | None) -> Job:
    """The job as it was first accepted, whatever has become of it."""
    if key is None or outcome.fingerprint != key.fingerprint:
        raise IdempotencyConflict
    first = outcome.job
    return Job.accept(first.job_id, first.order, first.created_at, first.first_estimate)


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

"""Accept, look at, watch and cancel batches (V2)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Protocol

import structlog

from services.job.application.orders import REQUEST_ID_LIFETIME, Acceptance, Orders
from services.job.application.page_tokens import PageTokens
from services.job.application.ports import (
    Clock,
    EventSource,
    LiveEvent,
    PageKey,
    RequestKey,
    Signal,
    StoredEvent,
    Viewer,
)
from services.job.application.request import OrderRequest
from services.job.application.streams import check_position, stream
from services.job.application.ticking import Wakeup
from services.job.domain.batch import Batch, BatchStatus, Refusal
from services.job.domain.errors import (
    BatchNotFound,
    FieldsRefused,
    IdempotencyConflict,
    QuotaExhausted,
    StateConflict,
    Unsupported,
    WebhookLimitReached,
)
from services.job.domain.job import Job

_log = structlog.get_logger(__name__)
_STEP = 1.0
"""Percent that a batch must come further before its running jobs are worth an event."""


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """A batch as it was first accepted, and for each of its items the job or the refusal."""

    batch: Batch
    items: list[Job | Refusal]


@dataclass(frozen=True, slots=True)
class RepeatedBatch:
    """The request id is in use: the batch it made with its jobs by position, and the hash of the body."""

    batch: Batch
    jobs: dict[int, Job]
    fingerprint: bytes


class BatchStore(Protocol):
    """The batches and their history."""

    async def create(self, batch: Batch, jobs: dict[int, Job], key: RequestKey | None) -> RepeatedBatch | None:
        """Store a new batch with its jobs by position, all or nothing; the batch of the key when that is in use."""
        ...

    async def get(self, batch_id: str) -> Batch | None:
        """The batch as of one moment."""
        ...

    def change(self, batch_id: str) -> AbstractAsyncContextManager[Batch | None]:
        """The batch under its lock; its new state and events are stored on leaving."""
        ...

    async def page(self, owner_id: str | None, after: PageKey | None, limit: int) -> list[Batch]:
        """Batches, newest first."""
        ...

    async def history(self, batch_id: str, after_seq: int, limit: int) -> list[StoredEvent]:
        """Events after the position, oldest first."""
        ...

    async def open_jobs(self, batch_id: str) -> list[str]:
        """Ids of its jobs that have not ended."""
        ...

    async def running(self) -> dict[str, float]:
        """The batches that have running jobs, with the sum of those jobs' progress."""
        ...

    async def half_cancelled(self, asked_before: datetime, limit: int) -> list[str]:
        """Batches that were asked to end before that moment and have not: whoever stopped their jobs has died."""
        ...


class Batches:
    """The use cases behind `BatchService`. Another owner's batch raises BatchNotFound."""

    def __init__(
        self,
        store: BatchStore,
        orders: Orders,
        tokens: PageTokens,
        source: EventSource,
        clock: Clock,
        new_id: Callable[[], str],
        queued: Signal,
    ) -> None:
        self._store = store
        self._orders = orders
        self._tokens = tokens
        self._source = source
        self._clock = clock
        self._new_id = new_id
        self._queued = queued

    async def create(
        self, viewer: Viewer, wishes: Sequence[OrderRequest | Refusal], webhook_url: str, request_id: str
    ) -> BatchOutcome:
        """Accept what can be accepted, each item on its own.

        Raises FieldsRefused and WebhookLimitReached for the batch's own webhook, IdempotencyConflict.
        """
        now = self._clock.now()
        if webhook_url:
            webhook_url = await self._orders.receiver(viewer, webhook_url)
        key = None
        if request_id:
            key = RequestKey(viewer.subject, request_id, _fingerprint(wishes, webhook_url), now + REQUEST_ID_LIFETIME)
        batch_id = self._new_id()
        jobs: dict[int, Job] = {}
        refusals: list[Refusal] = []
        accepted: list[Acceptance] = []
        for index, wish in enumerate(wishes):
            outcome = wish if isinstance(wish, Refusal) else await self._accept(viewer, index, wish, batch_id)
            if isinstance(outcome, Refusal):
                refusals.append(outcome)
            else:
                accepted.append(outcome)
                jobs[index] = outcome.job
        batch = Batch.accept(batch_id, viewer.subject, len(wishes), tuple(refusals), now, webhook_url)
        repeated = await self._store.create(batch, jobs, key)
        if repeated is not None:
            await self._orders.withdraw(accepted)
            return _first_answer(repeated, key)
        self._queued.set()
        return _outcome(batch, jobs)

    async def _accept(self, viewer: Viewer, index: int, wish: OrderRequest, batch_id: str) -> Acceptance | Refusal:
        try:
            return await self._orders.accept(viewer, wish, batch_id)
        except FieldsRefused as refused:
            code = "UNSUPPORTED" if isinstance(refused, Unsupported) else "VALIDATION_FAILED"
            return Refusal(index, code, str(refused), refused.field_violations)
        except (QuotaExhausted, WebhookLimitReached) as exhausted:
            return Refusal(index, "QUOTA_EXHAUSTED", str(exhausted))

    async def get(self, viewer: Viewer, batch_id: str) -> Batch:
        """The batch as it is now."""
        batch = await self._store.get(batch_id)
        if batch is None or not (viewer.admin or batch.owner_id == viewer.subject):
            raise BatchNotFound(batch_id)
        return batch

    async def page(self, viewer: Viewer, page_token: str, limit: int) -> tuple[list[Batch], str]:
        """A page of the viewer's batches, newest first, and the token of the next one."""
        name = ("batches", viewer.owner_filter or "", str(viewer.admin))
        after = self._tokens.open_key(page_token, *name) if page_token else None
        batches = await self._store.page(viewer.owner_filter, after, limit + 1)
        shown = batches[:limit]
        if len(batches) <= limit:
            return shown, ""
        return shown, self._tokens.seal_key(PageKey(shown[-1].created_at, shown[-1].batch_id), *name)

    async def cancel(self, viewer: Viewer, batch_id: str) -> Batch:
        """Stop every job of it that has not ended. Raises StateConflict once it has ended otherwise."""
        await self.get(viewer, batch_id)
        async with self._store.change(batch_id) as batch:
            if batch is None:
                raise BatchNotFound(batch_id)
            batch.cancel()
        await self.stop_jobs(batch_id)
        return await self.get(viewer, batch_id)

    async def stop_jobs(self, batch_id: str) -> None:
        """Cancel its open jobs, one after the other: a job's lock is taken before its batch's, never the other way."""
        system = Viewer("system", admin=True)
        for job_id in await self._store.open_jobs(batch_id):
            try:
                await self._orders.cancel(system, job_id)
            except StateConflict:
                continue  # It ended in the last moment.

    async def watch(self, viewer: Viewer, batch_id: str, after_seq: int | None) -> AsyncGenerator[Batch | LiveEvent]:
        """A snapshot or a position, then everything that happens, once and in order; ends after the last event.

        Raises PositionBeyondEnd, PositionExpired before anything is sent.
        """
        batch = await self.get(viewer, batch_id)
        if after_seq is None:
            first, position = batch, batch.revision
        else:
            await check_position(self._store.history, batch_id, after_seq, batch.revision)
            first, position = None, after_seq
        over = batch.status is not BatchStatus.PROCESSING and position >= batch.revision
        return stream(self._source, batch_id, first, position, over)


class BatchProgress:
    """Tells batches how far their running jobs are, and ends what a dead process has begun to cancel."""

    def __init__(self, store: BatchStore, batches: Batches, clock: Clock) -> None:
        self._store = store
        self._batches = batches
        self._clock = clock

    async def run(self, wakeup: Wakeup) -> None:
        """Look for as long as the process lives. Several may: an event is only written for progress that is new."""
        while True:
            await self.look()
            await wakeup.wait()

    async def look(self) -> int:
        """One look; how many batches have come further."""
        moved = 0
        for batch_id, running in (await self._store.running()).items():
            async with self._store.change(batch_id) as batch:
                moved += batch is not None and batch.progressed(running, self._clock.now(), _STEP)
        for batch_id in await self._store.half_cancelled(self._clock.now() - timedelta(seconds=30), 10):
            _log.info("cancelling the rest of a batch", batch_id=batch_id)
            await self._batches.stop_jobs(batch_id)
        return moved


def _outcome(batch: Batch, jobs: dict[int, Job]) -> BatchOutcome:
    items: dict[int, Job | Refusal] = {**jobs, **{refusal.index: refusal for refusal in batch.refusals}}
    return BatchOutcome(batch, [items[index] for index in sorted(items)])


def _first_answer(repeated: RepeatedBatch, key: RequestKey | None) -> BatchOutcome:
    """The batch and its jobs as they were first accepted, whatever has become of them."""
    if key is None or repeated.fingerprint != key.fingerprint:
        raise IdempotencyConflict
    known = repeated.batch
    batch = Batch.accept(
        known.batch_id, known.owner_id, known.total, known.refusals, known.created_at, known.webhook_url
    )
    jobs = {
        index: Job.accept(job.job_id, job.order, job.created_at, job.first_estimate)
        for index, job in repeated.jobs.items()
    }
    return _outcome(batch, jobs)


def _fingerprint(wishes: Sequence[OrderRequest | Refusal], webhook_url: str) -> bytes:
    digest = sha256(webhook_url.encode())
    for wish in wishes:
        digest.update(wish.fingerprint() if isinstance(wish, OrderRequest) else sha256(repr(wish).encode()).digest())
    return digest.digest()

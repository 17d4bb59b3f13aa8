"""Remove everything that is kept of an owner (A8): by the same ways by which users and time remove things."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.job.application.neighbours import NeighbourAway
from services.job.application.orders import Orders
from services.job.application.ports import Clock, Viewer
from services.job.application.retention import Retention
from services.job.domain.audit import SYSTEM
from services.job.domain.errors import JobNotFound
from services.job.domain.retention import DELETED_GRACE
from services.job.domain.values import JobStatus

_BATCH = 100
_SYSTEM = Viewer(SYSTEM, admin=True)


@dataclass(frozen=True, slots=True)
class LeftJob:
    """A job that is still there."""

    job_id: str
    status: JobStatus
    deleted: bool
    completed_at: datetime | None

    def is_still(self, now: datetime) -> bool:
        """Whether nothing writes for it any more: it came to its own end, or what was stopped has had time to end."""
        if self.status is JobStatus.COMPLETED:
            return True
        return self.completed_at is not None and self.completed_at + DELETED_GRACE <= now


class ErasedOwners(Protocol):
    """The rows of an owner, whatever state they are in; only for erasing them. Repeating anything changes nothing."""

    async def forget_receivers(self, owner_id: str) -> None:
        """Webhooks and what was, or is to be, sent to them."""
        ...

    async def jobs(self, owner_id: str, after: str, limit: int) -> list[LeftJob]:
        """Deleted or not, with ids greater than `after`, smallest first."""
        ...

    async def batches(self, owner_id: str) -> list[str]:
        """Ids of all batches."""
        ...

    async def forget(self, owner_id: str) -> bool:
        """Everything that no job refers to any more. False, and nothing done, when there is a job again."""
        ...


class LiveStreams(Protocol):
    """What readers of progress and logs are sent from."""

    async def forget(self, stream_ids: Sequence[str]) -> None:
        """Drop the streams of these jobs, or batches."""
        ...


class Eraser:
    """Safe to be interrupted anywhere and to be run again, also by several processes."""

    def __init__(
        self,
        owners: ErasedOwners,
        orders: Orders,
        retention: Retention,
        job_streams: LiveStreams,
        batch_streams: LiveStreams,
        clock: Clock,
    ) -> None:
        self._owners = owners
        self._orders = orders
        self._retention = retention
        self._job_streams = job_streams
        self._batch_streams = batch_streams
        self._clock = clock

    async def __call__(self, owner_id: str) -> bool:
        """Whether nothing is left. First of all everything stops that costs or tells; then it goes, files first."""
        await self._owners.forget_receivers(owner_id)
        await self._stop(owner_id)
        if not await self._remove(owner_id):
            return False
        await self._batch_streams.forget(await self._owners.batches(owner_id))
        return await self._owners.forget(owner_id)

    async def _stop(self, owner_id: str) -> None:
        after = ""
        while jobs := await self._owners.jobs(owner_id, after, _BATCH):
            for job in jobs:
                if not job.deleted:
                    await self._delete(job.job_id)
            after = jobs[-1].job_id

    async def _delete(self, job_id: str) -> None:
        try:
            await self._orders.delete(_SYSTEM, job_id)
        except JobNotFound:  # somebody else was faster
            return

    async def _remove(self, owner_id: str) -> bool:
        """Purge what can go now; whether that was everything."""
        after, everything = "", True
        while jobs := await self._owners.jobs(owner_id, after, _BATCH):
            for job in jobs:
                if not (job.deleted and job.is_still(self._clock.now())):
                    everything = False
                    continue
                # Before the row: nothing is added to the streams of a job at rest, and afterwards nobody knows them.
                await self._job_streams.forget([job.job_id])
                try:
                    everything &= await self._retention.remove(job.job_id)
                except NeighbourAway:
                    everything = False
            after = jobs[-1].job_id
        return everything

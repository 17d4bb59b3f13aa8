"""A batch: orders that were handed in together, and what has become of them as a whole (V2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from services.job.domain.errors import StateConflict
from services.job.domain.values import JobStatus


class BatchStatus(StrEnum):
    """All but processing are terminal and never change."""

    PROCESSING = "processing"
    COMPLETED = "completed"
    PARTIALLY_COMPLETED = "partially_completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an item did not become a job; `violations` are (path within the item, text)."""

    index: int
    code: str
    message: str
    violations: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class BatchEvent:
    """Something that happened to a batch; `seq` is 1, 2, 3 … per batch. The last one has a terminal `status`."""

    seq: int
    occurred_at: datetime
    status: BatchStatus
    progress: float
    counts: Mapping[JobStatus, int]
    refused: int


def _no_jobs() -> dict[JobStatus, int]:
    return dict.fromkeys(JobStatus, 0)


@dataclass(slots=True)
class Batch:
    """Counts its jobs by status. Every change appends to `events`, to be stored with it under its row's lock."""

    batch_id: str
    owner_id: str
    total: int
    created_at: datetime
    updated_at: datetime
    refusals: tuple[Refusal, ...] = ()
    webhook_url: str = ""
    status: BatchStatus = BatchStatus.PROCESSING
    progress: float = 0.0
    counts: dict[JobStatus, int] = field(default_factory=_no_jobs)
    cancel_requested: bool = False
    revision: int = 0
    completed_at: datetime | None = None
    events: list[BatchEvent] = field(default_factory=list)

    @classmethod
    def accept(
        cls,
        batch_id: str,
        owner_id: str,
        total: int,
        refusals: tuple[Refusal, ...],
        now: datetime,
        webhook_url: str = "",
    ) -> Batch:
        """A new batch whose items are queued, but for those refused."""
        batch = cls(batch_id, owner_id, total, now, now, refusals, webhook_url)
        batch.counts[JobStatus.QUEUED] = total - len(refusals)
        batch._happened(now)
        return batch

    @property
    def accepted(self) -> int:
        """Its jobs."""
        return self.total - len(self.refusals)

    @property
    def ended(self) -> int:
        """Its jobs that have ended."""
        return sum(count for status, count in self.counts.items() if status.terminal)

    def moved(self, before: JobStatus, after: JobStatus, now: datetime) -> None:
        """A job of it went from one status to another."""
        self.counts[before] -= 1
        self.counts[after] += 1
        self._advance(100.0 * self.ended / self.accepted)
        self._happened(now)

    def progressed(self, running: float, now: datetime, step: float = 0.0) -> bool:
        """`running` is the sum of the progress of its running jobs. True when that is worth an event: the batch is
        `step` percent further than it was told.
        """
        if self.status is not BatchStatus.PROCESSING or not self.accepted:
            return False
        progress = (100.0 * self.ended + running) / self.accepted
        if progress < self.progress + max(step, 1e-9):
            return False
        self._advance(progress)
        self._happened(now)
        return True

    def cancel(self) -> bool:
        """Ask for the end of it; False when that was asked for before. Raises StateConflict once it ended otherwise."""
        if self.status is BatchStatus.CANCELLED or (self.cancel_requested and self.status is BatchStatus.PROCESSING):
            return False
        if self.status is not BatchStatus.PROCESSING:
            raise StateConflict(f"the batch has already {self.status.value.replace('_', ' ')}")
        self.cancel_requested = True
        return True

    def _advance(self, progress: float) -> None:
        self.progress = max(self.progress, min(progress, 100.0))

    def _happened(self, now: datetime) -> None:
        self.updated_at = max(now, self.updated_at)
        if self.ended == self.accepted:
            self.status, self.completed_at, self.progress = self._outcome(), self.updated_at, 100.0
        self.revision += 1
        counts, refused = dict(self.counts), len(self.refusals)
        self.events.append(BatchEvent(self.revision, self.updated_at, self.status, self.progress, counts, refused))

    def _outcome(self) -> BatchStatus:
        completed = self.counts[JobStatus.COMPLETED]
        if self.cancel_requested and self.counts[JobStatus.CANCELLED]:
            return BatchStatus.CANCELLED
        if completed == self.accepted and completed:
            return BatchStatus.COMPLETED
        return BatchStatus.PARTIALLY_COMPLETED if completed else BatchStatus.FAILED

"""What the use cases need from this service's own rows, events and time.

`adapters/` and `tests/fakes/job.py` implement it, proven equal by `tests/contract/test_job_ports.py`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from services.job.domain.events import Command, Lane
from services.job.domain.job import Job
from services.job.domain.order import DEFAULT_PLAN
from services.job.domain.values import JobStatus, Priority


class Clock(Protocol):
    """Tells the time, in UTC."""

    def now(self) -> datetime:
        """The current moment."""
        ...


@dataclass(frozen=True, slots=True)
class RequestKey:
    """A client's name for its request, and the hash of the body it came with."""

    owner_id: str
    request_id: str
    fingerprint: bytes
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Created:
    """The job is stored."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """The request id is in use: the job it made, and the hash of the body that made it."""

    job: Job
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Which jobs a list shows, newest first; an unset filter lets everything pass."""

    owner_id: str | None
    """None: everybody's."""
    statuses: frozenset[JobStatus] = frozenset()
    priority: Priority | None = None
    batch_id: str = ""
    created_after: datetime | None = None
    created_before: datetime | None = None
    topic: str = ""
    by_update: bool = False
    """Ordered by `changed_at` rather than `created_at`."""


@dataclass(frozen=True, slots=True)
class PageKey:
    """The last job of a page: the next page begins after it."""

    moment: datetime
    job_id: str


Revision = Callable[[Job | None], Awaitable[bool]]
"""Changes a job in place; None when there is none."""


class JobStore(Protocol):
    """The jobs and their history."""

    async def create(self, job: Job, key: RequestKey | None) -> Created | Repeated:
        """Store a new job with its events, unless the key is in use; atomic under any concurrency."""
        ...

    async def repeated(self, key: RequestKey, now: datetime) -> Repeated | None:
        """The job that the key has made, if it is in use."""
        ...

    async def get(self, job_id: str) -> Job | None:
        """The job as of one moment, deleted or not."""
        ...

    def change(self, job_id: str) -> AbstractAsyncContextManager[Job | None]:
        """The job under its lock; on leaving, its new state, events and commands are stored in one transaction.

        Nothing is stored when the block raises.
        """
        ...

    async def revise(self, job_id: str, revision: Revision) -> bool:
        """As `change` with the revision as its block, whose answer it gives; it may share its transaction with others.

        Only for what touches no other rows than the job's own: no status changes, no commands. The revision may be
        called again, on a job that is as it was before, when somebody else's has failed.
        """
        ...

    async def page(self, query: JobQuery, after: PageKey | None, skip: int, limit: int) -> list[Job]:
        """At most `limit` jobs of the list, after the key and then after `skip` more. Without their scenes."""
        ...

    async def count(self, query: JobQuery) -> int:
        """How many jobs the list has."""
        ...

    async def history(self, job_id: str, after_seq: int, limit: int) -> list[StoredEvent]:
        """Events after the position, oldest first."""
        ...

    async def pinned(self, owner_id: str) -> int:
        """How many jobs of the owner are pinned."""
        ...

    async def purge_requests(self, now: datetime) -> None:
        """Forget request ids that have expired."""
        ...


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it is stored and sent: `payload` is the serialised message."""

    seq: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    """A command on its way to another service."""

    delivery_id: int
    command: Command
    attempts: int
    """How often it was taken, this time included."""
    faults: int = 0
    """How often the other service answered, and with a fault."""


class Outbox(Protocol):
    """Commands that stored changes asked for. Those of one job and lane are handed out one after the other."""

    async def claim(self, lane: Lane, now: datetime, lease: timedelta, limit: int) -> list[Delivery]:
        """Take commands that are due; nobody else gets them before the lease ends."""
        ...

    async def done(self, delivery: Delivery) -> None:
        """The command was answered: forget it."""
        ...

    async def postpone(self, delivery: Delivery, until: datetime, *, faulty: bool = False) -> None:
        """The command could not be delivered: offer it again then. `faulty`: it met a fault, which is counted."""
        ...


@dataclass(frozen=True, slots=True)
class Following:
    """A render that this process is to follow, and from where."""

    job_id: str
    render_id: str
    cursor: int


class Leases(Protocol):
    """Who follows which render. A lease that is not renewed ends after a few seconds."""

    async def claim(self, holder: str, limit: int) -> list[Following]:
        """Take over accepted renders of processing jobs that nobody follows."""
        ...

    async def renew(self, holder: str) -> set[str]:
        """Prolong all leases of the holder; the jobs it still holds and that still run."""
        ...

    async def release(self, holder: str, job_id: str | None = None) -> None:
        """Give back one lease, or all."""
        ...


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """An event on its way to a watcher."""

    seq: int
    payload: bytes
    terminal: bool
    """Whether no event can follow it."""


class EventSource(Protocol):
    """A log as it grows: the history of jobs, or of batches, or their log lines."""

    def follow(self, stream_id: str, after_seq: int) -> AsyncGenerator[LiveEvent]:
        """Every event after the position, each once, in order, as they come; ends by itself when the server drains."""
        ...


class Signal(Protocol):
    """Wakes a background task of this process, so that it need not wait for its next look."""

    def set(self) -> None:
        """There is work."""
        ...


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who is asking."""

    subject: str
    admin: bool = False
    plan: str = DEFAULT_PLAN

    @property
    def owner_filter(self) -> str | None:
        """Whose jobs the viewer may see; None for everybody's."""
        return None if self.admin else self.subject

    def may_see(self, job: Job) -> bool:
        """Whether the job exists for this viewer."""
        return job.deleted_at is None and (self.admin or job.order.owner_id == self.subject)

"""The ports of the job service in memory; `tests/contract/test_job_ports.py` proves them equal to the real adapters."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from services.job.application.neighbours import (
    Artifact,
    Location,
    LocationRequest,
    ObjectMissing,
    ObjectsAway,
    Playable,
    RenderAway,
    RenderCursorAhead,
    RenderFaulty,
    RenderRefused,
    RenderUnknown,
)
from services.job.application.ports import (
    Created,
    Delivery,
    Following,
    JobQuery,
    LiveEvent,
    PageKey,
    Repeated,
    RequestKey,
    Revision,
    StoredEvent,
)
from services.job.domain.audit import AuditEntry
from services.job.domain.events import Command, JobEvent, Lane
from services.job.domain.job import Job
from services.job.domain.log import LogLine
from services.job.domain.render import RenderFact, RenderState, StateFact
from services.job.domain.values import JobStatus, Priority

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass
class FakeClock:
    """Stands still until a test moves it."""

    moment: datetime = START

    def now(self) -> datetime:
        """The current moment."""
        return self.moment

    def advance(self, **delta: float) -> datetime:
        """Move on; keywords of `timedelta`."""
        self.moment += timedelta(**delta)
        return self.moment


@dataclass
class CountingSignal:
    """Counts how often it was set."""

    times: int = 0

    def set(self) -> None:
        """Count."""
        self.times += 1


@dataclass
class _Command:
    delivery_id: int
    command: Command
    available_at: datetime
    attempts: int = 0
    faults: int = 0


@dataclass
class _Lease:
    holder: str
    until: float


def copy_of(job: Job) -> Job:
    """A job of its own, as if read from the database."""
    return replace(job, events=[], commands=[], notes=[], lines=[], stage_seconds=dict(job.stage_seconds))


class FakeDatabase:
    """Everything that Postgres holds for the service."""

    def __init__(self, encode: Callable[[JobEvent], bytes] = lambda event: repr(event).encode()) -> None:
        self.jobs: dict[str, Job] = {}
        self.events: dict[str, list[StoredEvent]] = defaultdict(list)
        self.requests: dict[tuple[str, str], tuple[RequestKey, str]] = {}
        self.outbox: list[_Command] = []
        self.leases: dict[str, _Lease] = {}
        self.audit: list[AuditEntry] = []
        self.logs: dict[str, list[LogLine]] = defaultdict(list)
        self.grown = asyncio.Condition()
        self._encode = encode
        self._commands = 0
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def lock(self, job_id: str) -> asyncio.Lock:
        """The lock of the job's row."""
        return self._locks[job_id]

    async def save(self, job: Job) -> None:
        """Write the job, its events and its commands."""
        self.jobs[job.job_id] = copy_of(job)
        self.events[job.job_id] += [StoredEvent(event.seq, self._encode(event)) for event in job.events]
        for command in job.commands:
            self._commands += 1
            self.outbox.append(_Command(self._commands, command, job.updated_at))
        self.audit += [
            AuditEntry(len(self.audit) + number, job.updated_at, note, job.job_id, job.order.owner_id)
            for number, note in enumerate(job.notes, 1)
        ]
        self.logs[job.job_id] += job.lines
        job.events.clear()
        job.lines.clear()
        job.notes.clear()
        async with self.grown:
            self.grown.notify_all()


class FakeJobs:
    """`JobStore` in memory."""

    def __init__(self, database: FakeDatabase) -> None:
        self._db = database

    async def create(self, job: Job, key: RequestKey | None) -> Created | Repeated:
        """Store a new job, unless the key is in use."""
        if key is not None:
            name = (key.owner_id, key.request_id)
            known = self._db.requests.get(name)
            if known is not None and known[0].expires_at > job.created_at:
                return Repeated(copy_of(self._db.jobs[known[1]]), known[0].fingerprint)
            self._db.requests[name] = (key, job.job_id)
        await self._db.save(job)
        return Created()

    async def repeated(self, key: RequestKey, now: datetime) -> Repeated | None:
        """The job that the key has made."""
        known = self._db.requests.get((key.owner_id, key.request_id))
        if known is None or known[0].expires_at <= now:
            return None
        return Repeated(copy_of(self._db.jobs[known[1]]), known[0].fingerprint)

    async def get(self, job_id: str) -> Job | None:
        """The job."""
        job = self._db.jobs.get(job_id)
        return copy_of(job) if job else None

    @asynccontextmanager
    async def change(self, job_id: str) -> AsyncIterator[Job | None]:
        """The job under its lock."""
        async with self._db.lock(job_id):
            job = await self.get(job_id)
            yield job
            if job is not None:
                await self._db.save(job)

    async def revise(self, job_id: str, revision: Revision) -> bool:
        """The job under its lock."""
        async with self.change(job_id) as job:
            return await revision(job)

    async def page(self, query: JobQuery, after: PageKey | None, skip: int, limit: int) -> list[Job]:
        """A page of the list."""

        def key(job: Job) -> tuple[datetime, str]:
            return ((job.changed_at or job.updated_at) if query.by_update else job.created_at, job.job_id)

        found = sorted((job for job in self._db.jobs.values() if _matches(query, job)), key=key, reverse=True)
        if after is not None:
            found = [job for job in found if key(job) < (after.moment, after.job_id)]
        return [replace(copy_of(job), scenes=(), video=None) for job in found[skip : skip + limit]]

    async def count(self, query: JobQuery) -> int:
        """How many jobs match."""
        return sum(_matches(query, job) for job in self._db.jobs.values())

    async def history(self, job_id: str, after_seq: int, limit: int) -> list[StoredEvent]:
        """Events after the position."""
        return [event for event in self._db.events[job_id] if event.seq > after_seq][:limit]

    async def pinned(self, owner_id: str) -> int:
        """How many jobs of the owner are pinned."""
        jobs = self._db.jobs.values()
        return sum(bool(job.pinned_at) and not job.deleted_at and job.order.owner_id == owner_id for job in jobs)

    async def purge_requests(self, now: datetime) -> None:
        """Forget request ids that have expired."""
        self._db.requests = {
            name: (key, job_id) for name, (key, job_id) in self._db.requests.items() if key.expires_at > now
        }


def _matches(query: JobQuery, job: Job) -> bool:
    return (
        job.deleted_at is None
        and query.owner_id in (None, job.order.owner_id)
        and (not query.statuses or job.status in query.statuses)
        and query.priority in (None, job.order.priority)
        and query.batch_id in ("", job.order.batch_id)
        and (query.created_after is None or job.created_at >= query.created_after)
        and (query.created_before is None or job.created_at < query.created_before)
        and query.topic.lower() in job.order.topic.lower()
    )


class FakeOutbox:
    """`Outbox` in memory."""

    def __init__(self, database: FakeDatabase) -> None:
        self._db = database

    async def claim(self, lane: Lane, now: datetime, lease: timedelta, limit: int) -> list[Delivery]:
        """Take due commands of a lane, the oldest one of each job."""
        taken: list[Delivery] = []
        seen: set[str] = set()
        for row in self._db.outbox:
            if row.command.lane is not lane:
                continue
            first = row.command.job_id not in seen
            seen.add(row.command.job_id)
            if first and row.available_at <= now and len(taken) < limit:
                row.available_at = now + lease
                row.attempts += 1
                taken.append(Delivery(row.delivery_id, row.command, row.attempts, row.faults))
        return taken

    async def done(self, delivery: Delivery) -> None:
        """Forget the command."""
        self._db.outbox = [row for row in self._db.outbox if row.delivery_id != delivery.delivery_id]

    async def postpone(self, delivery: Delivery, until: datetime, *, faulty: bool = False) -> None:
        """Offer the command again then."""
        for row in self._db.outbox:
            if row.delivery_id == delivery.delivery_id and row.attempts == delivery.attempts:
                row.available_at = until
                row.faults += faulty


class FakeLeases:
    """`Leases` in memory, by the event loop's clock."""

    def __init__(self, database: FakeDatabase, ttl: timedelta = timedelta(seconds=5)) -> None:
        self._db = database
        self._ttl_s = ttl.total_seconds()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def claim(self, holder: str, limit: int) -> list[Following]:
        """Take over renders that nobody follows."""
        now = self._now()
        taken: list[Following] = []
        for job in self._db.jobs.values():
            lease = self._db.leases.get(job.job_id)
            if _followed(job) and (lease is None or lease.until <= now) and len(taken) < limit:
                self._db.leases[job.job_id] = _Lease(holder, now + self._ttl_s)
                taken.append(Following(job.job_id, job.render_id, job.render_cursor))
        return taken

    async def renew(self, holder: str) -> set[str]:
        """Prolong the leases of renders that still run."""
        held = {job_id for job_id, lease in self._db.leases.items() if lease.holder == holder}
        kept = {job_id for job_id in held if _followed(self._db.jobs[job_id])}
        for job_id in kept:
            self._db.leases[job_id].until = self._now() + self._ttl_s
        for job_id in held - kept:
            del self._db.leases[job_id]
        return kept

    async def release(self, holder: str, job_id: str | None = None) -> None:
        """Give back one lease, or all."""
        for held, lease in list(self._db.leases.items()):
            if lease.holder == holder and job_id in (None, held):
                del self._db.leases[held]


def _followed(job: Job) -> bool:
    return job.status is JobStatus.PROCESSING and job.render_accepted


class FakeEventSource:
    """`EventSource` over the fake database."""

    def __init__(self, database: FakeDatabase, is_terminal: Callable[[bytes], bool]) -> None:
        self._db = database
        self._is_terminal = is_terminal

    async def follow(self, stream_id: str, after_seq: int) -> AsyncGenerator[LiveEvent]:
        """Every event after the position."""
        position = after_seq
        while True:
            await self._grown_beyond(stream_id, position)
            for event in self._db.events[stream_id][position:]:
                position = event.seq
                yield LiveEvent(event.seq, event.payload, self._is_terminal(event.payload))

    async def _grown_beyond(self, stream_id: str, position: int) -> None:
        async with self._db.grown:
            await self._db.grown.wait_for(lambda: len(self._db.events[stream_id]) > position)


@dataclass
class FakeRender:
    """A render that does what the test says."""

    facts: list[RenderFact] = field(default_factory=list)
    cancelled: bool = False


class FakeRenders:
    """`Renders` by script."""

    def __init__(self) -> None:
        self.renders: dict[str, FakeRender] = {}
        self.away = False
        self.refusal = ""
        self.fault = ""
        self.priorities: dict[str, Priority] = {}
        self.storyboards: dict[str, bytes | None] = {}
        self.segments: dict[str, Playable] = {}
        self.starts: list[str] = []
        self.watches: list[tuple[str, int]] = []
        self._lives = 0
        self._changed = asyncio.Condition()

    async def emit(self, render_id: str, *facts: RenderFact) -> None:
        """Let something happen to a render; it is there from then on."""
        async with self._changed:
            self.renders.setdefault(render_id, FakeRender()).facts += facts
            self._changed.notify_all()

    async def restart(self) -> None:
        """Cut every open stream."""
        async with self._changed:
            self._lives += 1
            self._changed.notify_all()

    def _check(self) -> None:
        if self.away:
            raise RenderAway("UNAVAILABLE: gone")

    async def start(self, job: Job, priority: Priority, storyboard: bytes | None = None) -> None:
        """Start the render of the current attempt."""
        self._check()
        if self.fault:
            raise RenderFaulty(self.fault)
        if self.refusal:
            raise RenderRefused(self.refusal)
        self.starts.append(job.render_id)
        self.priorities[job.render_id] = priority
        self.storyboards[job.render_id] = storyboard
        await self.emit(job.render_id)

    async def forget(self, owner_id: str, job_id: str) -> None:
        """Stop and forget every render of the job."""
        self._check()
        self.renders = {key: render for key, render in self.renders.items() if not key.startswith(f"{job_id}-")}

    async def playable(self, render_id: str) -> Playable:
        """What a test has put there."""
        self._check()
        if render_id not in self.renders:
            raise RenderUnknown(render_id)
        return self.segments.get(render_id, Playable((), complete=False))

    async def cancel(self, render_id: str) -> None:
        """Stop the render."""
        self._check()
        if render_id not in self.renders:
            raise RenderUnknown(render_id)
        self.renders[render_id].cancelled = True

    async def watch(self, render_id: str, after_seq: int) -> AsyncGenerator[RenderFact]:
        """What happens to the render after the position."""
        self._check()
        render = self.renders.get(render_id)
        if render is None:
            raise RenderUnknown(render_id)
        if after_seq > len(render.facts):
            raise RenderCursorAhead(render_id)
        self.watches.append((render_id, after_seq))
        position, life = after_seq, self._lives
        while True:
            await self._more_than(render, position, life)
            if life != self._lives:
                raise RenderAway("UNAVAILABLE: restarted")
            fact = render.facts[position]
            position += 1
            yield fact
            if isinstance(fact, StateFact) and fact.state not in (RenderState.PENDING, RenderState.RUNNING):
                return

    async def _more_than(self, render: FakeRender, position: int, life: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: life != self._lives or len(render.facts) > position)


class FakeObjects:
    """`Objects` that are there when a test puts them there."""

    def __init__(self) -> None:
        self.owners: dict[str, str] = {}
        self.away = False
        self.kept: dict[str, list[Artifact]] = defaultdict(list)
        self.located: list[LocationRequest] = []

    async def locate(self, request: LocationRequest) -> Location:
        """Where the object is."""
        self.located.append(request)
        if self.owners.get(request.object_id) != request.owner_id:
            raise ObjectMissing(request.object_id)
        return Location(
            object_id=request.object_id,
            url=f"https://files.example/{request.object_id}",
            redirect=False,
            read_ticket="ticket",
            content_type="video/mp4",
            size_bytes=4,
            etag="a" * 64,
            filename=request.filename,
            inline=request.inline,
            cache_control=request.cache_control,
            modified_at=START,
            expires_at=request.expires_at or START + request.lifetime,
        )

    async def artifacts(self, owner_id: str, job_id: str) -> list[Artifact]:
        """Everything kept for the job."""
        return list(self.kept[job_id])

    async def remove(self, owner_id: str, job_id: str, kinds: frozenset[str] = frozenset()) -> tuple[int, int]:
        """Remove the files of the job."""
        if self.away:
            raise ObjectsAway("UNAVAILABLE: gone")
        gone = [kept for kept in self.kept[job_id] if not kinds or kept.kind in kinds]
        gone = [kept for kept in gone if self.owners.get(kept.object_id) == owner_id]
        self.kept[job_id] = [kept for kept in self.kept[job_id] if kept not in gone]
        for kept in gone:
            del self.owners[kept.object_id]
        return len(gone), sum(kept.size_bytes for kept in gone)

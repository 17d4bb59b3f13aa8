"""Writes a changed job with everything that its change brings about, in one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy import bindparam, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.job.adapters.postgres.outbox import command_values
from services.job.adapters.postgres.retention import audit_values
from services.job.adapters.postgres.retention_tables import JOB_AUDIT
from services.job.adapters.postgres.rows import new_values, state_values
from services.job.adapters.postgres.tables import JOB_EVENTS, JOB_OUTBOX, JOBS
from services.job.application.ports import Signal
from services.job.domain.events import JobEvent
from services.job.domain.job import Job
from services.runtime.eventlog import Unrelayed

Encode = Callable[[JobEvent], bytes]
"""Serialises an event for the history and for watchers."""

Effect = Callable[[AsyncConnection, Job], Awaitable[None]]
"""What else a change brings about, in the transaction that stores it: `job.events` are its new events. Runs while the
job's row is locked; locks other rows in the order batch, endpoint, so that transactions cannot wait in a circle.
"""


# Built once: with its forty columns, making the statement anew costs as much as executing it.
_CHANGE = update(JOBS).where(JOBS.c.job_id == bindparam("changed_job"))
_APPEND = insert(JOB_EVENTS)


class JobWriter:
    """`stored` is set when events were committed, so that they are relayed at once."""

    def __init__(self, encode: Encode, stored: Signal) -> None:
        self.encode = encode
        self.preparations: list[Callable[[Job], None]] = []
        """What a change still needs before it is written: times that depend on the plan."""
        self.effects: list[Effect] = []
        self.observers: list[Callable[[Job], None]] = []
        """Told of a change once its transaction is committed, `job.events` being what is new: for figures."""
        self.offer: Callable[[Sequence[Unrelayed]], None] | None = None
        """Takes events whose transaction is committed, to be relayed at once; else `stored` says that some are."""
        self._stored = stored

    async def write(self, connection: AsyncConnection, job: Job) -> bool:
        """Write the job's state, events and commands; the caller holds its row's lock. True when something happened."""
        return bool(await self.write_all(connection, [job]))

    async def write_all(self, connection: AsyncConnection, jobs: Sequence[Job]) -> list[Job]:
        """The same for several; those that something happened to."""
        for job in jobs:
            for prepare in self.preparations:
                prepare(job)
        changes = [{"changed_job": job.job_id, **state_values(job)} for job in jobs]
        await connection.execute(_CHANGE, changes if len(changes) > 1 else changes[0])
        entries = [self._entry(event) for job in jobs for event in job.events]
        if entries:
            await connection.execute(_APPEND, entries)
        for job in jobs:
            await self._write_consequences(connection, job)
        return [job for job in jobs if job.events or job.lines]

    async def _write_consequences(self, connection: AsyncConnection, job: Job) -> None:
        if job.commands:
            await connection.execute(insert(JOB_OUTBOX), [command_values(job, command) for command in job.commands])
        if job.notes:
            notes = [audit_values(note, job.updated_at, job) for note in job.notes]
            await connection.execute(insert(JOB_AUDIT), notes)
            job.notes.clear()
        for effect in self.effects:
            await effect(connection, job)

    async def insert(self, connection: AsyncConnection, jobs: Sequence[Job]) -> None:
        """Write new jobs with their events and commands; no effects, since nothing of them was stored before."""
        if not jobs:
            return
        await connection.execute(insert(JOBS), [new_values(job) for job in jobs])
        await connection.execute(insert(JOB_EVENTS), [self._entry(event) for job in jobs for event in job.events])
        commands = [command_values(job, command) for job in jobs for command in job.commands]
        if commands:
            await connection.execute(insert(JOB_OUTBOX), commands)

    def committed(self, *jobs: Job) -> None:
        """The transaction that wrote these jobs' events is committed."""
        events = [Unrelayed(event.job_id, event.seq, self.encode(event)) for job in jobs for event in job.events]
        for job in jobs:
            for observer in self.observers:
                observer(job)
            job.events.clear()
            job.lines.clear()
        self.announce(events)

    def announce(self, events: Sequence[Unrelayed]) -> None:
        """Events were committed: have them relayed."""
        if self.offer is None or not events:
            self._stored.set()
        else:
            self.offer(events)

    def _entry(self, event: JobEvent) -> dict[str, Any]:
        return {"stream_id": event.job_id, "seq": event.seq, "payload": self.encode(event)}

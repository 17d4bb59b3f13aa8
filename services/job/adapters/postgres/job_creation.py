"""Stores new jobs: one statement for all that are handed in at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.types import DateTime, LargeBinary, Text, TypeEngine

from services.job.adapters.postgres.rows import new_values
from services.job.adapters.postgres.tables import JOBS
from services.job.adapters.postgres.writer import JobWriter
from services.job.application.ports import RequestKey
from services.job.domain.job import Job
from services.runtime.eventlog import Unrelayed
from services.runtime.grouping import Grouped

_REFUSALS = {"22", "23", "40", "54"}
"""Classes of SQLSTATE: data, constraints, transactions that lost to others, sizes."""


class _NewJob(NamedTuple):
    """A job to be stored: by which request, and everything that is stored of it."""

    place: tuple[str, str]
    row: dict[str, Any]


_BESIDE: dict[str, TypeEngine[Any]] = {
    "payload": LargeBinary(),
    "request_id": Text(),
    "fingerprint": LargeBinary(),
    "request_expires_at": DateTime(timezone=True),
}
"""What is stored of a new job beside its row: its first event, and its request."""
_TYPES: dict[str, TypeEngine[Any]] = {**{column.name: column.type for column in JOBS.c}, **_BESIDE}


def _creation() -> TextClause:
    """Claim the request ids, and insert only jobs that have theirs, each with its first event and perhaps the command
    to confirm its credits. One text whatever their number, so that it is prepared once.

    Of concurrent repeats exactly one gets a row from the claim; the others wait for its commit and get none.
    """
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    # An array of jsonb would be an array of arrays to some: each is sent as its text.
    sent = {name: "text" if isinstance(kind, JSONB) else kind.compile(dialect) for name, kind in _TYPES.items()}
    columns = ", ".join(column.name for column in JOBS.c)
    values = ", ".join(f"n.{c.name}::jsonb" if isinstance(c.type, JSONB) else f"n.{c.name}" for c in JOBS.c)
    arrays = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in sent.items())
    statement = text(
        f"""
        WITH n AS MATERIALIZED (
            SELECT * FROM unnest({arrays}) AS n({", ".join(sent)})
        ), claim AS (
            INSERT INTO job_requests AS r (owner_id, request_id, fingerprint, job_id, expires_at)
            SELECT owner_id, request_id, fingerprint, job_id, request_expires_at FROM n WHERE request_id IS NOT NULL
            ON CONFLICT (owner_id, request_id) DO UPDATE
            SET fingerprint = excluded.fingerprint, job_id = excluded.job_id, expires_at = excluded.expires_at
            WHERE r.expires_at <= :now
            RETURNING r.job_id
        ), job AS (
            INSERT INTO jobs ({columns})
            SELECT {values} FROM n WHERE n.request_id IS NULL OR n.job_id IN (SELECT job_id FROM claim)
            RETURNING job_id, credit_cost, created_at
        ), event AS (
            INSERT INTO job_events (stream_id, seq, payload)
            SELECT job_id::text, 1, n.payload FROM n JOIN job USING (job_id)
        ), confirm AS (
            INSERT INTO job_outbox (job_id, lane, kind, render_id, available_at)
            SELECT job_id, 'credits', 'confirm_credits', '', created_at FROM job WHERE credit_cost > 0
        )
        SELECT job_id FROM job
        """  # noqa: S608 - names of our own columns
    )
    typed = [bindparam(name, type_=ARRAY(Text() if isinstance(kind, JSONB) else kind)) for name, kind in _TYPES.items()]
    return statement.bindparams(*typed, bindparam("now", type_=DateTime(timezone=True)))


_CREATION = _creation()
_SENT_AS_TEXT = [name for name, kind in _TYPES.items() if isinstance(kind, JSONB)]


class JobCreation:
    """Stores new jobs in groups (group commit): who is handed in while a group is being stored goes with the next."""

    def __init__(self, single: AsyncEngine, writer: JobWriter) -> None:
        """`single`: an engine in AUTOCOMMIT, since a single statement is atomic by itself, in one round trip."""
        self._single = single
        self._writer = writer
        self._grouped: Grouped[_NewJob, bool] = Grouped(self._together, apart=_undone)

    async def store(self, job: Job, key: RequestKey | None) -> bool:
        """Whether the job is stored now; False when its request id is in use."""
        request = (key.request_id, key.fingerprint, key.expires_at) if key is not None else (None, None, None)
        row = new_values(job) | dict(zip(_BESIDE, (self._writer.encode(job.events[0]), *request), strict=True))
        for name in _SENT_AS_TEXT:
            if (value := row[name]) is not None:
                row[name] = orjson.dumps(value).decode()
        place = (key.owner_id, key.request_id) if key is not None else ("", job.job_id)
        return await self._grouped.do(_NewJob(place, row))

    async def _together(self, group: Sequence[_NewJob]) -> list[bool | Exception]:
        # Of repeats in one group only the first is tried: afterwards their request id is in use, whosever it is.
        # In one order everywhere, or two processes that claim the same request ids could wait for each other.
        first = {new.place: new.row for new in reversed(group)}
        rows = [first[place] for place in sorted(first)]
        values: dict[str, Any] = {name: [row[name] for row in rows] for name in _TYPES}
        values["now"] = max(row["created_at"] for row in rows)
        async with self._single.connect() as connection:
            stored = {str(job_id) for job_id in (await connection.execute(_CREATION, values)).scalars()}
        self._writer.announce([Unrelayed(row["job_id"], 1, row["payload"]) for row in rows if row["job_id"] in stored])
        return [new.row["job_id"] in stored for new in group]


def _undone(error: Exception) -> bool:
    """Whether Postgres refused the statement for what is in it (or for a deadlock), so that certainly nothing is
    stored.
    """
    cause = getattr(error, "orig", None)
    return isinstance(error, DBAPIError) and str(getattr(cause, "sqlstate", None))[:2] in _REFUSALS

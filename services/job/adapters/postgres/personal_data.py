"""Where the order service keeps what of a user: one line for each table, which export and erasure both go by.

A test compares this with the tables that the migrations make, so a new table cannot be forgotten here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

_OWN = "t.owner_id = :owner_id"
_JOBS = "(SELECT job_id FROM jobs WHERE owner_id = :owner_id)"
_JOB_TEXTS = "(SELECT job_id::text FROM jobs WHERE owner_id = :owner_id)"
_BATCHES = "(SELECT batch_id::text FROM batches WHERE owner_id = :owner_id)"
_ENDPOINTS = "(SELECT endpoint_id FROM webhook_endpoints WHERE owner_id = :owner_id)"
_DELIVERIES = f"(SELECT delivery_id FROM webhook_deliveries WHERE endpoint_id IN {_ENDPOINTS})"  # noqa: S608


class Fate(Enum):
    """What an erasure does to the rows of a user."""

    AT_ONCE = "at once"
    """Deleted first: nothing more is told to the user's own systems."""
    WITH_THE_JOB = "with the job"
    """Goes when its job is purged, files first."""
    AT_THE_END = "at the end"
    """Deleted once no job is left."""
    KEPT = "kept"
    """Stays, under a random id that names nobody any more."""
    RELAYED = "relayed"
    """Goes by itself, to auth; an erasure waits for that."""


@dataclass(frozen=True, slots=True)
class PersonalTable:
    """A table with rows of users. `rows` is the condition, in SQL, on a row `t`."""

    table: str
    fate: Fate
    member: str = ""
    """Path of its member of an export; empty for what tells a user nothing."""
    order: str = "t.created_at"
    rows: str = _OWN
    hidden: tuple[str, ...] = ()
    """Columns that no export shows: secrets, and the workings of the service."""
    message: str = ""
    """A column with a serialised message, shown as JSON in its place."""


PERSONAL = (
    PersonalTable(
        "webhook_attempts",
        Fate.AT_ONCE,
        "webhooks/attempts.ndjson",
        "t.delivery_id, t.number",
        f"t.delivery_id IN {_DELIVERIES}",
    ),
    PersonalTable(
        "webhook_deliveries",
        Fate.AT_ONCE,
        "webhooks/deliveries.ndjson",
        "t.delivery_id",
        f"t.endpoint_id IN {_ENDPOINTS}",
        ("leased_until", "claims"),
    ),
    PersonalTable(
        "webhook_endpoints",
        Fate.AT_ONCE,
        "webhooks/endpoints.ndjson",
        "t.endpoint_id",
        hidden=("secret", "previous_secret", "previous_secret_expires_at"),
    ),
    PersonalTable(
        "jobs",
        Fate.WITH_THE_JOB,
        "jobs/jobs.ndjson",
        "t.created_at, t.job_id",
        hidden=("render_cursor", "render_accepted", "retention_at", "due_at", "log_seq"),
    ),
    PersonalTable(
        "job_events",
        Fate.WITH_THE_JOB,
        "jobs/history.ndjson",
        "t.stream_id, t.seq",
        f"t.stream_id IN {_JOB_TEXTS}",
        message="payload",
    ),
    PersonalTable(
        "job_logs",
        Fate.WITH_THE_JOB,
        "jobs/logs.ndjson",
        "t.stream_id, t.seq",
        f"t.stream_id IN {_JOB_TEXTS}",
        message="payload",
    ),
    PersonalTable("job_outbox", Fate.WITH_THE_JOB, rows=f"t.job_id IN {_JOBS}"),
    PersonalTable("job_follows", Fate.WITH_THE_JOB, rows=f"t.job_id IN {_JOBS}"),
    PersonalTable("storyboards", Fate.AT_THE_END, "jobs/storyboards.ndjson", "t.name", message="data"),
    PersonalTable(
        "batch_events",
        Fate.AT_THE_END,
        "batches/history.ndjson",
        "t.stream_id, t.seq",
        f"t.stream_id IN {_BATCHES}",
        message="payload",
    ),
    PersonalTable("batches", Fate.AT_THE_END, "batches/batches.ndjson", "t.created_at, t.batch_id"),
    PersonalTable("job_requests", Fate.AT_THE_END, "jobs/requests.ndjson", "t.request_id", hidden=("fingerprint",)),
    PersonalTable(
        "batch_requests", Fate.AT_THE_END, "batches/requests.ndjson", "t.request_id", hidden=("fingerprint",)
    ),
    PersonalTable("job_shares", Fate.AT_THE_END),
    PersonalTable("data_exports", Fate.AT_THE_END),
    PersonalTable("job_audit", Fate.KEPT, "jobs/audit.ndjson", "t.entry_id", hidden=("actor",)),
    PersonalTable("audit_outbox", Fate.RELAYED, rows="t.caller_id = :owner_id"),
)
"""In the order in which rows are deleted: what refers to others before these."""

IMPERSONAL = {
    "alembic_version": "the schema's revision",
    "job_queue": "the queue as a whole; `drained_by` is the id of an admin",
}
"""Tables that have nothing of a user, and why."""

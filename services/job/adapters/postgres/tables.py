"""The tables of the order service. `migrations/` creates them; a test compares the two."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from services.runtime.db import metadata
from services.runtime.eventlog import event_table

METADATA = metadata()


def _moment(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _job_id(*args: object, **kwargs: object) -> Column[object]:
    return Column("job_id", UUID(as_uuid=False), *args, **kwargs)  # type: ignore[arg-type]


_ALIVE = text("deleted_at IS NULL")
_QUEUED = text("status = 'queued'")
_PROCESSING = text("status = 'processing'")
_FAILED = text("status = 'failed' AND deleted_at IS NULL")

JOBS = Table(
    "jobs",
    METADATA,
    _job_id(primary_key=True),
    Column("owner_id", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("context", Text, nullable=False),
    Column("quality", Text, nullable=False),
    Column("priority", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("thumbnails", Boolean, nullable=False),
    Column("max_retries", SmallInteger, nullable=False),
    Column("batch_id", Text, nullable=False, server_default=""),
    Column("configuration", JSONB, nullable=False),
    Column("plan", Text, nullable=False, server_default="free"),
    Column("credit_cost", BigInteger, nullable=False, server_default=text("0")),
    Column("webhook_url", Text, nullable=False, server_default=""),
    Column("origin_job_id", UUID(as_uuid=False)),
    Column("storyboard", Text, nullable=False, server_default=""),
    Column("narration", Boolean, nullable=False, server_default=text("false")),
    Column("lower_qualities", JSONB, nullable=False, server_default=text("'[]'")),
    Column("scene_fallback", Boolean, nullable=False, server_default=text("false")),
    Column("status", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("progress", Double, nullable=False),
    Column("attempt", SmallInteger, nullable=False),
    Column("requeues", SmallInteger, nullable=False, server_default=text("0")),
    Column("title", Text, nullable=False, server_default=""),
    Column("scenes", JSONB, nullable=False),
    Column("video", JSONB(none_as_null=True)),
    Column("failure", JSONB(none_as_null=True)),
    # Number of the newest entry in job_events; taken under this row's lock.
    Column("revision", BigInteger, nullable=False),
    _moment("created_at"),
    _moment("updated_at"),
    # As `updated_at`, but for drawn frames and scenes: no index has a column that those move, so that Postgres writes
    # them in place (a HOT update) instead of into every index.
    _moment("changed_at"),
    _moment("next_attempt_at", nullable=True),
    _moment("started_at", nullable=True),
    _moment("attempt_started_at", nullable=True),
    _moment("stage_started_at", nullable=True),
    Column("stage_seconds", JSONB, nullable=False, server_default=text("'{}'")),
    _moment("half_way_at", nullable=True),
    _moment("half_way_estimate", nullable=True),
    _moment("completed_at", nullable=True),
    _moment("deleted_at", nullable=True),
    _moment("first_estimate", nullable=True),
    _moment("pinned_at", nullable=True),
    _moment("expires_at", nullable=True),
    _moment("expired_at", nullable=True),
    _moment("segments_expire_at", nullable=True),
    _moment("purge_at", nullable=True),
    # The earliest of the three; put off while somebody deals with it.
    _moment("retention_at", nullable=True),
    # Number of the newest line of its log; taken under this row's lock, like `revision`.
    Column("waits_for", Text, nullable=False, server_default=""),
    Column("log_seq", BigInteger, nullable=False, server_default=text("0")),
    # From when on it may be started, and its place in the queue.
    _moment("ready_at"),
    _moment("due_at"),
    # Position of the newest render event that this row includes.
    Column("render_cursor", BigInteger, nullable=False),
    Column("render_accepted", Boolean, nullable=False),
    CheckConstraint("status IN ('queued', 'processing', 'completed', 'failed', 'cancelled')", name="status"),
    CheckConstraint("progress BETWEEN 0 AND 100", name="progress"),
    # Lists of an owner, and of everybody (admin), by keyset.
    Index("ix_jobs_owner_created", "owner_id", text("created_at DESC"), text("job_id DESC"), postgresql_where=_ALIVE),
    Index("ix_jobs_owner_changed", "owner_id", text("changed_at DESC"), text("job_id DESC"), postgresql_where=_ALIVE),
    Index(
        "ix_jobs_owner_status_created",
        "owner_id",
        "status",
        text("created_at DESC"),
        text("job_id DESC"),
        postgresql_where=_ALIVE,
    ),
    Index(
        "ix_jobs_owner_priority_created",
        "owner_id",
        "priority",
        text("created_at DESC"),
        text("job_id DESC"),
        postgresql_where=_ALIVE,
    ),
    Index("ix_jobs_created", text("created_at DESC"), text("job_id DESC"), postgresql_where=_ALIVE),
    Index("ix_jobs_changed", text("changed_at DESC"), text("job_id DESC"), postgresql_where=_ALIVE),
    Index("ix_jobs_status_created", "status", text("created_at DESC"), text("job_id DESC"), postgresql_where=_ALIVE),
    Index("ix_jobs_failed", text("completed_at DESC"), text("job_id DESC"), postgresql_where=_FAILED),
    Index("ix_jobs_origin", "origin_job_id", postgresql_where=text("origin_job_id IS NOT NULL")),
    Index("ix_jobs_storyboard", "owner_id", "storyboard", postgresql_where=text("storyboard <> ''")),
    Index("ix_jobs_batch", "batch_id", postgresql_where=text("batch_id <> ''")),
    # The dispatcher's: the queue as a whole and by owner, and what is in flight.
    Index("ix_jobs_queue", "due_at", "job_id", postgresql_where=_QUEUED),
    Index("ix_jobs_queue_owner", "owner_id", "due_at", postgresql_where=_QUEUED),
    Index("ix_jobs_in_flight", "owner_id", postgresql_where=_PROCESSING),
    Index("ix_jobs_attempt_started", "attempt_started_at", postgresql_where=_PROCESSING),
    Index("ix_jobs_retention", "retention_at", postgresql_where=text("retention_at IS NOT NULL")),
    Index("ix_jobs_pinned", "owner_id", postgresql_where=text("pinned_at IS NOT NULL AND deleted_at IS NULL")),
    # Durations of recent jobs, for estimates.
    Index("ix_jobs_recent", "quality", text("completed_at DESC"), postgresql_where=text("status = 'completed'")),
)
"""One row a job; the authority on its state."""

JOB_EVENTS = event_table(METADATA, "job_events")
"""The history of every job: `stream_id` is the job's id, `payload` a serialised `t2m.job.v1.JobEvent`."""

JOB_REQUESTS = Table(
    "job_requests",
    METADATA,
    Column("owner_id", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    _job_id(nullable=False),
    _moment("expires_at"),
    PrimaryKeyConstraint("owner_id", "request_id"),
    Index("ix_job_requests_expires", "expires_at"),
)
"""Request ids in use, each with the hash of its body: the primary key decides between concurrent repeats."""

STORYBOARDS = Table(
    "storyboards",
    METADATA,
    Column("owner_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
    _moment("ordered_at"),
    PrimaryKeyConstraint("owner_id", "name"),
    Index("ix_storyboards_ordered_at", "ordered_at"),
)
"""Ordered storyboards under the SHA-256 of their bytes."""

JOB_OUTBOX = Table(
    "job_outbox",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _job_id(nullable=False),
    Column("lane", Text, nullable=False, server_default="render"),
    Column("kind", Text, nullable=False),
    Column("render_id", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("faults", Integer, nullable=False, server_default=text("0")),
    _moment("available_at"),
    Index("ix_job_outbox_available", "lane", "available_at"),
    Index("ix_job_outbox_job", "job_id", "lane", "id"),
)
"""Calls to other services that a stored change asked for; a row goes once its call was answered."""

JOB_FOLLOWS = Table(
    "job_follows",
    METADATA,
    _job_id(primary_key=True),
    Column("holder", Text, nullable=False),
    _moment("held_until"),
    Index("ix_job_follows_holder", "holder"),
)
"""Which process follows which render, until when."""

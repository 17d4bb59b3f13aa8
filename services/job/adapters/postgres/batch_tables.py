"""Tables of batches."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from services.job.adapters.postgres.tables import METADATA
from services.runtime.eventlog import event_table

_TIME = DateTime(timezone=True)

BATCHES = Table(
    "batches",
    METADATA,
    Column("batch_id", UUID(as_uuid=False), primary_key=True),
    Column("owner_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("progress", Double, nullable=False),
    Column("total_count", SmallInteger, nullable=False),
    # Jobs by status; the sum is what was accepted.
    Column("counts", JSONB, nullable=False),
    Column("refusals", JSONB, nullable=False),
    # Its jobs' ids by position, for a repeated request.
    Column("job_ids", JSONB, nullable=False),
    Column("webhook_url", Text, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    # Number of the newest entry in batch_events; taken under this row's lock.
    Column("revision", BigInteger, nullable=False),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME, nullable=False),
    Column("completed_at", _TIME),
    CheckConstraint("progress BETWEEN 0 AND 100", name="progress"),
    Index("ix_batches_owner_created", "owner_id", text("created_at DESC"), text("batch_id DESC")),
    Index("ix_batches_created", text("created_at DESC"), text("batch_id DESC")),
    Index("ix_batches_cancelling", "updated_at", postgresql_where=text("cancel_requested AND status = 'processing'")),
)
"""One row a batch."""

BATCH_EVENTS = event_table(METADATA, "batch_events")
"""The history of every batch: `payload` is a serialised `t2m.job.v1.BatchEvent`."""

BATCH_REQUESTS = Table(
    "batch_requests",
    METADATA,
    Column("owner_id", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("batch_id", UUID(as_uuid=False), nullable=False),
    Column("expires_at", _TIME, nullable=False),
    PrimaryKeyConstraint("owner_id", "request_id"),
    Index("ix_batch_requests_expires", "expires_at"),
)
"""Request ids in use, as `job_requests` has them for jobs."""

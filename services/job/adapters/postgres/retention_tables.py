"""The audit's table. A trigger of the migration refuses to change or delete its rows."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from services.job.adapters.postgres.tables import METADATA

JOB_AUDIT = Table(
    "job_audit",
    METADATA,
    Column("entry_id", BigInteger, Identity(always=True), primary_key=True),
    Column("occurred_at", DateTime(timezone=True), nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("job_id", Text, nullable=False, server_default=""),
    Column("owner_id", Text, nullable=False, server_default=""),
    Column("details", JSONB, nullable=False),
    Index("ix_job_audit_job", "job_id", "entry_id", postgresql_where=text("job_id <> ''")),
)

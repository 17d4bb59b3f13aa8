"""The tables of webhooks."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, UUID

from services.job.adapters.postgres.tables import METADATA


def _moment(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


WEBHOOK_ENDPOINTS = Table(
    "webhook_endpoints",
    METADATA,
    Column("endpoint_id", UUID(as_uuid=False), primary_key=True),
    Column("owner_id", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("events", ARRAY(Text), nullable=False),
    Column("description", Text, nullable=False),
    # Sealed: the rows alone give no secret away.
    Column("secret", LargeBinary, nullable=False),
    Column("previous_secret", LargeBinary),
    _moment("previous_secret_expires_at", nullable=True),
    Column("disabled", Boolean, nullable=False),
    Column("disabled_reason", Text, nullable=False),
    Column("consecutive_failures", Integer, nullable=False),
    _moment("failing_since", nullable=True),
    _moment("last_success_at", nullable=True),
    Column("struggling", Boolean, nullable=False),
    _moment("created_at"),
    _moment("updated_at"),
    # Also finds an owner's endpoints.
    UniqueConstraint("owner_id", "url"),
)
"""Who is told."""

WEBHOOK_DELIVERIES = Table(
    "webhook_deliveries",
    METADATA,
    Column("delivery_id", UUID(as_uuid=False), primary_key=True),
    Column(
        "endpoint_id",
        UUID(as_uuid=False),
        ForeignKey("webhook_endpoints.endpoint_id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("event", Text, nullable=False),
    Column("subject_id", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempt_count", Integer, nullable=False),
    Column("tries", SmallInteger, nullable=False),
    _moment("first_tried_at", nullable=True),
    # NULL once it has ended, and while its endpoint is disabled.
    _moment("next_attempt_at", nullable=True),
    _moment("completed_at", nullable=True),
    _moment("created_at"),
    # Who is sending it: the lease, by this server's clock, and the number of the claim.
    _moment("leased_until", nullable=True),
    Column("claims", BigInteger, nullable=False, server_default=text("0")),
    CheckConstraint("status IN ('pending', 'delivered', 'failed')", name="status"),
    Index("ix_webhook_deliveries_endpoint", "endpoint_id", text("delivery_id DESC")),
    Index(
        "ix_webhook_deliveries_due",
        "endpoint_id",
        "next_attempt_at",
        postgresql_where=text("next_attempt_at IS NOT NULL"),
    ),
    Index("ix_webhook_deliveries_leased", "endpoint_id", postgresql_where=text("leased_until IS NOT NULL")),
    Index("ix_webhook_deliveries_created", "created_at"),
)
"""What is told: one row for each endpoint that hears of it."""

WEBHOOK_ATTEMPTS = Table(
    "webhook_attempts",
    METADATA,
    Column(
        "delivery_id",
        UUID(as_uuid=False),
        ForeignKey("webhook_deliveries.delivery_id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("number", Integer, nullable=False),
    _moment("attempted_at"),
    Column("http_status", SmallInteger, nullable=False),
    Column("error", Text, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    PrimaryKeyConstraint("delivery_id", "number"),
)
"""What came of each try."""

"""Batches, their history and their request ids."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_UP = (
    """
    CREATE TABLE batches (
        batch_id UUID NOT NULL,
        owner_id TEXT NOT NULL,
        status TEXT NOT NULL,
        progress DOUBLE PRECISION NOT NULL,
        total_count SMALLINT NOT NULL,
        counts JSONB NOT NULL,
        refusals JSONB NOT NULL,
        job_ids JSONB NOT NULL,
        webhook_url TEXT NOT NULL,
        cancel_requested BOOLEAN NOT NULL,
        revision BIGINT NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
        completed_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_batches PRIMARY KEY (batch_id),
        CONSTRAINT ck_batches_progress CHECK (progress BETWEEN 0 AND 100)
    )
    """,
    "CREATE INDEX ix_batches_owner_created ON batches (owner_id, created_at DESC, batch_id DESC)",
    "CREATE INDEX ix_batches_created ON batches (created_at DESC, batch_id DESC)",
    """
    CREATE INDEX ix_batches_cancelling ON batches (updated_at)
    WHERE cancel_requested AND status = 'processing'
    """,
    """
    CREATE TABLE batch_events (
        stream_id TEXT NOT NULL,
        seq BIGINT NOT NULL,
        payload BYTEA NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        relayed BOOLEAN DEFAULT false NOT NULL,
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        CONSTRAINT pk_batch_events PRIMARY KEY (stream_id, seq)
    )
    """,
    "CREATE INDEX ix_batch_events_unrelayed ON batch_events (id) WHERE NOT relayed",
    """
    CREATE TABLE batch_requests (
        owner_id TEXT NOT NULL,
        request_id TEXT NOT NULL,
        fingerprint BYTEA NOT NULL,
        batch_id UUID NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_batch_requests PRIMARY KEY (owner_id, request_id)
    )
    """,
    "CREATE INDEX ix_batch_requests_expires ON batch_requests (expires_at)",
)
_DOWN = ("DROP TABLE batch_requests", "DROP TABLE batch_events", "DROP TABLE batches")


def upgrade() -> None:
    """Add everything."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Take everything away."""
    for statement in _DOWN:
        op.execute(statement)

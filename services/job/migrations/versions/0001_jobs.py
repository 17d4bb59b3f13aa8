"""Jobs, their history, request ids, commands for video_render, and who follows what."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE job_events (
        stream_id TEXT NOT NULL,
        seq BIGINT NOT NULL,
        payload BYTEA NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        relayed BOOLEAN DEFAULT false NOT NULL,
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        CONSTRAINT pk_job_events PRIMARY KEY (stream_id, seq)
    )
    """,
    """
    CREATE INDEX ix_job_events_unrelayed ON job_events (id) WHERE NOT relayed
    """,
    """
    CREATE TABLE job_follows (
        job_id UUID NOT NULL,
        holder TEXT NOT NULL,
        held_until TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_job_follows PRIMARY KEY (job_id)
    )
    """,
    """
    CREATE INDEX ix_job_follows_holder ON job_follows (holder)
    """,
    """
    CREATE TABLE job_outbox (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        job_id UUID NOT NULL,
        kind TEXT NOT NULL,
        render_id TEXT NOT NULL,
        attempts INTEGER DEFAULT 0 NOT NULL,
        available_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_job_outbox PRIMARY KEY (id),
        CONSTRAINT ck_job_outbox_kind CHECK (kind IN ('start_render', 'cancel_render'))
    )
    """,
    """
    CREATE INDEX ix_job_outbox_available ON job_outbox (available_at)
    """,
    """
    CREATE INDEX ix_job_outbox_job ON job_outbox (job_id, id)
    """,
    """
    CREATE TABLE job_requests (
        owner_id TEXT NOT NULL,
        request_id TEXT NOT NULL,
        fingerprint BYTEA NOT NULL,
        job_id UUID NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_job_requests PRIMARY KEY (owner_id, request_id)
    )
    """,
    """
    CREATE INDEX ix_job_requests_expires ON job_requests (expires_at)
    """,
    """
    CREATE TABLE jobs (
        job_id UUID NOT NULL,
        owner_id TEXT NOT NULL,
        topic TEXT NOT NULL,
        context TEXT NOT NULL,
        quality TEXT NOT NULL,
        priority TEXT NOT NULL,
        model TEXT NOT NULL,
        thumbnails BOOLEAN NOT NULL,
        max_retries SMALLINT NOT NULL,
        batch_id TEXT DEFAULT '' NOT NULL,
        configuration JSONB NOT NULL,
        status TEXT NOT NULL,
        stage TEXT NOT NULL,
        progress DOUBLE PRECISION NOT NULL,
        attempt SMALLINT NOT NULL,
        title TEXT DEFAULT '' NOT NULL,
        scenes JSONB NOT NULL,
        video JSONB,
        failure JSONB,
        revision BIGINT NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
        next_attempt_at TIMESTAMP WITH TIME ZONE,
        started_at TIMESTAMP WITH TIME ZONE,
        attempt_started_at TIMESTAMP WITH TIME ZONE,
        completed_at TIMESTAMP WITH TIME ZONE,
        deleted_at TIMESTAMP WITH TIME ZONE,
        first_estimate TIMESTAMP WITH TIME ZONE,
        ready_at TIMESTAMP WITH TIME ZONE NOT NULL,
        due_at TIMESTAMP WITH TIME ZONE NOT NULL,
        render_cursor BIGINT NOT NULL,
        render_accepted BOOLEAN NOT NULL,
        CONSTRAINT pk_jobs PRIMARY KEY (job_id),
        CONSTRAINT ck_jobs_status CHECK (status IN ('queued', 'processing', 'completed', 'failed', 'cancelled')),
        CONSTRAINT ck_jobs_progress CHECK (progress BETWEEN 0 AND 100)
    )
    """,
    """
    CREATE INDEX ix_jobs_batch ON jobs (batch_id) WHERE batch_id <> ''
    """,
    """
    CREATE INDEX ix_jobs_created ON jobs (created_at DESC, job_id DESC) WHERE deleted_at IS NULL
    """,
    """
    CREATE INDEX ix_jobs_in_flight ON jobs (owner_id) WHERE status = 'processing'
    """,
    """
    CREATE INDEX ix_jobs_owner_created ON jobs (owner_id, created_at DESC, job_id DESC) WHERE deleted_at IS NULL
    """,
    """
    CREATE INDEX ix_jobs_owner_status_created ON jobs (owner_id, status, created_at DESC, job_id DESC)
    WHERE deleted_at IS NULL
    """,
    """
    CREATE INDEX ix_jobs_owner_updated ON jobs (owner_id, updated_at DESC, job_id DESC) WHERE deleted_at IS NULL
    """,
    """
    CREATE INDEX ix_jobs_queue ON jobs (due_at, job_id) WHERE status = 'queued'
    """,
    """
    CREATE INDEX ix_jobs_queue_owner ON jobs (owner_id, due_at) WHERE status = 'queued'
    """,
    """
    CREATE INDEX ix_jobs_recent ON jobs (quality, completed_at DESC) WHERE status = 'completed'
    """,
)
_TABLES = ("jobs", "job_events", "job_requests", "job_outbox", "job_follows")


def upgrade() -> None:
    """Create everything."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop everything."""
    for table in _TABLES:
        op.execute(f"DROP TABLE {table}")

"""Fair shares of the queue, its drain, and the times that a job spends in each stage."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_UP = (
    """
    CREATE TABLE job_shares (
        owner_id TEXT NOT NULL,
        tag BIGINT NOT NULL,
        CONSTRAINT pk_job_shares PRIMARY KEY (owner_id)
    )
    """,
    """
    CREATE TABLE job_queue (
        id SMALLINT NOT NULL,
        virtual_time BIGINT DEFAULT 0 NOT NULL,
        starts BIGINT DEFAULT 0 NOT NULL,
        drained_at TIMESTAMP WITH TIME ZONE,
        drained_by TEXT DEFAULT '' NOT NULL,
        CONSTRAINT pk_job_queue PRIMARY KEY (id),
        CONSTRAINT ck_job_queue_single CHECK (id = 1)
    )
    """,
    "INSERT INTO job_queue (id) VALUES (1)",
    """
    ALTER TABLE jobs
        ADD COLUMN stage_started_at TIMESTAMP WITH TIME ZONE,
        ADD COLUMN stage_seconds JSONB DEFAULT '{}' NOT NULL,
        ADD COLUMN half_way_at TIMESTAMP WITH TIME ZONE,
        ADD COLUMN half_way_estimate TIMESTAMP WITH TIME ZONE
    """,
    "ALTER TABLE job_outbox ADD COLUMN faults INTEGER DEFAULT 0 NOT NULL",
    "CREATE INDEX ix_jobs_attempt_started ON jobs (attempt_started_at) WHERE status = 'processing'",
)
_DOWN = (
    "DROP INDEX ix_jobs_attempt_started",
    "ALTER TABLE job_outbox DROP COLUMN faults",
    """
    ALTER TABLE jobs
        DROP COLUMN stage_started_at,
        DROP COLUMN stage_seconds,
        DROP COLUMN half_way_at,
        DROP COLUMN half_way_estimate
    """,
    "DROP TABLE job_queue",
    "DROP TABLE job_shares",
)


def upgrade() -> None:
    """Add everything."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Take everything away."""
    for statement in _DOWN:
        op.execute(statement)

"""What lists are ordered by, the indexes of their filters, and room in each page for updates in place."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_UP = (
    "ALTER TABLE jobs ADD COLUMN changed_at TIMESTAMP WITH TIME ZONE",
    "UPDATE jobs SET changed_at = updated_at",
    "ALTER TABLE jobs ALTER COLUMN changed_at SET NOT NULL",
    "ALTER TABLE jobs SET (fillfactor = 85)",
    "DROP INDEX ix_jobs_owner_updated",
    "CREATE INDEX ix_jobs_owner_changed ON jobs (owner_id, changed_at DESC, job_id DESC) WHERE deleted_at IS NULL",
    "CREATE INDEX ix_jobs_changed ON jobs (changed_at DESC, job_id DESC) WHERE deleted_at IS NULL",
    """
    CREATE INDEX ix_jobs_owner_priority_created ON jobs (owner_id, priority, created_at DESC, job_id DESC)
    WHERE deleted_at IS NULL
    """,
    "CREATE INDEX ix_jobs_status_created ON jobs (status, created_at DESC, job_id DESC) WHERE deleted_at IS NULL",
    """
    CREATE INDEX ix_jobs_failed ON jobs (completed_at DESC, job_id DESC)
    WHERE status = 'failed' AND deleted_at IS NULL
    """,
    "CREATE INDEX ix_jobs_origin ON jobs (origin_job_id) WHERE origin_job_id IS NOT NULL",
)
_DOWN = (
    "DROP INDEX ix_jobs_origin",
    "DROP INDEX ix_jobs_failed",
    "DROP INDEX ix_jobs_status_created",
    "DROP INDEX ix_jobs_owner_priority_created",
    "DROP INDEX ix_jobs_changed",
    "DROP INDEX ix_jobs_owner_changed",
    "CREATE INDEX ix_jobs_owner_updated ON jobs (owner_id, updated_at DESC, job_id DESC) WHERE deleted_at IS NULL",
    "ALTER TABLE jobs RESET (fillfactor)",
    "ALTER TABLE jobs DROP COLUMN changed_at",
)


def upgrade() -> None:
    """Add everything."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Take everything away."""
    for statement in _DOWN:
        op.execute(statement)

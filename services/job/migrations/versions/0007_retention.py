"""When what of a job goes, and an audit that nobody can change."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_UP = (
    """
    ALTER TABLE jobs
        ADD COLUMN segments_expire_at TIMESTAMP WITH TIME ZONE,
        ADD COLUMN purge_at TIMESTAMP WITH TIME ZONE,
        ADD COLUMN retention_at TIMESTAMP WITH TIME ZONE
    """,
    "CREATE INDEX ix_jobs_retention ON jobs (retention_at) WHERE retention_at IS NOT NULL",
    "CREATE INDEX ix_jobs_pinned ON jobs (owner_id) WHERE pinned_at IS NOT NULL AND deleted_at IS NULL",
    """
    CREATE TABLE job_audit (
        entry_id BIGINT GENERATED ALWAYS AS IDENTITY,
        occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        job_id TEXT DEFAULT '' NOT NULL,
        owner_id TEXT DEFAULT '' NOT NULL,
        details JSONB NOT NULL,
        CONSTRAINT pk_job_audit PRIMARY KEY (entry_id)
    )
    """,
    "CREATE INDEX ix_job_audit_job ON job_audit (job_id, entry_id) WHERE job_id <> ''",
    """
    CREATE FUNCTION job_audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'entries of job_audit are only ever added'; END $$
    """,
    """
    CREATE TRIGGER job_audit_append_only BEFORE UPDATE OR DELETE ON job_audit
    FOR EACH ROW EXECUTE FUNCTION job_audit_is_append_only()
    """,
)
_DOWN = (
    "DROP TABLE job_audit",
    "DROP FUNCTION job_audit_is_append_only()",
    "DROP INDEX ix_jobs_pinned",
    "DROP INDEX ix_jobs_retention",
    """
    ALTER TABLE jobs
        DROP COLUMN segments_expire_at,
        DROP COLUMN purge_at,
        DROP COLUMN retention_at
    """,
)


def upgrade() -> None:
    """Add everything."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Take everything away."""
    for statement in _DOWN:
        op.execute(statement)

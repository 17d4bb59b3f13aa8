"""Terms of an order (plan, credits, webhook, origin), retention, logs, and an outbox with a lane for each neighbour."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_UP = (
    """
    ALTER TABLE jobs
        ADD COLUMN requeues SMALLINT DEFAULT 0 NOT NULL,
        ADD COLUMN plan TEXT DEFAULT 'free' NOT NULL,
        ADD COLUMN credit_cost BIGINT DEFAULT 0 NOT NULL,
        ADD COLUMN webhook_url TEXT DEFAULT '' NOT NULL,
        ADD COLUMN origin_job_id UUID,
        ADD COLUMN pinned_at TIMESTAMP WITH TIME ZONE,
        ADD COLUMN expires_at TIMESTAMP WITH TIME ZONE,
        ADD COLUMN expired_at TIMESTAMP WITH TIME ZONE,
        ADD COLUMN log_seq BIGINT DEFAULT 0 NOT NULL
    """,
    "ALTER TABLE job_outbox DROP CONSTRAINT ck_job_outbox_kind",
    "ALTER TABLE job_outbox ADD COLUMN lane TEXT DEFAULT 'render' NOT NULL",
    "DROP INDEX ix_job_outbox_available",
    "CREATE INDEX ix_job_outbox_available ON job_outbox (lane, available_at)",
    "DROP INDEX ix_job_outbox_job",
    "CREATE INDEX ix_job_outbox_job ON job_outbox (job_id, lane, id)",
)
_DOWN = (
    "DELETE FROM job_outbox WHERE lane <> 'render'",
    "DROP INDEX ix_job_outbox_job",
    "CREATE INDEX ix_job_outbox_job ON job_outbox (job_id, id)",
    "DROP INDEX ix_job_outbox_available",
    "CREATE INDEX ix_job_outbox_available ON job_outbox (available_at)",
    "ALTER TABLE job_outbox DROP COLUMN lane",
    """
    ALTER TABLE job_outbox
        ADD CONSTRAINT ck_job_outbox_kind CHECK (kind IN ('start_render', 'cancel_render'))
    """,
    """
    ALTER TABLE jobs
        DROP COLUMN requeues,
        DROP COLUMN plan,
        DROP COLUMN credit_cost,
        DROP COLUMN webhook_url,
        DROP COLUMN origin_job_id,
        DROP COLUMN pinned_at,
        DROP COLUMN expires_at,
        DROP COLUMN expired_at,
        DROP COLUMN log_seq
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

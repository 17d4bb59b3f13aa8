"""Logs of jobs."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_UP = (
    """
    CREATE TABLE job_logs (
        stream_id TEXT NOT NULL,
        seq BIGINT NOT NULL,
        payload BYTEA NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        relayed BOOLEAN DEFAULT false NOT NULL,
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        severity SMALLINT NOT NULL,
        stage TEXT DEFAULT '' NOT NULL,
        scene_index INTEGER,
        attempt SMALLINT NOT NULL,
        CONSTRAINT pk_job_logs PRIMARY KEY (stream_id, seq)
    )
    """,
    "CREATE INDEX ix_job_logs_unrelayed ON job_logs (id) WHERE NOT relayed",
)
_DOWN = ("DROP TABLE job_logs",)


def upgrade() -> None:
    """Add everything."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Take everything away."""
    for statement in _DOWN:
        op.execute(statement)

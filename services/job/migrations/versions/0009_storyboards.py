"""Ordered storyboards, what becomes of scenes that cannot be drawn, further rungs, and voices."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_UP = (
    """
    CREATE TABLE storyboards (
        owner_id TEXT NOT NULL,
        name TEXT NOT NULL,
        title TEXT NOT NULL,
        data BYTEA NOT NULL,
        ordered_at TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (owner_id, name)
    )
    """,
    "CREATE INDEX ix_storyboards_ordered_at ON storyboards (ordered_at)",
    "ALTER TABLE jobs ADD COLUMN storyboard TEXT DEFAULT '' NOT NULL",
    "ALTER TABLE jobs ADD COLUMN scene_fallback BOOLEAN DEFAULT false NOT NULL",
    "ALTER TABLE jobs ADD COLUMN lower_qualities JSONB DEFAULT '[]' NOT NULL",
    "ALTER TABLE jobs ADD COLUMN narration BOOLEAN DEFAULT false NOT NULL",
    "CREATE INDEX ix_jobs_storyboard ON jobs (owner_id, storyboard) WHERE storyboard <> ''",
)
_DOWN = (
    "DROP INDEX ix_jobs_storyboard",
    "ALTER TABLE jobs DROP COLUMN narration",
    "ALTER TABLE jobs DROP COLUMN lower_qualities",
    "ALTER TABLE jobs DROP COLUMN scene_fallback",
    "ALTER TABLE jobs DROP COLUMN storyboard",
    "DROP TABLE storyboards",
)


def upgrade() -> None:
    """Add them."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Take them away."""
    for statement in _DOWN:
        op.execute(statement)

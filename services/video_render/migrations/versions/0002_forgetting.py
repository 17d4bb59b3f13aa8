"""Whose files a remembered scene has, so that a job can be forgotten with everything that is its own."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_UP = (
    # Remembered scenes can be drawn again; whose they were is not known.
    "DELETE FROM scene_cache",
    "ALTER TABLE scene_cache ADD COLUMN job_id TEXT NOT NULL",
    "CREATE INDEX ix_scene_cache_job_id ON scene_cache (job_id)",
    "CREATE INDEX ix_renders_job_id ON renders (job_id)",
)
_DOWN = (
    "DROP INDEX ix_renders_job_id",
    "DROP INDEX ix_scene_cache_job_id",
    "ALTER TABLE scene_cache DROP COLUMN job_id",
)


def upgrade() -> None:
    """Add everything."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Take everything away."""
    for statement in _DOWN:
        op.execute(statement)

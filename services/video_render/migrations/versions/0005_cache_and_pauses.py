"""How large remembered scenes are and when they were last of use; deliveries that wait."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_UP = (
    "ALTER TABLE scene_cache ADD COLUMN size_bytes BIGINT DEFAULT 0 NOT NULL",
    "ALTER TABLE scene_cache ADD COLUMN used_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL",
    "CREATE INDEX ix_scene_cache_used_at ON scene_cache (owner_id, used_at)",
    "ALTER TABLE outbox ADD COLUMN available_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL",
)
_DOWN = (
    "ALTER TABLE outbox DROP COLUMN available_at",
    "DROP INDEX ix_scene_cache_used_at",
    "ALTER TABLE scene_cache DROP COLUMN used_at",
    "ALTER TABLE scene_cache DROP COLUMN size_bytes",
)


def upgrade() -> None:
    """Add them."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Take them away."""
    for statement in _DOWN:
        op.execute(statement)

"""Scenes that a plain one stands in for, and scenes that were rendered before."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.execute("ALTER TABLE steps ADD COLUMN fallback BOOLEAN DEFAULT false NOT NULL")
    op.execute("ALTER TABLE steps ADD COLUMN cached BOOLEAN DEFAULT false NOT NULL")


def downgrade() -> None:
    """Take them away."""
    op.execute("ALTER TABLE steps DROP COLUMN fallback")
    op.execute("ALTER TABLE steps DROP COLUMN cached")

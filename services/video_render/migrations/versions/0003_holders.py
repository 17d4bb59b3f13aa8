"""Which process holds a step, so that its end is noticed before the lease has run out."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.execute("ALTER TABLE steps ADD COLUMN holder TEXT DEFAULT '' NOT NULL")


def downgrade() -> None:
    """Take it away."""
    op.execute("ALTER TABLE steps DROP COLUMN holder")

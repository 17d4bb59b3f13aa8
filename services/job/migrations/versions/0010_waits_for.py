"""What an attempt waits for that is no turn of its own."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add it."""
    op.execute("ALTER TABLE jobs ADD COLUMN waits_for TEXT DEFAULT '' NOT NULL")


def downgrade() -> None:
    """Take it away."""
    op.execute("ALTER TABLE jobs DROP COLUMN waits_for")

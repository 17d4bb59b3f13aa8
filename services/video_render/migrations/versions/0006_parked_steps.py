"""How often a step was put off because the storage was away."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add it."""
    op.execute("ALTER TABLE steps ADD COLUMN parked INTEGER DEFAULT 0 NOT NULL")


def downgrade() -> None:
    """Take it away."""
    op.execute("ALTER TABLE steps DROP COLUMN parked")

"""Expiry of temp objects, and what has been copied to another store.

Revision ID: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """An index of the temp rows by age; a table of verified copies."""
    op.create_index(
        "objects_temp_idx",
        "objects",
        ["created_at"],
        postgresql_where=sa.text("state = 'committed' AND bucket = 'temp'"),
    )
    op.create_table(
        "object_copies",
        sa.Column("object_id", sa.Uuid, sa.ForeignKey("objects.object_id", ondelete="CASCADE"), primary_key=True),
        sa.Column("target", sa.Text, primary_key=True),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    """Drop both."""
    op.drop_table("object_copies")
    op.drop_index("objects_temp_idx", "objects")

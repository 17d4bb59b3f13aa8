"""Objects: one row per attempt at a write.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the table; every index serves one query of the repository and only the rows it looks at."""
    op.create_table(
        "objects",
        sa.Column("object_id", sa.Uuid, primary_key=True),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("owner_id", sa.Text, nullable=False),
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("bucket", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("scene_index", sa.Integer),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("committed_at", sa.DateTime(timezone=True)),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("state IN ('pending', 'committed', 'deleted')", name="ck_objects_state"),
        sa.CheckConstraint(
            "state <> 'committed' OR (length(sha256) = 64 AND committed_at IS NOT NULL)",
            name="ck_objects_committed_is_verified",
        ),
        sa.CheckConstraint("(state = 'deleted') = (deleted_at IS NOT NULL)", name="ck_objects_deleted_has_time"),
    )
    committed = sa.text("state = 'committed'")
    op.create_index("objects_key_key", "objects", ["bucket", "key"], unique=True)
    op.create_index(
        "objects_committed_request_key",
        "objects",
        ["owner_id", "request_id"],
        unique=True,
        postgresql_where=committed,
    )
    op.create_index("objects_owner_idx", "objects", ["owner_id", "object_id"], postgresql_where=committed)
    op.create_index("objects_owner_job_idx", "objects", ["owner_id", "job_id", "object_id"], postgresql_where=committed)
    op.create_index("objects_pending_idx", "objects", ["created_at"], postgresql_where=sa.text("state = 'pending'"))
    op.create_index("objects_deleted_idx", "objects", ["object_id"], postgresql_where=sa.text("state = 'deleted'"))


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("objects")

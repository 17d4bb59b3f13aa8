"""Files of users: what counts for an owner's quota, and the list of an owner's files.

Revision ID: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Two indexes that hold no other objects' rows."""
    op.create_index(
        "objects_file_quota_idx",
        "objects",
        ["owner_id"],
        postgresql_where=sa.text("kind IN ('file', 'file_upload') AND state IN ('pending', 'committed')"),
    )
    op.create_index(
        "objects_files_idx",
        "objects",
        ["owner_id", "object_id"],
        postgresql_where=sa.text("kind = 'file' AND state = 'committed'"),
    )


def downgrade() -> None:
    """Drop both."""
    op.drop_index("objects_files_idx", "objects")
    op.drop_index("objects_file_quota_idx", "objects")

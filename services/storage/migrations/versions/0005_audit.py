"""Entries of the audit trail on their way to auth; finding all that is left of an owner.

Revision ID: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_OUTBOX = """
    CREATE TABLE audit_outbox (
        id        bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_audit_outbox PRIMARY KEY,
        entry_id  uuid   NOT NULL,
        caller_id text   NOT NULL,
        entry     jsonb  NOT NULL
    )
"""


def upgrade() -> None:
    """Two tables, and an index that has rows of every state."""
    op.execute(_OUTBOX)
    op.create_table(
        "erased_owners",
        sa.Column("owner_id", sa.Text, primary_key=True),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("objects_every_owner_idx", "objects", ["owner_id", "object_id"])


def downgrade() -> None:
    """Drop them."""
    op.drop_index("objects_every_owner_idx", "objects")
    op.drop_table("erased_owners")
    op.execute("DROP TABLE audit_outbox")

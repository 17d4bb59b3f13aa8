"""Entries of the audit trail on their way to auth, and exports that are under way."""

from alembic import op

revision = "0011"
down_revision = "0010"

_UP = (
    """
    CREATE TABLE audit_outbox (
        id        bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_audit_outbox PRIMARY KEY,
        entry_id  uuid   NOT NULL,
        caller_id text   NOT NULL,
        entry     jsonb  NOT NULL
    )
    """,
    """
    CREATE TABLE data_exports (
        owner_id   text        CONSTRAINT pk_data_exports PRIMARY KEY,
        holder     text        NOT NULL,
        held_until timestamptz NOT NULL
    )
    """,
)
_DOWN = ("DROP TABLE data_exports", "DROP TABLE audit_outbox")


def upgrade() -> None:
    """Add both."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Take them away."""
    for statement in _DOWN:
        op.execute(statement)

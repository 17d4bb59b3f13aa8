"""Revocations, accounts of other issuers, use of API keys."""

from alembic import op

revision = "0005"
down_revision = "0004"

_UP: tuple[str, ...] = (
    # No reference to users: what was revoked stays revoked when its user is gone.
    """
    CREATE TABLE revocations (
        sequence   bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_revocations PRIMARY KEY,
        kind       text        NOT NULL CONSTRAINT ck_revocations_kind CHECK (kind IN ('session', 'api_key', 'user')),
        subject_id text        NOT NULL,
        at         timestamptz NOT NULL,
        until      timestamptz NOT NULL
    )
    """,
    "CREATE INDEX ix_revocations_kind_subject_id ON revocations (kind, subject_id)",
    "CREATE INDEX ix_revocations_until ON revocations (until)",
)
_DOWN: tuple[str, ...] = ("DROP TABLE revocations",)


def upgrade() -> None:
    """Add everything."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Take everything away."""
    for statement in _DOWN:
        op.execute(statement)

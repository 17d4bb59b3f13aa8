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
    """
    CREATE TABLE user_identities (
        issuer     text        NOT NULL,
        subject    text        NOT NULL,
        user_id    uuid        NOT NULL CONSTRAINT fk_user_identities_user_id_users REFERENCES users ON DELETE CASCADE,
        changed_at timestamptz NOT NULL,
        linked     boolean     NOT NULL,
        created_at timestamptz NOT NULL,
        CONSTRAINT pk_user_identities PRIMARY KEY (issuer, subject)
    )
    """,
    "CREATE INDEX ix_user_identities_user_id ON user_identities (user_id)",
    # Nothing here names anybody: digests of who was erased, until their last token has ended.
    """
    CREATE TABLE forgotten_identities (
        digest       bytea       CONSTRAINT pk_forgotten_identities PRIMARY KEY,
        forgotten_at timestamptz NOT NULL
    )
    """,
    "ALTER TABLE api_keys ADD COLUMN last_used_at timestamptz",
)
_DOWN: tuple[str, ...] = (
    "ALTER TABLE api_keys DROP COLUMN last_used_at",
    "DROP TABLE forgotten_identities",
    "DROP TABLE user_identities",
    "DROP TABLE revocations",
)


def upgrade() -> None:
    """Add everything."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Take everything away."""
    for statement in _DOWN:
        op.execute(statement)

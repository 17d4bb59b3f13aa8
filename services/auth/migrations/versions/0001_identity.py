"""Users, sessions with their refresh tokens, API keys."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.execute(
        """
        CREATE TABLE users (
            user_id       uuid        CONSTRAINT pk_users PRIMARY KEY,
            email         text        NOT NULL CONSTRAINT uq_users_email UNIQUE
                                      CONSTRAINT ck_users_email CHECK (email = lower(email)),
            display_name  text        NOT NULL,
            role          text        NOT NULL
                                      CONSTRAINT ck_users_role CHECK (role IN ('readonly', 'user', 'admin')),
            password_hash text,
            created_at    timestamptz NOT NULL,
            updated_at    timestamptz NOT NULL
        )
        """
    )
    # The guard of the last admin locks all admins: found without reading everybody.
    op.execute("CREATE INDEX ix_users_admins ON users (user_id) WHERE role = 'admin'")
    op.execute(
        """
        CREATE TABLE sessions (
            session_id uuid        CONSTRAINT pk_sessions PRIMARY KEY,
            user_id    uuid        NOT NULL
                                   CONSTRAINT fk_sessions_user_id_users REFERENCES users ON DELETE CASCADE,
            created_at timestamptz NOT NULL,
            revoked_at timestamptz
        )
        """
    )
    op.execute("CREATE INDEX ix_sessions_user_id ON sessions (user_id)")
    op.execute(
        """
        CREATE TABLE refresh_tokens (
            digest     bytea       CONSTRAINT pk_refresh_tokens PRIMARY KEY,
            session_id uuid        NOT NULL
                                   CONSTRAINT fk_refresh_tokens_session_id_sessions
                                   REFERENCES sessions ON DELETE CASCADE,
            issued_at  timestamptz NOT NULL,
            expires_at timestamptz NOT NULL,
            used_at    timestamptz
        )
        """
    )
    op.execute("CREATE INDEX ix_refresh_tokens_session_id ON refresh_tokens (session_id)")
    op.execute("CREATE INDEX ix_refresh_tokens_expires_at ON refresh_tokens (expires_at)")
    # At most one token of a session works, whatever the code believes.
    op.execute("CREATE UNIQUE INDEX uq_refresh_tokens_unused ON refresh_tokens (session_id) WHERE used_at IS NULL")
    op.execute(
        """
        CREATE TABLE api_keys (
            api_key_id text        CONSTRAINT pk_api_keys PRIMARY KEY,
            user_id    uuid        NOT NULL
                                   CONSTRAINT fk_api_keys_user_id_users REFERENCES users ON DELETE CASCADE,
            name       text        NOT NULL,
            scopes     text[]      NOT NULL,
            digest     bytea       NOT NULL,
            created_at timestamptz NOT NULL,
            expires_at timestamptz,
            revoked_at timestamptz
        )
        """
    )
    op.execute("CREATE INDEX ix_api_keys_user_id_created_at ON api_keys (user_id, created_at DESC, api_key_id)")


def downgrade() -> None:
    """Drop everything; only for development."""
    op.execute("DROP TABLE api_keys, refresh_tokens, sessions, users")

"""Verified addresses, preferences, mail, refused logins."""

from alembic import op

revision = "0003"
down_revision = "0002"

_UP = (
    # Accounts of other issuers may come without an address. Those that are here count as verified.
    "ALTER TABLE users ALTER COLUMN email DROP NOT NULL",
    "ALTER TABLE users ADD COLUMN verified_at timestamptz",
    "UPDATE users SET verified_at = created_at",
    """
    CREATE TABLE user_preferences (
        user_id    uuid        CONSTRAINT pk_user_preferences PRIMARY KEY
                               CONSTRAINT fk_user_preferences_user_id_users REFERENCES users ON DELETE CASCADE,
        data       jsonb       NOT NULL,
        updated_at timestamptz NOT NULL
    )
    """,
    # An address is not taken by asking for it: of several registrations the verified one becomes the account.
    """
    CREATE TABLE registrations (
        registration_id uuid        CONSTRAINT pk_registrations PRIMARY KEY,
        email           text        NOT NULL,
        display_name    text        NOT NULL,
        password_hash   text        NOT NULL,
        created_at      timestamptz NOT NULL,
        expires_at      timestamptz NOT NULL,
        user_id         uuid        CONSTRAINT fk_registrations_user_id_users REFERENCES users ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_registrations_email ON registrations (email, created_at)",
    "CREATE INDEX ix_registrations_user_id ON registrations (user_id)",
    "CREATE INDEX ix_registrations_expires_at ON registrations (expires_at)",
    """
    CREATE TABLE email_tokens (
        digest          bytea       CONSTRAINT pk_email_tokens PRIMARY KEY,
        purpose         text        NOT NULL CONSTRAINT ck_email_tokens_purpose CHECK (purpose IN ('verify', 'reset')),
        email           text        NOT NULL,
        registration_id uuid        CONSTRAINT fk_email_tokens_registration_id_registrations
                                    REFERENCES registrations ON DELETE CASCADE,
        user_id         uuid        CONSTRAINT fk_email_tokens_user_id_users REFERENCES users ON DELETE CASCADE,
        expires_at      timestamptz NOT NULL,
        used_at         timestamptz,
        CONSTRAINT ck_email_tokens_owner CHECK (num_nonnulls(registration_id, user_id) = 1)
    )
    """,
    "CREATE INDEX ix_email_tokens_registration_id ON email_tokens (registration_id)",
    "CREATE INDEX ix_email_tokens_user_id ON email_tokens (user_id)",
    "CREATE INDEX ix_email_tokens_expires_at ON email_tokens (expires_at)",
    """
    CREATE TABLE mails (
        mail_id         uuid        CONSTRAINT pk_mails PRIMARY KEY,
        kind            text        NOT NULL,
        recipient       text        NOT NULL,
        user_id         uuid        CONSTRAINT fk_mails_user_id_users REFERENCES users ON DELETE CASCADE,
        registration_id uuid,
        about           text        NOT NULL,
        state           text        NOT NULL
                                    CONSTRAINT ck_mails_state CHECK (state IN ('due', 'sent', 'dropped', 'failed')),
        attempts        integer     NOT NULL,
        next_at         timestamptz NOT NULL,
        created_at      timestamptz NOT NULL,
        ended_at        timestamptz,
        error           text        NOT NULL
    )
    """,
    "CREATE INDEX ix_mails_due ON mails (next_at) WHERE state = 'due'",
    "CREATE INDEX ix_mails_recipient ON mails (recipient, created_at)",
    "CREATE INDEX ix_mails_user_id ON mails (user_id)",
    "CREATE INDEX ix_mails_ended_at ON mails (ended_at) WHERE state <> 'due'",
    # Keys are digests: the table names neither people nor addresses, also not those that have no account.
    """
    CREATE TABLE login_attempts (
        key           bytea       CONSTRAINT pk_login_attempts PRIMARY KEY,
        failures      integer     NOT NULL,
        blocked_until timestamptz,
        updated_at    timestamptz NOT NULL
    )
    """,
    "CREATE INDEX ix_login_attempts_updated_at ON login_attempts (updated_at)",
    """
    CREATE TABLE known_clients (
        key     bytea       CONSTRAINT pk_known_clients PRIMARY KEY,
        seen_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX ix_known_clients_seen_at ON known_clients (seen_at)",
    """
    ALTER TABLE sessions
        ADD COLUMN last_used_at   timestamptz,
        ADD COLUMN client_address text    NOT NULL DEFAULT '',
        ADD COLUMN client_agent   text    NOT NULL DEFAULT '',
        ADD COLUMN generation     integer NOT NULL DEFAULT 0,
        ADD COLUMN rotated_at     timestamptz,
        ADD COLUMN siblings       integer NOT NULL DEFAULT 0
    """,
    # Tokens that were alternatives of each other may now be unused together; the newest generation is what works.
    "DROP INDEX uq_refresh_tokens_unused",
    "ALTER TABLE refresh_tokens ADD COLUMN generation integer NOT NULL DEFAULT 0",
    """
    UPDATE refresh_tokens SET generation = ranked.generation
    FROM (
        SELECT digest, row_number() OVER (PARTITION BY session_id ORDER BY used_at NULLS LAST, issued_at) - 1
        FROM refresh_tokens
    ) AS ranked (digest, generation)
    WHERE ranked.digest = refresh_tokens.digest
    """,
    """
    UPDATE sessions SET generation = newest.generation
    FROM (
        SELECT session_id, max(generation) + (count(*) FILTER (WHERE used_at IS NULL) = 0)::integer
        FROM refresh_tokens GROUP BY session_id
    ) AS newest (session_id, generation)
    WHERE newest.session_id = sessions.session_id
    """,
)
_DOWN = (
    "ALTER TABLE refresh_tokens DROP COLUMN generation",
    # Of alternatives the one that was issued last goes on.
    """
    UPDATE refresh_tokens SET used_at = issued_at
    WHERE used_at IS NULL AND digest NOT IN (
        SELECT DISTINCT ON (session_id) digest FROM refresh_tokens WHERE used_at IS NULL
        ORDER BY session_id, issued_at DESC, digest
    )
    """,
    "CREATE UNIQUE INDEX uq_refresh_tokens_unused ON refresh_tokens (session_id) WHERE used_at IS NULL",
    """
    ALTER TABLE sessions
        DROP COLUMN last_used_at, DROP COLUMN client_address, DROP COLUMN client_agent,
        DROP COLUMN generation, DROP COLUMN rotated_at, DROP COLUMN siblings
    """,
    "DROP TABLE known_clients",
    "DROP TABLE login_attempts",
    "DROP TABLE mails",
    "DROP TABLE email_tokens",
    "DROP TABLE registrations",
    "DROP TABLE user_preferences",
    "ALTER TABLE users DROP COLUMN verified_at",
    "DELETE FROM users WHERE email IS NULL",
    "ALTER TABLE users ALTER COLUMN email SET NOT NULL",
)


def upgrade() -> None:
    """Add everything."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Take everything away."""
    for statement in _DOWN:
        op.execute(statement)

"""Plans of users, and credits with their ledger."""

from alembic import op

revision = "0002"
down_revision = "0001"

_UP = (
    "ALTER TABLE users ADD COLUMN plan text NOT NULL DEFAULT 'free'",
    """
    CREATE TABLE credit_accounts (
        user_id   uuid   CONSTRAINT pk_credit_accounts PRIMARY KEY
                         CONSTRAINT fk_credit_accounts_user_id_users REFERENCES users ON DELETE CASCADE,
        available bigint NOT NULL,
        reserved  bigint NOT NULL CONSTRAINT ck_credit_accounts_reserved CHECK (reserved >= 0),
        spent     bigint NOT NULL CONSTRAINT ck_credit_accounts_spent CHECK (spent >= 0)
    )
    """,
    """
    CREATE TABLE credit_reservations (
        job_id     uuid        CONSTRAINT pk_credit_reservations PRIMARY KEY,
        user_id    uuid        NOT NULL,
        amount     bigint      NOT NULL CONSTRAINT ck_credit_reservations_amount CHECK (amount > 0),
        state      text        NOT NULL CONSTRAINT ck_credit_reservations_state
                               CHECK (state IN ('reserved', 'confirmed', 'settled', 'released')),
        created_at timestamptz NOT NULL,
        expires_at timestamptz
    )
    """,
    "CREATE INDEX ix_credit_reservations_lapsing ON credit_reservations (expires_at) WHERE state = 'reserved'",
    """
    CREATE TABLE credit_entries (
        entry_id       bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_credit_entries PRIMARY KEY,
        transaction_id uuid        NOT NULL,
        user_id        uuid        NOT NULL,
        book           text        NOT NULL CONSTRAINT ck_credit_entries_book
                                   CHECK (book IN ('issued', 'available', 'reserved', 'spent')),
        amount         bigint      NOT NULL,
        kind           text        NOT NULL,
        job_id         text        NOT NULL,
        request_id     text        NOT NULL,
        created_at     timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX ix_credit_entries_transaction_id ON credit_entries (transaction_id)",
    "CREATE INDEX ix_credit_entries_user_id ON credit_entries (user_id, entry_id)",
    """
    CREATE TABLE credit_grants (
        request_id text   CONSTRAINT pk_credit_grants PRIMARY KEY,
        user_id    uuid   NOT NULL,
        amount     bigint NOT NULL
    )
    """,
    # A transaction that does not sum to zero, and any change of an entry, is refused by the database itself.
    """
    CREATE FUNCTION credit_entries_balance() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF (SELECT sum(amount) FROM credit_entries WHERE transaction_id = NEW.transaction_id) <> 0 THEN
            RAISE EXCEPTION 'the entries of a transaction must sum to zero';
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE CONSTRAINT TRIGGER credit_entries_balance AFTER INSERT ON credit_entries
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION credit_entries_balance()
    """,
    """
    CREATE FUNCTION credit_entries_are_final() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'entries of the ledger are only ever added'; END $$
    """,
    """
    CREATE TRIGGER credit_entries_final BEFORE UPDATE OR DELETE ON credit_entries
    FOR EACH ROW EXECUTE FUNCTION credit_entries_are_final()
    """,
)
_DOWN = (
    "DROP TABLE credit_grants",
    "DROP TABLE credit_entries",
    "DROP FUNCTION credit_entries_balance()",
    "DROP FUNCTION credit_entries_are_final()",
    "DROP TABLE credit_reservations",
    "DROP TABLE credit_accounts",
    "ALTER TABLE users DROP COLUMN plan",
)


def upgrade() -> None:
    """Add everything."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Take everything away."""
    for statement in _DOWN:
        op.execute(statement)

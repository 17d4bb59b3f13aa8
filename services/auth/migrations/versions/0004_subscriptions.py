"""Subscriptions and what billing knows of them."""

from alembic import op

revision = "0004"
down_revision = "0003"

_UP = (
    "ALTER TABLE credit_reservations DROP CONSTRAINT ck_credit_reservations_state",
    """
    ALTER TABLE credit_reservations ADD CONSTRAINT ck_credit_reservations_state
        CHECK (state IN ('reserved', 'confirmed', 'settled', 'released', 'refunded'))
    """,
    "CREATE INDEX ix_credit_entries_user_id_created_at ON credit_entries (user_id, created_at)",
    """
    CREATE TABLE subscriptions (
        subscription_id      uuid        CONSTRAINT pk_subscriptions PRIMARY KEY,
        user_id              uuid        NOT NULL,
        plan                 text        NOT NULL,
        state                text        NOT NULL CONSTRAINT ck_subscriptions_state
                                         CHECK (state IN ('incomplete', 'active', 'past_due', 'cancelled', 'expired')),
        period               text        NOT NULL CONSTRAINT ck_subscriptions_period
                                         CHECK (period IN ('month', 'year')),
        anchor               timestamptz NOT NULL,
        anchor_index         integer     NOT NULL,
        period_index         integer     NOT NULL,
        period_start         timestamptz NOT NULL,
        period_end           timestamptz NOT NULL CONSTRAINT ck_subscriptions_period_end
                                         CHECK (period_end > period_start),
        period_credits       bigint      NOT NULL CONSTRAINT ck_subscriptions_period_credits
                                         CHECK (period_credits >= 0),
        credits_since        timestamptz,
        next_plan            text        NOT NULL,
        cancel_at_period_end boolean     NOT NULL,
        created_at           timestamptz NOT NULL,
        due_at               timestamptz,
        ended_at             timestamptz,
        CONSTRAINT ck_subscriptions_ended CHECK ((ended_at IS NULL) = (state IN ('incomplete', 'active', 'past_due')))
    )
    """,
    # One at a time for each user, whatever the code does.
    "CREATE UNIQUE INDEX uq_subscriptions_user_id ON subscriptions (user_id) WHERE ended_at IS NULL",
    "CREATE INDEX ix_subscriptions_history ON subscriptions (user_id, created_at)",
    "CREATE INDEX ix_subscriptions_due_at ON subscriptions (due_at) WHERE due_at IS NOT NULL",
    """
    CREATE TABLE charges (
        charge_id       uuid        CONSTRAINT pk_charges PRIMARY KEY,
        subscription_id uuid        NOT NULL
                                    CONSTRAINT fk_charges_subscription_id_subscriptions REFERENCES subscriptions,
        user_id         uuid        NOT NULL,
        purpose         text        NOT NULL CONSTRAINT ck_charges_purpose
                                    CHECK (purpose IN ('subscribe', 'renew', 'upgrade')),
        plan            text        NOT NULL,
        period_index    integer     NOT NULL,
        amount          bigint      NOT NULL CONSTRAINT ck_charges_amount CHECK (amount > 0),
        currency        text        NOT NULL,
        credits         bigint      NOT NULL CONSTRAINT ck_charges_credits CHECK (credits >= 0),
        state           text        NOT NULL CONSTRAINT ck_charges_state CHECK
                                    (state IN ('due', 'open', 'paid', 'voiding', 'void', 'refunding', 'refunded')),
        provider        text        NOT NULL,
        attempt         integer     NOT NULL,
        present         boolean     NOT NULL,
        next_attempt_at timestamptz,
        claimed_until   timestamptz,
        reference       text        NOT NULL,
        page_url        text        NOT NULL,
        failure         text        NOT NULL,
        created_at      timestamptz NOT NULL,
        settled_at      timestamptz
    )
    """,
    # A period is charged once; nobody is to pay two charges of one subscription at a time.
    """
    CREATE UNIQUE INDEX uq_charges_period ON charges (subscription_id, period_index) WHERE purpose <> 'upgrade'
    """,
    "CREATE UNIQUE INDEX uq_charges_wanted ON charges (subscription_id) WHERE state IN ('due', 'open')",
    "CREATE INDEX ix_charges_to_do ON charges (next_attempt_at) WHERE state IN ('due', 'voiding', 'refunding')",
    "CREATE INDEX ix_charges_user_id ON charges (user_id, created_at)",
    """
    CREATE TABLE billing_customers (
        user_id     uuid NOT NULL,
        provider    text NOT NULL,
        customer_id text NOT NULL,
        CONSTRAINT pk_billing_customers PRIMARY KEY (user_id, provider)
    )
    """,
    """
    CREATE TABLE billing_requests (
        user_id     uuid        NOT NULL,
        request_id  text        NOT NULL,
        fingerprint text        NOT NULL,
        created_at  timestamptz NOT NULL,
        CONSTRAINT pk_billing_requests PRIMARY KEY (user_id, request_id)
    )
    """,
    """
    CREATE TABLE billing_events (
        event_id   text        CONSTRAINT pk_billing_events PRIMARY KEY,
        created_at timestamptz NOT NULL
    )
    """,
)
_DOWN = (
    "DROP TABLE billing_events",
    "DROP TABLE billing_requests",
    "DROP TABLE billing_customers",
    "DROP TABLE charges",
    "DROP TABLE subscriptions",
    "DROP INDEX ix_credit_entries_user_id_created_at",
    "UPDATE credit_reservations SET state = 'released' WHERE state = 'refunded'",
    "ALTER TABLE credit_reservations DROP CONSTRAINT ck_credit_reservations_state",
    """
    ALTER TABLE credit_reservations ADD CONSTRAINT ck_credit_reservations_state
        CHECK (state IN ('reserved', 'confirmed', 'settled', 'released'))
    """,
)


def upgrade() -> None:
    """Add everything."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Take everything away."""
    for statement in _DOWN:
        op.execute(statement)

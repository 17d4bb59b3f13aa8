"""Webhook endpoints and their deliveries."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_UP = (
    """
    CREATE TABLE webhook_endpoints (
        endpoint_id UUID NOT NULL,
        owner_id TEXT NOT NULL,
        url TEXT NOT NULL,
        events TEXT[] NOT NULL,
        description TEXT NOT NULL,
        secret BYTEA NOT NULL,
        previous_secret BYTEA,
        previous_secret_expires_at TIMESTAMP WITH TIME ZONE,
        disabled BOOLEAN NOT NULL,
        disabled_reason TEXT NOT NULL,
        consecutive_failures INTEGER NOT NULL,
        failing_since TIMESTAMP WITH TIME ZONE,
        last_success_at TIMESTAMP WITH TIME ZONE,
        struggling BOOLEAN NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_webhook_endpoints PRIMARY KEY (endpoint_id),
        CONSTRAINT uq_webhook_endpoints_owner_id_url UNIQUE (owner_id, url)
    )
    """,
    """
    CREATE TABLE webhook_deliveries (
        delivery_id UUID NOT NULL,
        endpoint_id UUID NOT NULL,
        event TEXT NOT NULL,
        subject_id TEXT NOT NULL,
        payload TEXT NOT NULL,
        status TEXT NOT NULL,
        attempt_count INTEGER NOT NULL,
        tries SMALLINT NOT NULL,
        first_tried_at TIMESTAMP WITH TIME ZONE,
        next_attempt_at TIMESTAMP WITH TIME ZONE,
        completed_at TIMESTAMP WITH TIME ZONE,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        leased_until TIMESTAMP WITH TIME ZONE,
        claims BIGINT DEFAULT 0 NOT NULL,
        CONSTRAINT pk_webhook_deliveries PRIMARY KEY (delivery_id),
        CONSTRAINT fk_webhook_deliveries_endpoint_id_webhook_endpoints
            FOREIGN KEY (endpoint_id) REFERENCES webhook_endpoints (endpoint_id) ON DELETE CASCADE,
        CONSTRAINT ck_webhook_deliveries_status CHECK (status IN ('pending', 'delivered', 'failed'))
    )
    """,
    "CREATE INDEX ix_webhook_deliveries_endpoint ON webhook_deliveries (endpoint_id, delivery_id DESC)",
    """
    CREATE INDEX ix_webhook_deliveries_due ON webhook_deliveries (endpoint_id, next_attempt_at)
        WHERE next_attempt_at IS NOT NULL
    """,
    "CREATE INDEX ix_webhook_deliveries_leased ON webhook_deliveries (endpoint_id) WHERE leased_until IS NOT NULL",
    "CREATE INDEX ix_webhook_deliveries_created ON webhook_deliveries (created_at)",
    """
    CREATE TABLE webhook_attempts (
        delivery_id UUID NOT NULL,
        number INTEGER NOT NULL,
        attempted_at TIMESTAMP WITH TIME ZONE NOT NULL,
        http_status SMALLINT NOT NULL,
        error TEXT NOT NULL,
        duration_ms INTEGER NOT NULL,
        CONSTRAINT pk_webhook_attempts PRIMARY KEY (delivery_id, number),
        CONSTRAINT fk_webhook_attempts_delivery_id_webhook_deliveries
            FOREIGN KEY (delivery_id) REFERENCES webhook_deliveries (delivery_id) ON DELETE CASCADE
    )
    """,
)
_DOWN = (
    "DROP TABLE webhook_attempts",
    "DROP TABLE webhook_deliveries",
    "DROP TABLE webhook_endpoints",
)


def upgrade() -> None:
    """Add everything."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Take everything away."""
    for statement in _DOWN:
        op.execute(statement)

"""The audit trail, and accounts that are being erased."""

from alembic import op

revision = "0006"
down_revision = "0005"

_UP = (
    """
    CREATE TABLE erasures (
        erasure_id   uuid        CONSTRAINT pk_erasures PRIMARY KEY,
        user_id      uuid        NOT NULL CONSTRAINT uq_erasures_user_id UNIQUE,
        requested_at timestamptz NOT NULL,
        completed_at timestamptz
    )
    """,
    "CREATE INDEX ix_erasures_open ON erasures (requested_at) WHERE completed_at IS NULL",
    """
    CREATE TABLE erasure_services (
        erasure_id      uuid NOT NULL
                        CONSTRAINT fk_erasure_services_erasure_id_erasures REFERENCES erasures ON DELETE CASCADE,
        service         text NOT NULL,
        position        integer NOT NULL,
        acknowledged_at timestamptz,
        CONSTRAINT pk_erasure_services PRIMARY KEY (erasure_id, service)
    )
    """,
    """
    CREATE TABLE audit_entries (
        entry_id       uuid        CONSTRAINT pk_audit_entries PRIMARY KEY,
        occurred_at    timestamptz NOT NULL,
        service        text        NOT NULL,
        action         text        NOT NULL,
        outcome        text        NOT NULL,
        caller_kind    text        NOT NULL CONSTRAINT ck_audit_entries_caller_kind
                                   CHECK (caller_kind IN ('anonymous', 'user', 'service', 'system')),
        caller_id      text        NOT NULL,
        caller_role    text        NOT NULL,
        session_id     text        NOT NULL,
        api_key_id     text        NOT NULL,
        client_address text        NOT NULL,
        request_id     text        NOT NULL,
        resources      jsonb       NOT NULL,
        resource_ids   text[]      NOT NULL
    )
    """,
    # Ids sort by time, so every list walks an index from its newest end.
    "CREATE INDEX ix_audit_entries_caller ON audit_entries (caller_id, entry_id)",
    "CREATE INDEX ix_audit_entries_action ON audit_entries (action, entry_id)",
    "CREATE INDEX ix_audit_entries_outcome ON audit_entries (outcome, entry_id)",
    "CREATE INDEX ix_audit_entries_resource ON audit_entries USING gin (resource_ids)",
    # Entries are only ever added. What a change may do is said here, not where it is asked for: take the address and
    # the request id, which a client may choose, from what somebody did who was erased.
    """
    CREATE FUNCTION audit_entries_are_final() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            IF OLD.occurred_at < now() - make_interval(days => 30)
               AND OLD.occurred_at < nullif(current_setting('t2m.audit_purge_before', true), '')::timestamptz THEN
                RETURN OLD;
            END IF;
        ELSIF TG_OP = 'UPDATE' THEN
            IF NEW.client_address = '' AND NEW.request_id = ''
               AND (to_jsonb(NEW) - ARRAY['client_address', 'request_id'])
                 = (to_jsonb(OLD) - ARRAY['client_address', 'request_id'])
               AND EXISTS (SELECT FROM erasures
                           WHERE user_id::text = OLD.caller_id
                              OR OLD.caller_kind IN ('anonymous', 'system')
                                 AND user_id::text = OLD.resources ->> 'user_id') THEN
                RETURN NEW;
            END IF;
        END IF;
        RAISE EXCEPTION 'entries of the audit trail are only ever added';
    END $$
    """,
    """
    CREATE TRIGGER audit_entries_final BEFORE UPDATE OR DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION audit_entries_are_final()
    """,
    """
    CREATE TRIGGER audit_entries_never_truncated BEFORE TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_are_final()
    """,
    # The one way to delete: what is older than it is kept, and never what is younger than 30 days.
    """
    CREATE FUNCTION purge_audit_entries(kept interval, most integer) RETURNS bigint LANGUAGE plpgsql AS $$
    DECLARE
        deleted bigint;
    BEGIN
        PERFORM set_config('t2m.audit_purge_before', (now() - kept)::text, true);
        DELETE FROM audit_entries WHERE entry_id IN (
            SELECT entry_id FROM audit_entries
            WHERE occurred_at < now() - greatest(kept, make_interval(days => 30)) ORDER BY entry_id LIMIT most
        );
        GET DIAGNOSTICS deleted = ROW_COUNT;
        PERFORM set_config('t2m.audit_purge_before', '', true);
        RETURN deleted;
    END $$
    """,
)
_DOWN = (
    "DROP FUNCTION purge_audit_entries(interval, integer)",
    "DROP TABLE audit_entries",
    "DROP FUNCTION audit_entries_are_final()",
    "DROP TABLE erasure_services",
    "DROP TABLE erasures",
)


def upgrade() -> None:
    """Add everything."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Take everything away."""
    for statement in _DOWN:
        op.execute(statement)

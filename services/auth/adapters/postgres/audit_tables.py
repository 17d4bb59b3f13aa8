"""The tables of the audit trail and of erasures. Triggers of the migration refuse to change or delete entries."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Integer, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from services.auth.adapters.postgres.tables import META

_TIME = DateTime(timezone=True)

AUDIT_ENTRIES = Table(
    "audit_entries",
    META,
    Column("entry_id", Uuid(as_uuid=True), primary_key=True),
    Column("occurred_at", _TIME, nullable=False),
    *(
        Column(name, Text, nullable=False)
        for name in (
            "service",
            "action",
            "outcome",
            "caller_kind",
            "caller_id",
            "caller_role",
            "session_id",
            "api_key_id",
            "client_address",
            "request_id",
        )
    ),
    Column("resources", JSONB, nullable=False),
    Column("resource_ids", ARRAY(Text), nullable=False),
)

ERASURES = Table(
    "erasures",
    META,
    Column("erasure_id", Uuid(as_uuid=True), primary_key=True),
    Column("user_id", Uuid(as_uuid=True), nullable=False, unique=True),
    Column("requested_at", _TIME, nullable=False),
    Column("completed_at", _TIME),
)

ERASURE_SERVICES = Table(
    "erasure_services",
    META,
    Column("erasure_id", Uuid(as_uuid=True), primary_key=True),
    Column("service", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("acknowledged_at", _TIME),
)

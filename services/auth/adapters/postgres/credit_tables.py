"""The tables of credits: balances, reservations, and the ledger with double entries."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, ForeignKey, Identity, Table, Text, Uuid

from services.auth.adapters.postgres.tables import META, USERS

_TIME = DateTime(timezone=True)

CREDIT_ACCOUNTS = Table(
    "credit_accounts",
    META,
    Column("user_id", Uuid(as_uuid=True), ForeignKey(USERS.c.user_id, ondelete="CASCADE"), primary_key=True),
    Column("available", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("spent", BigInteger, nullable=False),
)
CREDIT_RESERVATIONS = Table(
    "credit_reservations",
    META,
    Column("job_id", Uuid(as_uuid=True), primary_key=True),
    Column("user_id", Uuid(as_uuid=True), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", _TIME, nullable=False),
    Column("expires_at", _TIME),
)
CREDIT_ENTRIES = Table(
    "credit_entries",
    META,
    Column("entry_id", BigInteger, Identity(always=True), primary_key=True),
    Column("transaction_id", Uuid(as_uuid=True), nullable=False),
    Column("user_id", Uuid(as_uuid=True), nullable=False),
    Column("book", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("created_at", _TIME, nullable=False),
)
CREDIT_GRANTS = Table(
    "credit_grants",
    META,
    Column("request_id", Text, primary_key=True),
    Column("user_id", Uuid(as_uuid=True), nullable=False),
    Column("amount", BigInteger, nullable=False),
)

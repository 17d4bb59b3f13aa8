"""The tables of billing, column by column the fields of the domain."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Integer, Table, Text, Uuid

from services.auth.adapters.postgres.tables import META

_TIME = DateTime(timezone=True)
_ID = Uuid(as_uuid=False)

SUBSCRIPTIONS = Table(
    "subscriptions",
    META,
    Column("subscription_id", _ID, primary_key=True),
    Column("user_id", _ID, nullable=False),
    Column("plan", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("anchor", _TIME, nullable=False),
    Column("anchor_index", Integer, nullable=False),
    Column("period_index", Integer, nullable=False),
    Column("period_start", _TIME, nullable=False),
    Column("period_end", _TIME, nullable=False),
    Column("period_credits", BigInteger, nullable=False),
    Column("credits_since", _TIME),
    Column("next_plan", Text, nullable=False),
    Column("cancel_at_period_end", Boolean, nullable=False),
    Column("created_at", _TIME, nullable=False),
    Column("due_at", _TIME),
    Column("ended_at", _TIME),
)
CHARGES = Table(
    "charges",
    META,
    Column("charge_id", _ID, primary_key=True),
    Column("subscription_id", _ID, nullable=False),
    Column("user_id", _ID, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("plan", Text, nullable=False),
    Column("period_index", Integer, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("credits", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("present", Boolean, nullable=False),
    Column("next_attempt_at", _TIME),
    Column("claimed_until", _TIME),
    Column("reference", Text, nullable=False),
    Column("page_url", Text, nullable=False),
    Column("failure", Text, nullable=False),
    Column("created_at", _TIME, nullable=False),
    Column("settled_at", _TIME),
)
CUSTOMERS = Table(
    "billing_customers",
    META,
    Column("user_id", _ID, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("customer_id", Text, nullable=False),
)
REQUESTS = Table(
    "billing_requests",
    META,
    Column("user_id", _ID, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("created_at", _TIME, nullable=False),
)
EVENTS = Table(
    "billing_events",
    META,
    Column("event_id", Text, primary_key=True),
    Column("created_at", _TIME, nullable=False),
)

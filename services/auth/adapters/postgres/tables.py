"""The tables of auth's database, as `migrations` makes them."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, ForeignKey, Integer, LargeBinary, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY

from services.runtime.db import metadata

META = metadata()
_TIME = DateTime(timezone=True)
_ID = Uuid(as_uuid=True)

USERS = Table(
    "users",
    META,
    Column("user_id", _ID, primary_key=True),
    Column("email", Text, unique=True),
    Column("display_name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("password_hash", Text),
    Column("plan", Text, nullable=False, server_default="free"),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME, nullable=False),
    Column("verified_at", _TIME),
)

SESSIONS = Table(
    "sessions",
    META,
    Column("session_id", _ID, primary_key=True),
    Column("user_id", _ID, ForeignKey(USERS.c.user_id, ondelete="CASCADE"), nullable=False),
    Column("created_at", _TIME, nullable=False),
    Column("revoked_at", _TIME),
    Column("last_used_at", _TIME),
    Column("client_address", Text, nullable=False),
    Column("client_agent", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("rotated_at", _TIME),
    Column("siblings", Integer, nullable=False),
)

REFRESH_TOKENS = Table(
    "refresh_tokens",
    META,
    Column("digest", LargeBinary, primary_key=True),
    Column("session_id", _ID, ForeignKey(SESSIONS.c.session_id, ondelete="CASCADE"), nullable=False),
    Column("issued_at", _TIME, nullable=False),
    Column("expires_at", _TIME, nullable=False),
    Column("used_at", _TIME),
    Column("generation", Integer, nullable=False),
)

API_KEYS = Table(
    "api_keys",
    META,
    Column("api_key_id", Text, primary_key=True),
    Column("user_id", _ID, ForeignKey(USERS.c.user_id, ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("created_at", _TIME, nullable=False),
    Column("expires_at", _TIME),
    Column("revoked_at", _TIME),
    Column("last_used_at", _TIME),
)

"""The tables around accounts: what becomes one, what it likes, what is sent to it, who failed to log in."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, ForeignKey, Integer, LargeBinary, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from services.auth.adapters.postgres.tables import META, USERS

_TIME = DateTime(timezone=True)
_ID = Uuid(as_uuid=True)

USER_PREFERENCES = Table(
    "user_preferences",
    META,
    Column("user_id", _ID, ForeignKey(USERS.c.user_id, ondelete="CASCADE"), primary_key=True),
    Column("data", JSONB, nullable=False),
    Column("updated_at", _TIME, nullable=False),
)

REGISTRATIONS = Table(
    "registrations",
    META,
    Column("registration_id", _ID, primary_key=True),
    Column("email", Text, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("created_at", _TIME, nullable=False),
    Column("expires_at", _TIME, nullable=False),
    Column("user_id", _ID, ForeignKey(USERS.c.user_id, ondelete="CASCADE")),
)

EMAIL_TOKENS = Table(
    "email_tokens",
    META,
    Column("digest", LargeBinary, primary_key=True),
    Column("purpose", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("registration_id", _ID, ForeignKey(REGISTRATIONS.c.registration_id, ondelete="CASCADE")),
    Column("user_id", _ID, ForeignKey(USERS.c.user_id, ondelete="CASCADE")),
    Column("expires_at", _TIME, nullable=False),
    Column("used_at", _TIME),
)

MAILS = Table(
    "mails",
    META,
    Column("mail_id", _ID, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("user_id", _ID, ForeignKey(USERS.c.user_id, ondelete="CASCADE")),
    Column("registration_id", _ID),
    Column("about", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", _TIME, nullable=False),
    Column("created_at", _TIME, nullable=False),
    Column("ended_at", _TIME),
    Column("error", Text, nullable=False),
)

LOGIN_ATTEMPTS = Table(
    "login_attempts",
    META,
    Column("key", LargeBinary, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("blocked_until", _TIME),
    Column("updated_at", _TIME, nullable=False),
)

KNOWN_CLIENTS = Table(
    "known_clients",
    META,
    Column("key", LargeBinary, primary_key=True),
    Column("seen_at", _TIME, nullable=False),
)

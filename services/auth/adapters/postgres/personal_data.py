"""Where auth keeps what of a user: one line for each table, which export and erasure both go by.

A test compares this with the tables that the migrations make, so a new table cannot be forgotten here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

_OWN = "t.user_id = :user_id"
_ADDRESS = "(SELECT email FROM users WHERE user_id = :user_id)"


class Fate(Enum):
    """What an erasure does to the rows of a user."""

    AT_ONCE = "at once"
    """Deleted in the transaction that begins it."""
    AT_THE_END = "at the end"
    """Deleted once all services have purged theirs: they need it for that."""
    KEPT = "kept"
    """Stays, under a random id that names nobody any more."""


@dataclass(frozen=True, slots=True)
class PersonalTable:
    """A table with rows of users. `rows` is the condition, in SQL, on a row `t`."""

    table: str
    fate: Fate
    section: str = ""
    """Its name in an export; empty for what tells a user nothing."""
    hidden: tuple[str, ...] = ()
    """Columns that no export shows: digests of secrets."""
    rows: str = _OWN
    order: str = "t.created_at"
    blanked: tuple[str, ...] = ()
    """Texts that an erasure empties in rows that stay."""
    shown: str = ""
    """What an export shows of a row, as JSON, where that is not all columns but the hidden ones."""


_ABOUT_ME = "(t.caller_id = (:user_id)::text OR t.resource_ids @> ARRAY[(:user_id)::text])"
_TOLD = "t.caller_id = (:user_id)::text OR t.caller_kind IN ('system', 'anonymous')"
_OTHERS = "'{caller_id,session_id,api_key_id,client_address,request_id}'::text[]"

PERSONAL = (
    PersonalTable("email_tokens", Fate.AT_ONCE, rows=f"t.user_id = :user_id OR t.email = {_ADDRESS}", order="1"),
    PersonalTable("mails", Fate.AT_ONCE, "mails", rows=f"t.user_id = :user_id OR t.recipient = {_ADDRESS}"),
    PersonalTable(
        "registrations",
        Fate.AT_ONCE,
        "registrations",
        ("password_hash",),
        rows=f"t.user_id = :user_id OR t.email = {_ADDRESS}",
    ),
    PersonalTable(
        "refresh_tokens",
        Fate.AT_ONCE,
        rows="t.session_id IN (SELECT session_id FROM sessions WHERE user_id = :user_id)",
        order="1",
    ),
    PersonalTable("sessions", Fate.AT_ONCE, "sessions"),
    PersonalTable("api_keys", Fate.AT_ONCE, "api_keys", ("digest",)),
    PersonalTable("user_preferences", Fate.AT_ONCE, "preferences", order="1"),
    PersonalTable("user_identities", Fate.AT_ONCE, "identities"),
    PersonalTable("billing_requests", Fate.AT_THE_END, "billing_requests", ("fingerprint",)),
    PersonalTable("billing_customers", Fate.AT_THE_END, "billing_customers", order="1"),
    PersonalTable("charges", Fate.KEPT, "charges", ("claimed_until",), blanked=("page_url",)),
    PersonalTable("subscriptions", Fate.KEPT, "subscriptions"),
    PersonalTable("credit_reservations", Fate.KEPT, "credit_reservations"),
    PersonalTable("credit_entries", Fate.KEPT, "credit_ledger", order="t.entry_id"),
    PersonalTable("credit_grants", Fate.KEPT, order="1"),
    PersonalTable("credit_accounts", Fate.AT_THE_END, "credits", order="1"),
    PersonalTable(
        "audit_entries",
        Fate.KEPT,
        "audit",
        ("resource_ids",),
        _ABOUT_ME,
        "t.entry_id",
        shown=f"CASE WHEN {_TOLD} THEN to_jsonb(t) - 'resource_ids' ELSE to_jsonb(t) - 'resource_ids' - {_OTHERS} END",
    ),
    PersonalTable("erasures", Fate.KEPT, order="1"),
    PersonalTable("users", Fate.AT_THE_END, "profile", ("password_hash",)),
)
"""In the order in which rows are deleted: what refers to others before these."""

IMPERSONAL = {
    "alembic_version": "the schema's revision",
    "erasure_services": "who has acknowledged an erasure",
    "revocations": "ids of sessions, keys and users whose tokens have ended, until those would have ended anyway",
    "billing_events": "ids of what the billing provider has told",
    "forgotten_identities": "digests of identities that were erased, so that older tokens make no new account",
    "login_attempts": "digests under a key of addresses, with counters; forgotten by age",
    "known_clients": "digests under a key, without content; forgotten by age",
}
"""Tables that have nothing of a user, and why."""

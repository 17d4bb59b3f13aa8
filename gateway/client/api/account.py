"""Who the caller is, how they log in, and what they may spend."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path

from gateway.client.api.jobs import query
from gateway.client.core.calls import Call, Flow, Task, delete, get, paged, post, quoted
from gateway.client.core.downloads import downloading
from gateway.client.core.effects import Request
from gateway.client.core.retries import Repeat
from gateway.client.models.account import (
    ApiKey,
    Charge,
    CreateApiKeyResponse,
    CreditBalance,
    CurrentSubscription,
    GetUsageResponse,
    LedgerEntry,
    ListApiKeysResponse,
    ListChargesResponse,
    ListLedgerEntriesResponse,
    Plan,
    Preferences,
    SessionInfo,
    SessionTokens,
    User,
)

USERS = "/api/v1/users"
KEYS = "/api/v1/api-keys"
SUBSCRIPTIONS = "/api/v1/subscriptions"


def open_session(email: str, password: str) -> Call[SessionTokens]:
    """The tokens of a new session. NotLoggedInError for a wrong address or password."""
    return post(f"{USERS}/login", {"email": email, "password": password}, Repeat.ONCE)


def close_session(refresh_token: str) -> Call[None]:
    """End the session of a refresh token."""
    call = post(f"{USERS}/logout", {"refresh_token": refresh_token}, Repeat.SAFE)
    return Call(call.request, call.repeat, lambda _: None)


def sessions() -> Call[list[SessionInfo]]:
    """Where the caller is logged in."""
    call = get(f"{USERS}/sessions")
    return Call(call.request, call.repeat, lambda answer: answer["sessions"])


def revoke_session(session_id: str) -> Call[None]:
    """End one of the caller's sessions."""
    return delete(f"{USERS}/sessions/{quoted(session_id)}")


def profile() -> Call[User]:
    """The caller's account."""
    return get(f"{USERS}/profile")


def update_profile(*, display_name: str) -> Call[User]:
    """Change what the caller is called."""
    return Call(Request("PUT", f"{USERS}/profile", json={"display_name": display_name}), Repeat.SAFE)


def preferences() -> Call[Preferences]:
    """What the caller likes."""
    return get(f"{USERS}/preferences")


def set_preferences(wanted: Preferences) -> Call[Preferences]:
    """Store all preferences."""
    return Call(Request("PUT", f"{USERS}/preferences", json=wanted), Repeat.SAFE)


def credits_left() -> Call[CreditBalance]:
    """The caller's credits."""
    return get(f"{USERS}/credits")


def create_key(name: str, *, scopes: Sequence[str] = (), expires_at: str = "") -> Call[CreateApiKeyResponse]:
    """A new API key; its secret is in this answer and never again. `scopes` such as `jobs:read`, all without."""
    body = {"name": name, "scopes": list(scopes), **({"expires_at": expires_at} if expires_at else {})}
    return post(KEYS, body, Repeat.ONCE)


def list_keys(page_token: str = "", page_size: int = 0) -> Call[ListApiKeysResponse]:
    """A page of the caller's API keys, newest first."""
    return get(KEYS, query({"page_size": page_size}, page_token))


def keys() -> Flow[ApiKey]:
    """All of the caller's API keys, newest first, without their secrets."""
    return paged(list_keys, "api_keys")


def revoke_key(api_key_id: str) -> Call[None]:
    """End a key, within seconds everywhere."""
    return delete(f"{KEYS}/{quoted(api_key_id)}")


def plans() -> Call[list[Plan]]:
    """What can be subscribed to, cheapest first."""
    call = get(f"{SUBSCRIPTIONS}/plans")
    return Call(call.request, call.repeat, lambda answer: answer["plans"])


def subscription() -> Call[CurrentSubscription]:
    """The plan that applies, and the subscription behind it."""
    return get(f"{SUBSCRIPTIONS}/current")


def subscribe(plan: str, *, idempotency_key: str = "") -> Call[CurrentSubscription]:
    """Subscribe to a plan; `subscription.charge.page_url` is where to pay."""
    body = {"plan": plan}
    return post(f"{SUBSCRIPTIONS}/subscribe", body, Repeat.ONCE, key=idempotency_key or uuid.uuid4().hex)


def cancel_subscription(*, idempotency_key: str = "") -> Call[CurrentSubscription]:
    """End the subscription with the paid period."""
    return post(f"{SUBSCRIPTIONS}/cancel", {}, Repeat.ONCE, key=idempotency_key or uuid.uuid4().hex)


def usage(start_date: str = "", end_date: str = "") -> Call[GetUsageResponse]:
    """What happened day by day (`YYYY-MM-DD`, both included); the last 30 days without dates."""
    return get(f"{SUBSCRIPTIONS}/usage", query({"start_date": start_date, "end_date": end_date}, ""))


def list_ledger(page_token: str = "", page_size: int = 0) -> Call[ListLedgerEntriesResponse]:
    """A page of the caller's ledger, newest first."""
    return get(f"{SUBSCRIPTIONS}/ledger", query({"page_size": page_size}, page_token))


def ledger() -> Flow[LedgerEntry]:
    """Every movement of the caller's credits, newest first."""
    return paged(list_ledger, "entries")


def list_charges(page_token: str = "", page_size: int = 0) -> Call[ListChargesResponse]:
    """A page of the caller's charges, newest first."""
    return get(f"{SUBSCRIPTIONS}/charges", query({"page_size": page_size}, page_token))


def charges() -> Flow[Charge]:
    """Everything the caller was charged, newest first."""
    return paged(list_charges, "charges")


def export(target: Path) -> Task[Path]:
    """Write a zip of everything that is kept of the caller."""
    request = Request("GET", f"{USERS}/me/export")
    return Task(lambda session: downloading(request, target, session))

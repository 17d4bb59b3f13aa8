"""Who the caller is, how they log in, and what they may spend."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from gateway.client.models.jobs import Quality

ChargePurpose = Literal["unspecified", "subscribe", "renew", "upgrade"]
ChargeState = Literal["unspecified", "due", "open", "paid", "void", "refunded"]
PlanPeriod = Literal["unspecified", "month", "year"]
Role = Literal["unspecified", "readonly", "user", "admin"]
SubscriptionState = Literal["unspecified", "incomplete", "active", "past_due"]


class User(TypedDict):
    """A person who may call t2m."""

    user_id: str
    email: str
    display_name: str
    role: Role
    created_at: str
    email_verified: bool
    has_password: bool


class MailNotifications(TypedDict):
    """Kinds of mail."""

    job_completed: bool
    job_failed: bool
    credits_low: bool


class Preferences(TypedDict):
    """What a person likes. The account keeps it for the clients, which fill their forms with it; no service changes
    an order by it.
    """

    quality: Quality
    theme: str
    narration: bool
    voice: str
    captions: bool
    language: str
    locale: str
    time_zone: str
    mail_notifications: NotRequired[MailNotifications]


class SessionTokens(TypedDict):
    """A pair of tokens."""

    access_token: str
    refresh_token: str
    token_type: str
    expires_at: str
    refresh_expires_at: str


class SessionInfo(TypedDict):
    """A session, without its tokens."""

    session_id: str
    created_at: str
    last_used_at: NotRequired[str]
    client_address: str
    user_agent: str
    current: bool


class ApiKey(TypedDict):
    """A key, without its secret."""

    api_key_id: str
    name: str
    scopes: list[str]
    created_at: str
    expires_at: NotRequired[str]
    revoked_at: NotRequired[str]
    last_used_at: NotRequired[str]


class CreateApiKeyResponse(TypedDict):
    """The new key."""

    api_key: ApiKey
    secret: str


class ListApiKeysResponse(TypedDict):
    """The caller's keys."""

    api_keys: list[ApiKey]
    next_page_token: str


class CreditBalance(TypedDict):
    """An account's credits."""

    available: int
    reserved: int
    spent: int
    metered: bool
    plan: str


class Plan(TypedDict):
    """A plan of the deployment."""

    name: str
    title: str
    price: int
    currency: str
    period: PlanPeriod
    credits: int
    rollover_credits: int
    metered: bool
    signup_credits: int
    in_flight: int
    pinned: int


class Charge(TypedDict):
    """An amount to be paid."""

    charge_id: str
    plan: str
    purpose: ChargePurpose
    amount: int
    currency: str
    state: ChargeState
    page_url: str
    failure: str
    created_at: str
    settled_at: NotRequired[str]
    credits: int


class Subscription(TypedDict):
    """A subscription."""

    subscription_id: str
    plan: str
    state: SubscriptionState
    period_start: NotRequired[str]
    period_end: NotRequired[str]
    cancel_at_period_end: bool
    next_plan: str
    created_at: str
    charge: NotRequired[Charge]


class CurrentSubscription(TypedDict):
    """What applies to a user."""

    plan: str
    subscription: NotRequired[Subscription]


class UsageDay(TypedDict):
    """What happened on a day."""

    date: str
    jobs_ordered: int
    jobs_completed: int
    credits_reserved: int
    credits_spent: int
    credits_released: int
    credits_refunded: int
    credits_granted: int
    credits_expired: int


class GetUsageResponse(TypedDict):
    """The days."""

    days: list[UsageDay]
    total: UsageDay


class LedgerEntry(TypedDict):
    """One side of a movement of credits."""

    entry_id: int
    transaction_id: str
    book: str
    amount: int
    kind: str
    job_id: str
    created_at: str


class ListLedgerEntriesResponse(TypedDict):
    """A page of the ledger."""

    entries: list[LedgerEntry]
    next_page_token: str


class ListChargesResponse(TypedDict):
    """A page of charges."""

    charges: list[Charge]
    next_page_token: str

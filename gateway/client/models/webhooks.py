"""Endpoints that are told what happened, and the deliveries to them."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

WebhookDeliveryStatus = Literal["unspecified", "pending", "delivered", "failed"]
WebhookEventType = Literal[
    "unspecified",
    "job_completed",
    "job_failed",
    "job_cancelled",
    "batch_ended",
    "endpoint_test",
]


class WebhookEndpoint(TypedDict):
    """Where a user wants to be told what happened (J8). Deliveries are POST requests signed by the Standard
    Webhooks specification: headers `webhook-id`, `webhook-timestamp` and `webhook-signature`; the id stays the same
    over retries, so a receiver can drop repeats by it.
    """

    endpoint_id: str
    owner_id: str
    url: str
    description: str
    events: list[WebhookEventType]
    disabled: bool
    disabled_reason: str
    consecutive_failures: int
    last_success_at: NotRequired[str]
    created_at: str
    updated_at: str
    previous_secret_expires_at: NotRequired[str]


class WebhookAttempt(TypedDict):
    """One try."""

    attempted_at: NotRequired[str]
    http_status: int
    error: str
    duration_ms: int


class WebhookDelivery(TypedDict):
    """One message to one endpoint."""

    delivery_id: str
    endpoint_id: str
    event: WebhookEventType
    subject_id: str
    status: WebhookDeliveryStatus
    attempt_count: int
    next_attempt_at: NotRequired[str]
    created_at: str
    completed_at: NotRequired[str]
    payload: str
    attempts: list[WebhookAttempt]


class CreateWebhookEndpointResponse(TypedDict):
    """The endpoint and its secret."""

    endpoint: WebhookEndpoint
    secret: str


class RotateWebhookSecretResponse(TypedDict):
    """The new secret."""

    secret: str
    endpoint: WebhookEndpoint


class ListWebhookDeliveriesResponse(TypedDict):
    """A page of deliveries."""

    deliveries: list[WebhookDelivery]
    next_page_token: str

"""Endpoints that are told what happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.client.api.jobs import query
from gateway.client.core.calls import Call, Flow, delete, get, paged, post, quoted
from gateway.client.core.effects import Request
from gateway.client.core.retries import Repeat
from gateway.client.models.webhooks import (
    CreateWebhookEndpointResponse,
    ListWebhookDeliveriesResponse,
    RotateWebhookSecretResponse,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEventType,
)

WEBHOOKS = "/api/v1/webhooks"


def create_webhook(
    url: str, *, events: Sequence[WebhookEventType] = (), description: str = ""
) -> Call[CreateWebhookEndpointResponse]:
    """Tell `url` (https) what happens; everything about jobs and batches without `events`. The answer has the secret
    by which the receiver verifies.
    """
    body = {"url": url, "events": list(events), "description": description}
    return post(WEBHOOKS, body, Repeat.ONCE)


def webhook(endpoint_id: str) -> Call[WebhookEndpoint]:
    """An endpoint, without its secret."""
    return get(f"{WEBHOOKS}/{quoted(endpoint_id)}")


def webhooks() -> Call[list[WebhookEndpoint]]:
    """The caller's endpoints, newest first; at most 20 exist."""
    call = get(WEBHOOKS)
    return Call(call.request, call.repeat, lambda answer: answer["endpoints"])


def update_webhook(
    endpoint_id: str,
    *,
    url: str | None = None,
    events: Sequence[WebhookEventType] | None = None,
    description: str | None = None,
    disabled: bool | None = None,
) -> Call[WebhookEndpoint]:
    """Change what is given."""
    changes: dict[str, Any] = {"url": url, "events": events, "description": description, "disabled": disabled}
    body = {name: value for name, value in changes.items() if value is not None}
    return Call(Request("PATCH", f"{WEBHOOKS}/{quoted(endpoint_id)}", json=body), Repeat.SAFE)


def delete_webhook(endpoint_id: str) -> Call[None]:
    """Remove an endpoint; what is pending is not sent."""
    return delete(f"{WEBHOOKS}/{quoted(endpoint_id)}")


def webhook_secret(endpoint_id: str) -> Call[str]:
    """The secret by which the receiver verifies."""
    call = get(f"{WEBHOOKS}/{quoted(endpoint_id)}/secret")
    return Call(call.request, call.repeat, lambda answer: str(answer["secret"]))


def rotate_webhook_secret(endpoint_id: str, overlap_s: int = 86400) -> Call[RotateWebhookSecretResponse]:
    """A new secret; deliveries are signed with both for `overlap_s` seconds."""
    return post(f"{WEBHOOKS}/{quoted(endpoint_id)}/rotate-secret", {"overlap": f"{overlap_s}s"}, Repeat.ONCE)


def try_webhook(endpoint_id: str) -> Call[WebhookDelivery]:
    """Send an `endpoint.test` message."""
    return post(f"{WEBHOOKS}/{quoted(endpoint_id)}/test", {}, Repeat.ONCE)


def list_deliveries(
    endpoint_id: str, page_token: str = "", *, page_size: int = 0, status: str = ""
) -> Call[ListWebhookDeliveriesResponse]:
    """A page of deliveries to an endpoint, newest first."""
    return get(
        f"{WEBHOOKS}/{quoted(endpoint_id)}/deliveries", query({"page_size": page_size, "status": status}, page_token)
    )


def deliveries(endpoint_id: str, *, status: str = "") -> Flow[WebhookDelivery]:
    """All deliveries to an endpoint, newest first."""
    return paged(lambda token: list_deliveries(endpoint_id, token, status=status), "deliveries")


def delivery(delivery_id: str) -> Call[WebhookDelivery]:
    """A delivery with its attempts."""
    return get(f"{WEBHOOKS}/deliveries/{quoted(delivery_id)}")


def redeliver(delivery_id: str) -> Call[WebhookDelivery]:
    """Send a delivery again, now, under the same id."""
    return post(f"{WEBHOOKS}/deliveries/{quoted(delivery_id)}/redeliver", {}, Repeat.ONCE)

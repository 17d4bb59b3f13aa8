"""Webhooks as protos."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from services.job.api.codec import stamp
from services.job.application.webhooks.endpoints import EndpointChange
from services.job.domain.errors import FieldsRefused
from services.job.domain.webhooks import Attempt, Delivery, DeliveryStatus, Endpoint, WebhookEvent
from t2m.job.v1 import webhook_pb2
from t2m.job.v1 import webhook_service_pb2 as pb

EVENTS: dict[WebhookEvent, Any] = {
    WebhookEvent.JOB_COMPLETED: webhook_pb2.WEBHOOK_EVENT_TYPE_JOB_COMPLETED,
    WebhookEvent.JOB_FAILED: webhook_pb2.WEBHOOK_EVENT_TYPE_JOB_FAILED,
    WebhookEvent.JOB_CANCELLED: webhook_pb2.WEBHOOK_EVENT_TYPE_JOB_CANCELLED,
    WebhookEvent.BATCH_ENDED: webhook_pb2.WEBHOOK_EVENT_TYPE_BATCH_ENDED,
    WebhookEvent.ENDPOINT_TEST: webhook_pb2.WEBHOOK_EVENT_TYPE_ENDPOINT_TEST,
}
STATUSES: dict[DeliveryStatus, Any] = {
    DeliveryStatus.PENDING: webhook_pb2.WEBHOOK_DELIVERY_STATUS_PENDING,
    DeliveryStatus.DELIVERED: webhook_pb2.WEBHOOK_DELIVERY_STATUS_DELIVERED,
    DeliveryStatus.FAILED: webhook_pb2.WEBHOOK_DELIVERY_STATUS_FAILED,
}
_EVENT_OF = {number: event for event, number in EVENTS.items()}
_STATUS_OF = {number: status for status, number in STATUSES.items()}


def events(numbers: Sequence[Any]) -> tuple[WebhookEvent, ...]:
    """Which events are asked for. Raises FieldsRefused for one that is not set."""
    unknown = [index for index, number in enumerate(numbers) if number not in _EVENT_OF]
    if unknown:
        raise FieldsRefused([(f"events[{index}]", "must be set") for index in unknown])
    return tuple(_EVENT_OF[number] for number in numbers)


def status(number: Any) -> DeliveryStatus | None:
    """Which deliveries are asked for; None for all."""
    return _STATUS_OF.get(number)


def change(request: pb.UpdateWebhookEndpointRequest) -> EndpointChange:
    """What is to be changed."""
    return EndpointChange(
        url=request.url if request.HasField("url") else None,
        events=events(request.events),
        description=request.description if request.HasField("description") else None,
        disabled=request.disabled if request.HasField("disabled") else None,
    )


def overlap(request: pb.RotateWebhookSecretRequest) -> timedelta | None:
    """How long the old secret is to sign too; None when that is not said. Raises FieldsRefused."""
    if not request.HasField("overlap"):
        return None
    try:
        return request.overlap.ToTimedelta()
    except (ValueError, OverflowError) as error:
        raise FieldsRefused([("overlap", "must be a duration")]) from error


def endpoint(source: Endpoint) -> webhook_pb2.WebhookEndpoint:
    """An endpoint, without its secrets."""
    return webhook_pb2.WebhookEndpoint(
        endpoint_id=source.endpoint_id,
        owner_id=source.owner_id,
        url=source.url,
        description=source.description,
        events=[EVENTS[event] for event in source.events],
        disabled=source.disabled,
        disabled_reason=source.disabled_reason,
        consecutive_failures=source.consecutive_failures,
        last_success_at=stamp(source.last_success_at),
        created_at=stamp(source.created_at),
        updated_at=stamp(source.updated_at),
        previous_secret_expires_at=stamp(source.previous_secret_expires_at),
    )


def delivery(source: Delivery) -> webhook_pb2.WebhookDelivery:
    """A delivery, with the attempts that were read with it."""
    return webhook_pb2.WebhookDelivery(
        delivery_id=source.delivery_id,
        endpoint_id=source.endpoint_id,
        event=EVENTS[source.event],
        subject_id=source.subject_id,
        status=STATUSES[source.status],
        attempt_count=source.attempt_count,
        next_attempt_at=stamp(source.next_attempt_at),
        created_at=stamp(source.created_at),
        completed_at=stamp(source.completed_at),
        payload=source.payload,
        attempts=[_attempt(attempt) for attempt in source.attempts],
    )


def _attempt(source: Attempt) -> webhook_pb2.WebhookAttempt:
    return webhook_pb2.WebhookAttempt(
        attempted_at=stamp(source.attempted_at),
        http_status=source.http_status,
        error=source.error,
        duration_ms=source.duration_ms,
    )

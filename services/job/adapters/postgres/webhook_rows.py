"""How endpoints, deliveries and attempts are kept in their rows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.job.adapters.postgres.webhook_tables import WEBHOOK_ATTEMPTS, WEBHOOK_DELIVERIES, WEBHOOK_ENDPOINTS
from services.job.domain.webhooks import Attempt, Delivery, DeliveryStatus, Endpoint, WebhookEvent

_ENDPOINTS, _DELIVERIES = WEBHOOK_ENDPOINTS.c, WEBHOOK_DELIVERIES.c
_FREE = {"leased_until": None}


def endpoint_values(endpoint: Endpoint) -> dict[str, Any]:
    """All columns of an endpoint."""
    values = {column.name: getattr(endpoint, column.name) for column in WEBHOOK_ENDPOINTS.c}
    return values | {"events": [event.value for event in endpoint.events]}


def endpoint_of(row: RowMapping) -> Endpoint:
    """The endpoint in a row."""
    values = {column.name: row[column] for column in WEBHOOK_ENDPOINTS.c}
    return Endpoint(
        **{**values, "endpoint_id": str(row[_ENDPOINTS.endpoint_id])}
        | {"events": tuple(WebhookEvent(event) for event in row[_ENDPOINTS.events])}
    )


def delivery_values(delivery: Delivery) -> dict[str, Any]:
    """All columns of a delivery, but those of its claim."""
    names = [name for name in WEBHOOK_DELIVERIES.c.keys() if name not in ("leased_until", "claims")]  # noqa: SIM118
    values = {name: getattr(delivery, name) for name in names}
    return values | {"event": delivery.event.value, "status": delivery.status.value}


def delivery_of(row: RowMapping) -> Delivery:
    """The delivery in a row, without its attempts."""
    return Delivery(
        delivery_id=str(row[_DELIVERIES.delivery_id]),
        endpoint_id=str(row[_DELIVERIES.endpoint_id]),
        event=WebhookEvent(row[_DELIVERIES.event]),
        subject_id=row[_DELIVERIES.subject_id],
        payload=row[_DELIVERIES.payload],
        created_at=row[_DELIVERIES.created_at],
        next_attempt_at=row[_DELIVERIES.next_attempt_at],
        status=DeliveryStatus(row[_DELIVERIES.status]),
        attempt_count=row[_DELIVERIES.attempt_count],
        tries=row[_DELIVERIES.tries],
        first_tried_at=row[_DELIVERIES.first_tried_at],
        completed_at=row[_DELIVERIES.completed_at],
    )


async def attempts_of(connection: AsyncConnection, delivery_id: str) -> list[Attempt]:
    """The attempts of a delivery, oldest first."""
    columns = WEBHOOK_ATTEMPTS.c
    query = (
        select(columns.attempted_at, columns.http_status, columns.error, columns.duration_ms)
        .where(columns.delivery_id == delivery_id)
        .order_by(columns.number)
    )
    return [Attempt(*row) for row in (await connection.execute(query)).all()]


async def lock_endpoint(connection: AsyncConnection, endpoint_id: str) -> Endpoint | None:
    """The endpoint under its lock. Deliveries are locked after it, never before."""
    query = select(WEBHOOK_ENDPOINTS).where(_ENDPOINTS.endpoint_id == endpoint_id).with_for_update(key_share=True)
    row = (await connection.execute(query)).mappings().first()
    return endpoint_of(row) if row else None


async def write_endpoint(connection: AsyncConnection, endpoint: Endpoint) -> None:
    """Store a changed endpoint; the caller holds its lock."""
    values = endpoint_values(endpoint)
    await connection.execute(
        update(WEBHOOK_ENDPOINTS).where(_ENDPOINTS.endpoint_id == endpoint.endpoint_id).values(values)
    )


async def write_settled(connection: AsyncConnection, delivery: Delivery) -> None:
    """Store an attempted delivery with its new attempts; nobody claims it any more."""
    statement = update(WEBHOOK_DELIVERIES).where(_DELIVERIES.delivery_id == delivery.delivery_id)
    await connection.execute(statement.values(delivery_values(delivery) | _FREE))
    first = delivery.attempt_count - len(delivery.attempts) + 1
    rows = [
        {
            "delivery_id": delivery.delivery_id,
            "number": number,
            "attempted_at": attempt.attempted_at,
            "http_status": attempt.http_status,
            "error": attempt.error,
            "duration_ms": attempt.duration_ms,
        }
        for number, attempt in enumerate(delivery.attempts, first)
    ]
    if rows:
        await connection.execute(insert(WEBHOOK_ATTEMPTS), rows)

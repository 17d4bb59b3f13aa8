"""Endpoints and the delivery log in Postgres."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime

from sqlalchemy import ColumnElement, delete, exists, func, insert, select, true, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.job.adapters.postgres.webhook_rows import (
    attempts_of,
    delivery_of,
    delivery_values,
    endpoint_of,
    endpoint_values,
    lock_endpoint,
    write_endpoint,
)
from services.job.adapters.postgres.webhook_tables import WEBHOOK_DELIVERIES, WEBHOOK_ENDPOINTS
from services.job.domain.errors import WebhookExists, WebhookLimitReached
from services.job.domain.webhooks import Delivery, DeliveryStatus, Endpoint

_ENDPOINTS, _DELIVERIES = WEBHOOK_ENDPOINTS.c, WEBHOOK_DELIVERIES.c
_OWNER_LOCK = 0x74326D_0006  # "t2m", 6
_UNIQUE_URL = "uq_webhook_endpoints_owner_id_url"


class PostgresEndpoints:
    """The `Endpoints` over Postgres."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def add(self, endpoint: Endpoint, limit: int) -> None:
        """Store a new endpoint; additions of one owner take turns, so that the limit holds."""
        owner_id = endpoint.owner_id
        async with self._engine.begin() as connection:
            lock = func.pg_advisory_xact_lock(func.hashtextextended(owner_id, _OWNER_LOCK))
            await connection.execute(select(lock))
            known = (await connection.execute(select(_ENDPOINTS.url).where(_ENDPOINTS.owner_id == owner_id))).scalars()
            urls = set(known)
            if endpoint.url in urls:
                raise WebhookExists
            if len(urls) >= limit:
                raise WebhookLimitReached(limit)
            with _url_conflicts():
                await connection.execute(insert(WEBHOOK_ENDPOINTS).values(endpoint_values(endpoint)))

    async def get(self, owner_id: str | None, endpoint_id: str) -> Endpoint | None:
        """The owner's endpoint; None for anybody's."""
        query = select(WEBHOOK_ENDPOINTS).where(_ENDPOINTS.endpoint_id == endpoint_id, _owned_by(owner_id))
        async with self._single.connect() as connection:
            row = (await connection.execute(query)).mappings().first()
        return endpoint_of(row) if row else None

    async def has_url(self, owner_id: str, url: str) -> bool:
        """Whether the owner has an endpoint with this URL."""
        query = select(exists().where(_ENDPOINTS.owner_id == owner_id, _ENDPOINTS.url == url))
        async with self._single.connect() as connection:
            return bool((await connection.execute(query)).scalar_one())

    async def of_owner(self, owner_id: str) -> list[Endpoint]:
        """All of the owner's, newest first."""
        query = select(WEBHOOK_ENDPOINTS).where(_ENDPOINTS.owner_id == owner_id)
        query = query.order_by(_ENDPOINTS.created_at.desc(), _ENDPOINTS.endpoint_id.desc())
        async with self._single.connect() as connection:
            return [endpoint_of(row) for row in (await connection.execute(query)).mappings()]

    @asynccontextmanager
    async def change(self, owner_id: str, endpoint_id: str, now: datetime) -> AsyncIterator[Endpoint | None]:
        """The endpoint under its lock; see `Endpoints.change`."""
        async with self._engine.begin() as connection:
            endpoint = await lock_endpoint(connection, endpoint_id)
            if endpoint is None or endpoint.owner_id != owner_id:
                yield None
                return
            was_disabled = endpoint.disabled
            yield endpoint
            with _url_conflicts():
                await write_endpoint(connection, endpoint)
            if endpoint.disabled is not was_disabled:
                await set_due(connection, endpoint_id, None if endpoint.disabled else now)

    async def remove(self, owner_id: str, endpoint_id: str) -> bool:
        """Remove the endpoint; its deliveries go with it."""
        statement = (
            delete(WEBHOOK_ENDPOINTS)
            .where(_ENDPOINTS.endpoint_id == endpoint_id, _ENDPOINTS.owner_id == owner_id)
            .returning(_ENDPOINTS.endpoint_id)
        )
        async with self._single.connect() as connection:
            return (await connection.execute(statement)).first() is not None


class PostgresDeliveries:
    """The `Deliveries` over Postgres."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def add(self, delivery: Delivery) -> bool:
        """Store a new delivery, unless its endpoint is gone."""
        async with self._engine.begin() as connection:
            there = select(_ENDPOINTS.endpoint_id).where(_ENDPOINTS.endpoint_id == delivery.endpoint_id)
            if (await connection.execute(there.with_for_update(read=True, key_share=True))).first() is None:
                return False
            await connection.execute(insert(WEBHOOK_DELIVERIES).values(delivery_values(delivery)))
        return True

    async def get(self, owner_id: str | None, delivery_id: str) -> Delivery | None:
        """The delivery with its attempts; of anybody's endpoint for None."""
        query = (
            select(WEBHOOK_DELIVERIES)
            .join(WEBHOOK_ENDPOINTS, _ENDPOINTS.endpoint_id == _DELIVERIES.endpoint_id)
            .where(_DELIVERIES.delivery_id == delivery_id, _owned_by(owner_id))
        )
        async with self._single.connect() as connection:
            row = (await connection.execute(query)).mappings().first()
            if row is None:
                return None
            found = delivery_of(row)
            found.attempts = await attempts_of(connection, delivery_id)
        return found

    async def page(self, endpoint_id: str, status: DeliveryStatus | None, before: str, limit: int) -> list[Delivery]:
        """A page of the log. Ids are UUIDv7: their order is that of time."""
        query = select(WEBHOOK_DELIVERIES).where(_DELIVERIES.endpoint_id == endpoint_id)
        if status is not None:
            query = query.where(_DELIVERIES.status == status.value)
        if before:
            query = query.where(_DELIVERIES.delivery_id < before)
        query = query.order_by(_DELIVERIES.delivery_id.desc()).limit(limit)
        async with self._single.connect() as connection:
            return [delivery_of(row) for row in (await connection.execute(query)).mappings()]

    @asynccontextmanager
    async def change(self, owner_id: str, delivery_id: str) -> AsyncIterator[tuple[Endpoint, Delivery] | None]:
        """A delivery under its lock; its claim, if it has one, is left to who holds it."""
        async with self._engine.begin() as connection:
            found = await lock_both(connection, delivery_id)
            if found is None or found[0].owner_id != owner_id:
                yield None
                return
            yield found
            statement = update(WEBHOOK_DELIVERIES).where(_DELIVERIES.delivery_id == delivery_id)
            await connection.execute(statement.values(delivery_values(found[1])))

    async def purge(self, before: datetime, limit: int) -> int:
        """Forget old deliveries."""
        old = select(_DELIVERIES.delivery_id).where(_DELIVERIES.created_at < before).limit(limit)
        old = old.with_for_update(skip_locked=True)
        statement = (
            delete(WEBHOOK_DELIVERIES).where(_DELIVERIES.delivery_id.in_(old)).returning(_DELIVERIES.delivery_id)
        )
        async with self._single.connect() as connection:
            return len((await connection.execute(statement)).all())


async def lock_both(
    connection: AsyncConnection, delivery_id: str, claim: int | None = None
) -> tuple[Endpoint, Delivery] | None:
    """A delivery and its endpoint under their locks, the endpoint's first; None when either is gone, or the delivery is
    not held by this claim any more.
    """
    query = select(_DELIVERIES.endpoint_id).where(_DELIVERIES.delivery_id == delivery_id)
    endpoint_id = (await connection.execute(query)).scalar_one_or_none()
    endpoint = await lock_endpoint(connection, str(endpoint_id)) if endpoint_id else None
    if endpoint is None:
        return None
    locked = select(WEBHOOK_DELIVERIES).where(_DELIVERIES.delivery_id == delivery_id)
    if claim is not None:
        locked = locked.where(_DELIVERIES.claims == claim, _DELIVERIES.leased_until.is_not(None))
    row = (await connection.execute(locked.with_for_update())).mappings().first()
    return (endpoint, delivery_of(row)) if row else None


async def set_due(connection: AsyncConnection, endpoint_id: str, at: datetime | None) -> None:
    """Hold what is pending for an endpoint, or make it due."""
    statement = (
        update(WEBHOOK_DELIVERIES)
        .where(_DELIVERIES.endpoint_id == endpoint_id, _DELIVERIES.status == DeliveryStatus.PENDING.value)
        .values(next_attempt_at=at)
    )
    await connection.execute(statement)


def _owned_by(owner_id: str | None) -> ColumnElement[bool]:
    """By this owner; by anybody for None."""
    return true() if owner_id is None else _ENDPOINTS.owner_id == owner_id


@contextmanager
def _url_conflicts() -> Iterator[None]:
    """Turns a violation of the unique URL into WebhookExists."""
    try:
        yield
    except IntegrityError as error:
        if _UNIQUE_URL in str(error.orig):
            raise WebhookExists from error
        raise

"""Deliveries on their way, in Postgres: put there with what they tell of, taken by leases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from sqlalchemy import DateTime, Interval, any_, bindparam, func, insert, literal, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.job.adapters.postgres.webhook_rows import delivery_values, write_endpoint, write_settled
from services.job.adapters.postgres.webhook_tables import WEBHOOK_DELIVERIES, WEBHOOK_ENDPOINTS
from services.job.adapters.postgres.webhooks import lock_both, set_due
from services.job.application.ports import Signal
from services.job.application.webhooks.payloads import EVENT_OF, job_data, payload
from services.job.application.webhooks.ports import Claim, Room
from services.job.domain.events import StatusChanged
from services.job.domain.job import Job
from services.job.domain.webhooks import Delivery, Endpoint, WebhookEvent

_ENDPOINTS, _DELIVERIES = WEBHOOK_ENDPOINTS.c, WEBHOOK_DELIVERIES.c
_CLAIM_LOCK = 0x74326D_0007  # "t2m", 7

_CLAIM = text(
    # Endpoints with something to come by a loose index scan, then the first few of each that are due, less what is in
    # flight to it: an endpoint with ten thousand deliveries costs and gets no more than one with two.
    """
    WITH RECURSIVE awaiting(endpoint_id) AS (
        (SELECT endpoint_id FROM webhook_deliveries WHERE next_attempt_at IS NOT NULL ORDER BY endpoint_id LIMIT 1)
        UNION ALL
        SELECT (SELECT d.endpoint_id FROM webhook_deliveries d
                WHERE d.next_attempt_at IS NOT NULL AND d.endpoint_id > a.endpoint_id ORDER BY d.endpoint_id LIMIT 1)
        FROM awaiting a WHERE a.endpoint_id IS NOT NULL
    ), ready AS (
        SELECT first.delivery_id, first.next_attempt_at, e.struggling,
               row_number() OVER (PARTITION BY e.struggling ORDER BY first.next_attempt_at, first.delivery_id) AS place
        FROM awaiting a
        JOIN webhook_endpoints e ON e.endpoint_id = a.endpoint_id AND NOT e.disabled
        CROSS JOIN LATERAL (
            SELECT count(*) AS deliveries FROM webhook_deliveries d
            WHERE d.endpoint_id = a.endpoint_id AND d.leased_until > clock_timestamp()
        ) flying
        CROSS JOIN LATERAL (
            SELECT d.delivery_id, d.next_attempt_at FROM webhook_deliveries d
            WHERE d.endpoint_id = a.endpoint_id AND d.next_attempt_at <= :now
              AND (d.leased_until IS NULL OR d.leased_until <= clock_timestamp())
            ORDER BY d.next_attempt_at
            LIMIT greatest(:per_endpoint - flying.deliveries, 0)
        ) first
    ), chosen AS (
        SELECT delivery_id FROM ready WHERE NOT struggling OR place <= :struggling
        ORDER BY next_attempt_at, delivery_id LIMIT :in_all
    ), locked AS (
        -- Asked again of the row as it is now, in case it changed since it was chosen. Whoever changes it is not waited
        -- for: this transaction holds many rows, and could wait in a circle.
        SELECT d.delivery_id FROM webhook_deliveries d
        WHERE d.delivery_id IN (SELECT delivery_id FROM chosen) AND d.next_attempt_at <= :now
          AND (d.leased_until IS NULL OR d.leased_until <= clock_timestamp())
        FOR UPDATE SKIP LOCKED
    )
    UPDATE webhook_deliveries d
    SET leased_until = clock_timestamp() + :lease, claims = d.claims + 1
    FROM webhook_endpoints e
    WHERE d.delivery_id IN (SELECT delivery_id FROM locked) AND e.endpoint_id = d.endpoint_id
    RETURNING d.delivery_id, d.claims, d.endpoint_id, d.event, d.payload, d.next_attempt_at,
              e.url, e.struggling, e.secret,
              CASE WHEN e.previous_secret_expires_at > :now THEN e.previous_secret END AS previous_secret
    """
).bindparams(bindparam("now", type_=DateTime(timezone=True)), bindparam("lease", type_=Interval()))


class PostgresDeliveryQueue:
    """The `DeliveryQueue` over Postgres. Leases go by its clock: processes need not agree on the time."""

    def __init__(self, engine: AsyncEngine, lease: timedelta = timedelta(seconds=30)) -> None:
        self._engine = engine
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._lease = lease

    async def claim(self, now: datetime, room: Room) -> list[Claim]:
        """Take due deliveries. Processes take turns, so that the bound of an endpoint holds over all of them."""
        values = {
            "now": now,
            "lease": self._lease,
            "in_all": room.in_all,
            "struggling": room.struggling,
            "per_endpoint": room.per_endpoint,
        }
        async with self._engine.begin() as connection:
            await connection.execute(select(func.pg_advisory_xact_lock(_CLAIM_LOCK)))
            rows = (await connection.execute(_CLAIM, values)).all()
        rows = sorted(rows, key=lambda row: row.next_attempt_at)
        return [
            Claim(
                delivery_id=str(row.delivery_id),
                number=row.claims,
                endpoint_id=str(row.endpoint_id),
                url=row.url,
                event=WebhookEvent(row.event),
                payload=row.payload,
                secret=bytes(row.secret),
                previous_secret=bytes(row.previous_secret) if row.previous_secret else None,
                struggling=row.struggling,
            )
            for row in rows
        ]

    @asynccontextmanager
    async def settling(self, claim: Claim) -> AsyncIterator[tuple[Endpoint, Delivery] | None]:
        """The endpoint and the delivery under their locks; see `DeliveryQueue.settling`."""
        async with self._engine.begin() as connection:
            found = await lock_both(connection, claim.delivery_id, claim.number)
            was_disabled = found is not None and found[0].disabled
            yield found
            if found is None:
                return
            endpoint, delivery = found
            await write_endpoint(connection, endpoint)
            await write_settled(connection, delivery)
            if endpoint.disabled and not was_disabled:
                await set_due(connection, endpoint.endpoint_id, None)

    async def release(self, claim: Claim) -> None:
        """Give the claim back."""
        statement = (
            update(WEBHOOK_DELIVERIES)
            .where(_DELIVERIES.delivery_id == claim.delivery_id, _DELIVERIES.claims == claim.number)
            .values(leased_until=None)
        )
        async with self._single.connect() as connection:
            await connection.execute(statement)


class WebhookQueue:
    """Where other parts leave what is to be told, in the transaction that makes it true. `due` is set then; the sender
    lingers for as long as a commit takes.
    """

    def __init__(self, new_id: Callable[[], str], due: Signal) -> None:
        self._new_id = new_id
        self._due = due

    async def enqueue(
        self,
        connection: AsyncConnection,
        owner_id: str,
        event: WebhookEvent,
        subject_id: str,
        url: str,
        body: str,
        happened: datetime,
    ) -> int:
        """Deliver `body` (see `payloads.payload`) to the owner's endpoints that want the event, and to the one with
        this URL unless that is empty; how many those are.

        One quick query for an owner without endpoints. Locks no row against other readers or senders, only the
        endpoints against their removal; may be called with the locks of a job and a batch held. An endpoint that its
        user disabled gets nothing; one that the service disabled gets it when it is enabled.
        """
        wanted = or_(literal(event.value) == any_(_ENDPOINTS.events), *([_ENDPOINTS.url == url] if url else []))
        query = select(_ENDPOINTS.endpoint_id, _ENDPOINTS.disabled).where(
            _ENDPOINTS.owner_id == owner_id,
            wanted,
            or_(~_ENDPOINTS.disabled, _ENDPOINTS.disabled_reason != ""),
        )
        endpoints = (await connection.execute(query.with_for_update(read=True, key_share=True))).all()
        deliveries = [
            Delivery(
                self._new_id(),
                str(row.endpoint_id),
                event,
                subject_id,
                body,
                happened,
                None if row.disabled else happened,
            )
            for row in endpoints
        ]
        if deliveries:
            rows = [delivery_values(delivery) for delivery in deliveries]
            await connection.execute(insert(WEBHOOK_DELIVERIES), rows)
            self._due.set()
        return len(deliveries)

    async def job_ended(self, connection: AsyncConnection, job: Job) -> None:
        """The effect of a job's end (see `JobWriter.effects`)."""
        for entry in job.events:
            if isinstance(entry.happening, StatusChanged) and entry.happening.status.terminal:
                event = EVENT_OF[entry.happening.status]
                body = payload(event, entry.occurred_at, job_data(job))
                order = job.order
                await self.enqueue(
                    connection, order.owner_id, event, job.job_id, order.webhook_url, body, entry.occurred_at
                )

"""Webhooks in memory; `tests/contract/test_job_webhooks.py` proves the rows equal to Postgres."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from services.job.application.webhooks.ports import Answer, Claim, Room, SecretUnreadable
from services.job.domain.errors import WebhookExists, WebhookLimitReached
from services.job.domain.webhooks import Delivery, DeliveryStatus, Endpoint, WebhookEvent


@dataclass
class _Held:
    until: float
    number: int


def _copy(delivery: Delivery, *, attempts: bool = False) -> Delivery:
    return replace(delivery, attempts=list(delivery.attempts) if attempts else [])


@dataclass
class WebhookRows:
    """Everything that Postgres holds for webhooks. Leases go by a clock of their own, as Postgres' do."""

    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    held: dict[str, _Held] = field(default_factory=dict)
    claims: dict[str, int] = field(default_factory=dict)

    def check_url(self, endpoint: Endpoint) -> None:
        """The unique constraint."""
        for other in self.endpoints.values():
            same = (other.owner_id, other.url) == (endpoint.owner_id, endpoint.url)
            if same and other.endpoint_id != endpoint.endpoint_id:
                raise WebhookExists

    def set_due(self, endpoint_id: str, at: datetime | None) -> None:
        """Hold what is pending, or make it due."""
        for delivery in self.deliveries.values():
            if delivery.endpoint_id == endpoint_id and delivery.status is DeliveryStatus.PENDING:
                delivery.next_attempt_at = at

    def flying(self, endpoint_id: str) -> int:
        """How many deliveries to the endpoint are being sent."""
        return sum(
            self.deliveries[delivery_id].endpoint_id == endpoint_id
            for delivery_id, held in self.held.items()
            if held.until > time.monotonic()
        )


class FakeEndpoints:
    """`Endpoints` in memory."""

    def __init__(self, rows: WebhookRows) -> None:
        self._rows = rows

    async def add(self, endpoint: Endpoint, limit: int) -> None:
        """Store a new endpoint."""
        self._rows.check_url(endpoint)
        if len(await self.of_owner(endpoint.owner_id)) >= limit:
            raise WebhookLimitReached(limit)
        self._rows.endpoints[endpoint.endpoint_id] = replace(endpoint)

    async def get(self, owner_id: str | None, endpoint_id: str) -> Endpoint | None:
        """The owner's endpoint; None for anybody's."""
        found = self._rows.endpoints.get(endpoint_id)
        return replace(found) if found and owner_id in (None, found.owner_id) else None

    async def has_url(self, owner_id: str, url: str) -> bool:
        """Whether the owner has an endpoint with this URL."""
        return any(endpoint.url == url for endpoint in await self.of_owner(owner_id))

    async def of_owner(self, owner_id: str) -> list[Endpoint]:
        """All of the owner's, newest first."""
        found = [replace(endpoint) for endpoint in self._rows.endpoints.values() if endpoint.owner_id == owner_id]
        return sorted(found, key=lambda endpoint: (endpoint.created_at, endpoint.endpoint_id), reverse=True)

    @asynccontextmanager
    async def change(self, owner_id: str, endpoint_id: str, now: datetime) -> AsyncIterator[Endpoint | None]:
        """The endpoint under its lock."""
        endpoint = await self.get(owner_id, endpoint_id)
        yield endpoint
        if endpoint is None:
            return
        self._rows.check_url(endpoint)
        if endpoint.disabled is not self._rows.endpoints[endpoint_id].disabled:
            self._rows.set_due(endpoint_id, None if endpoint.disabled else now)
        self._rows.endpoints[endpoint_id] = replace(endpoint)

    async def remove(self, owner_id: str, endpoint_id: str) -> bool:
        """Remove the endpoint with its deliveries."""
        if await self.get(owner_id, endpoint_id) is None:
            return False
        del self._rows.endpoints[endpoint_id]
        for delivery_id, delivery in list(self._rows.deliveries.items()):
            if delivery.endpoint_id == endpoint_id:
                del self._rows.deliveries[delivery_id]
                self._rows.held.pop(delivery_id, None)
        return True


class FakeDeliveries:
    """`Deliveries` in memory."""

    def __init__(self, rows: WebhookRows) -> None:
        self._rows = rows

    async def add(self, delivery: Delivery) -> bool:
        """Store a new delivery."""
        there = delivery.endpoint_id in self._rows.endpoints
        if there:
            self._rows.deliveries[delivery.delivery_id] = _copy(delivery)
        return there

    def _of(self, owner_id: str | None, delivery_id: str) -> Delivery | None:
        found = self._rows.deliveries.get(delivery_id)
        return found if found and owner_id in (None, self._rows.endpoints[found.endpoint_id].owner_id) else None

    async def get(self, owner_id: str | None, delivery_id: str) -> Delivery | None:
        """The delivery with its attempts; of anybody's endpoint for None."""
        found = self._of(owner_id, delivery_id)
        return _copy(found, attempts=True) if found else None

    async def page(self, endpoint_id: str, status: DeliveryStatus | None, before: str, limit: int) -> list[Delivery]:
        """A page of the log."""
        found = [
            _copy(delivery)
            for delivery in self._rows.deliveries.values()
            if delivery.endpoint_id == endpoint_id
            and status in (None, delivery.status)
            and (not before or delivery.delivery_id < before)
        ]
        return sorted(found, key=lambda delivery: delivery.delivery_id, reverse=True)[:limit]

    @asynccontextmanager
    async def change(self, owner_id: str, delivery_id: str) -> AsyncIterator[tuple[Endpoint, Delivery] | None]:
        """A delivery under its lock."""
        found = self._of(owner_id, delivery_id)
        if found is None:
            yield None
            return
        changed = _copy(found)
        yield replace(self._rows.endpoints[found.endpoint_id]), changed
        self._rows.deliveries[delivery_id] = replace(changed, attempts=found.attempts)

    async def purge(self, before: datetime, limit: int) -> int:
        """Forget old deliveries."""
        old = [key for key, delivery in self._rows.deliveries.items() if delivery.created_at < before][:limit]
        for delivery_id in old:
            del self._rows.deliveries[delivery_id]
            self._rows.held.pop(delivery_id, None)
        return len(old)


class FakeDeliveryQueue:
    """`DeliveryQueue` in memory."""

    def __init__(self, rows: WebhookRows, lease: timedelta = timedelta(seconds=30)) -> None:
        self._rows = rows
        self._lease_s = lease.total_seconds()

    async def claim(self, now: datetime, room: Room) -> list[Claim]:
        """Take due deliveries."""
        rows, left = self._rows, {True: room.struggling, False: room.in_all}
        taken: list[Claim] = []
        for delivery in sorted(
            rows.deliveries.values(), key=lambda item: (str(item.next_attempt_at), item.delivery_id)
        ):
            endpoint = rows.endpoints[delivery.endpoint_id]
            held = rows.held.get(delivery.delivery_id)
            free = held is None or held.until <= time.monotonic()
            due = delivery.next_attempt_at is not None and delivery.next_attempt_at <= now
            bounded = rows.flying(endpoint.endpoint_id) >= room.per_endpoint or left[endpoint.struggling] < 1
            if not due or not free or endpoint.disabled or bounded or len(taken) >= room.in_all:
                continue
            left[endpoint.struggling] -= 1
            number = rows.claims[delivery.delivery_id] = rows.claims.get(delivery.delivery_id, 0) + 1
            rows.held[delivery.delivery_id] = _Held(time.monotonic() + self._lease_s, number)
            taken.append(_claim(endpoint, delivery, number, now))
        return taken

    @asynccontextmanager
    async def settling(self, claim: Claim) -> AsyncIterator[tuple[Endpoint, Delivery] | None]:
        """The endpoint and the delivery under their locks."""
        held = self._rows.held.get(claim.delivery_id)
        if held is None or held.number != claim.number:
            yield None
            return
        stored = self._rows.deliveries[claim.delivery_id]
        endpoint, delivery = replace(self._rows.endpoints[claim.endpoint_id]), _copy(stored)
        yield endpoint, delivery
        was_disabled = self._rows.endpoints[claim.endpoint_id].disabled
        self._rows.endpoints[claim.endpoint_id] = endpoint
        self._rows.deliveries[claim.delivery_id] = replace(delivery, attempts=stored.attempts + delivery.attempts)
        del self._rows.held[claim.delivery_id]
        if endpoint.disabled and not was_disabled:
            self._rows.set_due(endpoint.endpoint_id, None)

    async def release(self, claim: Claim) -> None:
        """Give the claim back."""
        held = self._rows.held.get(claim.delivery_id)
        if held is not None and held.number == claim.number:
            del self._rows.held[claim.delivery_id]


def _claim(endpoint: Endpoint, delivery: Delivery, number: int, now: datetime) -> Claim:
    until = endpoint.previous_secret_expires_at
    return Claim(
        delivery_id=delivery.delivery_id,
        number=number,
        endpoint_id=endpoint.endpoint_id,
        url=endpoint.url,
        event=delivery.event,
        payload=delivery.payload,
        secret=endpoint.secret,
        previous_secret=endpoint.previous_secret if until and until > now else None,
        struggling=endpoint.struggling,
    )


class FakeWebhookQueue:
    """`WebhookQueue` in memory."""

    def __init__(self, rows: WebhookRows, new_id: Callable[[], str]) -> None:
        self._rows = rows
        self._new_id = new_id

    async def enqueue(
        self,
        connection: object,
        owner_id: str,
        event: WebhookEvent,
        subject_id: str,
        url: str,
        body: str,
        happened: datetime,
    ) -> int:
        """Deliver to the endpoints that want it."""
        wanted = [
            endpoint
            for endpoint in self._rows.endpoints.values()
            if endpoint.owner_id == owner_id
            and (event in endpoint.events or (url and endpoint.url == url))
            and (not endpoint.disabled or endpoint.disabled_reason)
        ]
        for endpoint in wanted:
            due = None if endpoint.disabled else happened
            delivery = Delivery(self._new_id(), endpoint.endpoint_id, event, subject_id, body, happened, due)
            self._rows.deliveries[delivery.delivery_id] = delivery
        return len(wanted)


class FakeSeal:
    """`Seal` that only ties the secret to its endpoint."""

    def close(self, secret: bytes, endpoint_id: str) -> bytes:
        """Seal."""
        return endpoint_id.encode() + b":" + secret

    def open(self, sealed: bytes, endpoint_id: str) -> bytes:
        """Open."""
        if not sealed.startswith(endpoint_id.encode() + b":"):
            raise SecretUnreadable("of another endpoint")
        return sealed.partition(b":")[2]


@dataclass(frozen=True, slots=True)
class Posted:
    """A request that was made."""

    url: str
    headers: Mapping[str, str]
    body: bytes


class ScriptedMessenger:
    """`Messenger` whose receivers answer what the test says; a URL without a script takes everything."""

    def __init__(self) -> None:
        self.posted: list[Posted] = []
        self.answers: dict[str, list[Answer]] = {}
        """By URL, the next one first; the last one stays."""
        self.broken: Exception | None = None
        """Raised, if set."""
        self.silent: set[str] = set()
        """URLs that never answer."""
        self._changed = asyncio.Condition()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One request."""
        async with self._changed:
            self.posted.append(Posted(url, headers, body))
            self._changed.notify_all()
            await self._changed.wait_for(lambda: url not in self.silent)
        if self.broken is not None:
            raise self.broken
        script = self.answers.get(url, [Answer(200, "", 0.01)])
        return script.pop(0) if len(script) > 1 else script[0]

    async def speak(self, url: str) -> None:
        """A silent receiver answers again."""
        async with self._changed:
            self.silent.discard(url)
            self._changed.notify_all()

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Return once the condition holds; looked at after every request."""
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(condition)


class CountingObserver:
    """Notes results."""

    def __init__(self) -> None:
        self.results: list[str] = []

    def attempted(self, result: str, seconds: float) -> None:
        """Note an attempt."""
        self.results.append(result)

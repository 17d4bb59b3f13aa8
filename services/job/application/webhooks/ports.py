"""What webhooks need: rows, a key, and a way to post.

`adapters/` and `tests/fakes/webhooks.py` implement the rows, proven equal by `tests/contract/test_job_webhooks.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from services.job.domain.webhooks import Delivery, DeliveryStatus, Endpoint, WebhookEvent


class Endpoints(Protocol):
    """Who is told."""

    async def add(self, endpoint: Endpoint, limit: int) -> None:
        """Store a new endpoint. Raises WebhookExists for a URL that the owner has, WebhookLimitReached beyond `limit`
        of the owner; both hold under any concurrency.
        """
        ...

    async def get(self, owner_id: str | None, endpoint_id: str) -> Endpoint | None:
        """The owner's endpoint; None for anybody's."""
        ...

    async def has_url(self, owner_id: str, url: str) -> bool:
        """Whether the owner has an endpoint with this URL."""
        ...

    async def of_owner(self, owner_id: str) -> list[Endpoint]:
        """All of the owner's, newest first."""
        ...

    def change(self, owner_id: str, endpoint_id: str, now: datetime) -> AbstractAsyncContextManager[Endpoint | None]:
        """The endpoint under its lock; stored on leaving. Its pending deliveries are held while it is disabled, and due
        at once when it is enabled. Raises WebhookExists on leaving, for a URL that another one has.
        """
        ...

    async def remove(self, owner_id: str, endpoint_id: str) -> bool:
        """Remove the endpoint with its deliveries; False when there is none."""
        ...


class Deliveries(Protocol):
    """What was, is and will be sent."""

    async def add(self, delivery: Delivery) -> bool:
        """Store a new delivery; False when its endpoint is gone."""
        ...

    async def get(self, owner_id: str | None, delivery_id: str) -> Delivery | None:
        """The delivery with its attempts; of anybody's endpoint for None."""
        ...

    async def page(self, endpoint_id: str, status: DeliveryStatus | None, before: str, limit: int) -> list[Delivery]:
        """At most `limit` deliveries to an endpoint, newest first, older than the id `before` unless that is empty.
        Without their attempts.
        """
        ...

    def change(self, owner_id: str, delivery_id: str) -> AbstractAsyncContextManager[tuple[Endpoint, Delivery] | None]:
        """A delivery under its lock, with its endpoint to look at; the delivery is stored on leaving."""
        ...

    async def purge(self, before: datetime, limit: int) -> int:
        """Forget deliveries of things that happened before, at most `limit`; how many those were."""
        ...


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that this process is to attempt now, and nobody else as long as the lease lasts."""

    delivery_id: str
    number: int
    """Tells this claim from a later one of the same delivery."""
    endpoint_id: str
    url: str
    event: WebhookEvent
    payload: str
    secret: bytes = field(repr=False)
    previous_secret: bytes | None = field(repr=False)
    """While the overlap of a rotation lasts."""
    struggling: bool
    """Whether the last attempt at the endpoint failed."""


@dataclass(frozen=True, slots=True)
class Room:
    """How many deliveries may be begun."""

    in_all: int
    struggling: int
    """Of these, to endpoints at which the last attempt failed."""
    per_endpoint: int
    """In flight to one endpoint, those of other processes included."""


class DeliveryQueue(Protocol):
    """The deliveries that are due. A claim whose process dies ends with its lease."""

    async def claim(self, now: datetime, room: Room) -> list[Claim]:
        """Take due deliveries, those that have waited longest first, as far as there is room."""
        ...

    def settling(self, claim: Claim) -> AbstractAsyncContextManager[tuple[Endpoint, Delivery] | None]:
        """The endpoint and the delivery under their locks, to note what came of the attempt; stored on leaving, and the
        claim is over. None when the claim was lost, or the endpoint is gone. Other deliveries to an endpoint that the
        block disables are held.
        """
        ...

    async def release(self, claim: Claim) -> None:
        """Give the claim back without an attempt; it is due as before."""
        ...


class Receivers(Protocol):
    """Knows to whom the result of an order can be sent."""

    async def accept(self, owner_id: str, url: str) -> str:
        """Make sure that there is an endpoint for the URL of an order; the URL in the spelling to keep.

        Raises FieldsRefused (`webhook_url`), WebhookLimitReached.
        """
        ...


class SecretUnreadable(Exception):
    """A sealed secret was not sealed by this key, or not for this endpoint."""


class Seal(Protocol):
    """Keeps secrets from whoever can read the rows."""

    def close(self, secret: bytes, endpoint_id: str) -> bytes:
        """The secret, readable only with the service's key, and only as this endpoint's."""
        ...

    def open(self, sealed: bytes, endpoint_id: str) -> bytes:
        """The secret. Raises SecretUnreadable."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request."""

    http_status: int
    """0 when there was no answer."""
    error: str
    """Empty when the receiver took it."""
    duration_s: float
    retry_after: timedelta | None = None
    """What the receiver asked for."""


class Messenger(Protocol):
    """Posts to URLs that users chose."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One request, however it ends: never raises for what the receiver does, and ends with its timeout."""
        ...


class Observer(Protocol):
    """Counts attempts."""

    def attempted(self, result: str, seconds: float) -> None:
        """`result` is `delivered`, `retried`, `failed` or `gone`."""
        ...

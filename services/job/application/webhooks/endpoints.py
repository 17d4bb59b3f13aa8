"""Manage endpoints and look at what was sent to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from services.job.application.page_tokens import PageTokens
from services.job.application.ports import Clock, PageKey, Signal
from services.job.application.webhooks.payloads import payload
from services.job.application.webhooks.ports import Deliveries, Endpoints, Seal, SecretUnreadable
from services.job.application.webhooks.signing import new_secret, shown
from services.job.domain.errors import FieldsRefused, StateConflict, WebhookExists, WebhookNotFound
from services.job.domain.webhook_targets import TargetRefused, TargetRules
from services.job.domain.webhooks import (
    MAX_ENDPOINTS,
    MAX_OVERLAP,
    SUBSCRIBABLE,
    USUAL_OVERLAP,
    Delivery,
    DeliveryStatus,
    Endpoint,
    WebhookEvent,
)


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """What to change; None and empty: nothing."""

    url: str | None = None
    events: tuple[WebhookEvent, ...] = ()
    description: str | None = None
    disabled: bool | None = None


class Webhooks:
    """The use cases of `WebhookService`. Another owner's endpoint or delivery raises WebhookNotFound, for everybody: an
    admin has no business with users' secrets.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        deliveries: Deliveries,
        seal: Seal,
        rules: TargetRules,
        clock: Clock,
        new_id: Callable[[], str],
        tokens: PageTokens,
        due: Signal,
    ) -> None:
        self._endpoints = endpoints
        self._deliveries = deliveries
        self._seal = seal
        self._rules = rules
        self._clock = clock
        self._new_id = new_id
        self._tokens = tokens
        self._due = due

    async def create(
        self, owner_id: str, url: str, events: Sequence[WebhookEvent], description: str
    ) -> tuple[Endpoint, str]:
        """A new endpoint and its secret; without events, everything about jobs and batches.

        Raises FieldsRefused, WebhookExists, WebhookLimitReached.
        """
        wanted = _subscribable(events) or SUBSCRIBABLE
        return await self._add(owner_id, self._read("url", url), wanted, description)

    async def accept(self, owner_id: str, url: str) -> str:
        """Make sure that what an order asks for can be sent to its URL: the URL in the spelling to keep.

        An endpoint is made for a URL that the owner has none with; it gets nothing but what orders with this URL ask
        for, and its secret is there before the first message. Raises FieldsRefused, WebhookLimitReached.
        """
        url = self._read("webhook_url", url)
        if not await self._endpoints.has_url(owner_id, url):
            with suppress(WebhookExists):  # By another order, at the same time.
                await self._add(owner_id, url, (), "made for an order")
        return url

    async def get(self, owner_id: str | None, endpoint_id: str) -> Endpoint:
        """The endpoint; None is an admin, who looks at anybody's."""
        endpoint = await self._endpoints.get(owner_id, endpoint_id)
        if endpoint is None:
            raise WebhookNotFound(endpoint_id)
        return endpoint

    async def all(self, owner_id: str) -> list[Endpoint]:
        """All of the owner's, newest first."""
        return await self._endpoints.of_owner(owner_id)

    async def update(self, owner_id: str, endpoint_id: str, change: EndpointChange) -> Endpoint:
        """Change what is set. Raises FieldsRefused, WebhookExists."""
        events = _subscribable(change.events)
        url = None if change.url is None else self._read("url", change.url)
        now = self._clock.now()
        async with self._endpoints.change(owner_id, endpoint_id, now) as endpoint:
            if endpoint is None:
                raise WebhookNotFound(endpoint_id)
            endpoint.url = url or endpoint.url
            endpoint.events = events or endpoint.events
            if change.description is not None:
                endpoint.description = change.description
            if change.disabled is not None:
                (endpoint.disable if change.disabled else endpoint.enable)(now)
            endpoint.updated_at = now
        self._due.set()
        return endpoint

    async def remove(self, owner_id: str, endpoint_id: str) -> None:
        """Remove the endpoint with its deliveries."""
        if not await self._endpoints.remove(owner_id, endpoint_id):
            raise WebhookNotFound(endpoint_id)

    async def secret(self, owner_id: str, endpoint_id: str) -> str:
        """The secret as its owner needs it. Raises StateConflict after a change of the service's key."""
        endpoint = await self.get(owner_id, endpoint_id)
        try:
            return shown(self._seal.open(endpoint.secret, endpoint_id))
        except SecretUnreadable as error:
            raise StateConflict("the secret cannot be read any more; rotate it") from error

    async def rotate(self, owner_id: str, endpoint_id: str, overlap: timedelta | None) -> tuple[Endpoint, str]:
        """A new secret; the old one signs too for `overlap`. Raises FieldsRefused."""
        overlap = USUAL_OVERLAP if overlap is None else overlap
        if not timedelta(0) <= overlap <= MAX_OVERLAP:
            raise FieldsRefused([("overlap", f"must be between 0 and {MAX_OVERLAP.days} days")])
        secret, now = new_secret(), self._clock.now()
        async with self._endpoints.change(owner_id, endpoint_id, now) as endpoint:
            if endpoint is None:
                raise WebhookNotFound(endpoint_id)
            endpoint.rotate(self._seal.close(secret, endpoint_id), overlap, now)
        return endpoint, shown(secret)

    async def test(self, owner_id: str, endpoint_id: str) -> Delivery:
        """Send a message that means nothing. Raises StateConflict while the endpoint is disabled."""
        endpoint = await self.get(owner_id, endpoint_id)
        endpoint.require_enabled()
        now, event = self._clock.now(), WebhookEvent.ENDPOINT_TEST
        body = payload(event, now, {"endpoint_id": endpoint_id, "description": endpoint.description})
        delivery = Delivery(self._new_id(), endpoint_id, event, endpoint_id, body, now, now)
        if not await self._deliveries.add(delivery):
            raise WebhookNotFound(endpoint_id)
        self._due.set()
        return delivery

    async def deliveries(
        self, owner_id: str | None, endpoint_id: str, status: DeliveryStatus | None, page_token: str, limit: int
    ) -> tuple[list[Delivery], str]:
        """A page of what was sent, newest first, and the token of the next. Raises FieldsRefused."""
        await self.get(owner_id, endpoint_id)
        name = ("webhook deliveries", endpoint_id, status or "")
        before = self._tokens.open_key(page_token, *name).job_id if page_token else ""
        found = await self._deliveries.page(endpoint_id, status, before, limit + 1)
        page = found[:limit]
        if len(found) <= limit:
            return page, ""
        return page, self._tokens.seal_key(PageKey(page[-1].created_at, page[-1].delivery_id), *name)

    async def delivery(self, owner_id: str | None, delivery_id: str) -> Delivery:
        """One message with its attempts."""
        delivery = await self._deliveries.get(owner_id, delivery_id)
        if delivery is None:
            raise WebhookNotFound(delivery_id)
        return delivery

    async def redeliver(self, owner_id: str, delivery_id: str) -> Delivery:
        """Send a message (again), now. Raises StateConflict while the endpoint is disabled."""
        async with self._deliveries.change(owner_id, delivery_id) as found:
            if found is None:
                raise WebhookNotFound(delivery_id)
            endpoint, delivery = found
            endpoint.require_enabled()
            delivery.redeliver(self._clock.now())
        self._due.set()
        return await self.delivery(owner_id, delivery_id)

    async def _add(
        self, owner_id: str, url: str, events: tuple[WebhookEvent, ...], description: str
    ) -> tuple[Endpoint, str]:
        endpoint_id, secret, now = self._new_id(), new_secret(), self._clock.now()
        sealed = self._seal.close(secret, endpoint_id)
        endpoint = Endpoint(endpoint_id, owner_id, url, events, sealed, now, now, description)
        await self._endpoints.add(endpoint, MAX_ENDPOINTS)
        return endpoint, shown(secret)

    def _read(self, path: str, url: str) -> str:
        try:
            return self._rules.read(url).url
        except TargetRefused as refused:
            raise FieldsRefused([(path, str(refused))]) from refused


def _subscribable(events: Sequence[WebhookEvent]) -> tuple[WebhookEvent, ...]:
    refused = [index for index, event in enumerate(events) if event not in SUBSCRIBABLE]
    if refused:
        raise FieldsRefused([(f"events[{index}]", "can only be sent by a test") for index in refused])
    return tuple(events)

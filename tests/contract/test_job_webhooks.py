"""One suite for the rows of webhooks (J8): the fakes of the unit tests and Postgres must behave alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from services.job.adapters.postgres.webhook_queue import PostgresDeliveryQueue, WebhookQueue
from services.job.adapters.postgres.webhooks import PostgresDeliveries, PostgresEndpoints
from services.job.adapters.sealed_secrets import SealedSecrets
from services.job.application.webhooks.ports import (
    Claim,
    Deliveries,
    DeliveryQueue,
    Endpoints,
    Room,
    Seal,
    SecretUnreadable,
)
from services.job.domain.errors import WebhookExists, WebhookLimitReached
from services.job.domain.webhooks import (
    Attempt,
    Delivery,
    DeliveryStatus,
    Endpoint,
    RetrySchedule,
    WebhookEvent,
    settle,
)
from services.runtime.db import create_engine
from services.runtime.ids import new_id
from tests import stack
from tests.fakes.job import START, CountingSignal
from tests.fakes.webhooks import (
    FakeDeliveries,
    FakeDeliveryQueue,
    FakeEndpoints,
    FakeSeal,
    FakeWebhookQueue,
    WebhookRows,
)

DONE, FAILED = WebhookEvent.JOB_COMPLETED, WebhookEvent.JOB_FAILED
ROOM = Room(in_all=10, struggling=5, per_endpoint=2)
OK = Attempt(START, 200, "", 12)
BROKEN = Attempt(START, 503, "answered 503", 7)


@dataclass
class Ports:
    """The ports under test."""

    endpoints: Endpoints
    deliveries: Deliveries
    queue: DeliveryQueue
    short_queue: DeliveryQueue
    """The same, but a claim ends at once."""
    enqueue: Callable[..., Awaitable[int]]


@pytest.fixture(params=["fake", "postgres"])
async def ports(request: pytest.FixtureRequest, postgres: Callable[[], str]) -> AsyncGenerator[Ports]:
    if request.param == "fake":
        rows = WebhookRows()

        async def enqueue_fake(*args: Any) -> int:
            return await FakeWebhookQueue(rows, new_id).enqueue(None, *args)

        queue, short = FakeDeliveryQueue(rows), FakeDeliveryQueue(rows, timedelta(0))
        yield Ports(FakeEndpoints(rows), FakeDeliveries(rows), queue, short, enqueue_fake)
        return
    url = postgres()
    await stack.migrate("job", url)
    engine = create_engine(url)
    outlet = WebhookQueue(new_id, CountingSignal())

    async def enqueue(*args: Any) -> int:
        async with engine.begin() as connection:
            return await outlet.enqueue(connection, *args)

    yield Ports(
        PostgresEndpoints(engine),
        PostgresDeliveries(engine),
        PostgresDeliveryQueue(engine),
        PostgresDeliveryQueue(engine, timedelta(0)),
        enqueue,
    )
    await engine.dispose()


def new_endpoint(owner: str = "ada", path: str = "", **fields: Any) -> Endpoint:
    values: dict[str, Any] = {"events": (DONE, FAILED), "secret": b"sealed", **fields}
    url = f"https://example.com/{path or new_id()}"
    return Endpoint(new_id(), owner, url, created_at=START, updated_at=START, **values)


async def added(ports: Ports, owner: str = "ada", path: str = "", **fields: Any) -> Endpoint:
    endpoint = new_endpoint(owner, path, **fields)
    await ports.endpoints.add(endpoint, 20)
    return endpoint


def new_delivery(endpoint: Endpoint, minutes: float = 0) -> Delivery:
    at = START + timedelta(minutes=minutes)
    return Delivery(new_id(), endpoint.endpoint_id, DONE, "job-1", '{"a":"½"}', at, at)


async def renamed(ports: Ports, endpoint: Endpoint, url: str) -> None:
    async with ports.endpoints.change(endpoint.owner_id, endpoint.endpoint_id, START) as changed:
        assert changed is not None
        changed.url = url


async def due(ports: Ports, endpoint: Endpoint, minutes: float = 0) -> Delivery:
    delivery = new_delivery(endpoint, minutes)
    assert await ports.deliveries.add(delivery)
    return delivery


async def settled(ports: Ports, claim: Claim, attempt: Attempt, **late: float) -> Delivery:
    async with ports.queue.settling(claim) as found:
        assert found is not None
        settle(*found, attempt, START + timedelta(**late), RetrySchedule(), 0.5)
    return found[1]


def ids(claims: list[Claim]) -> list[str]:
    return [claim.delivery_id for claim in claims]


@pytest.mark.parametrize("seal", [FakeSeal(), SealedSecrets(b"k" * 32)], ids=["fake", "aes"])
def test_j8_sealed_secret_opens_for_its_endpoint_only(seal: Seal) -> None:
    sealed = seal.close(b"secret:1", "e1")
    assert seal.open(sealed, "e1") == b"secret:1"
    for data, endpoint_id in ((sealed, "e2"), (b"", "e1"), (b"rubbish", "e1")):
        with pytest.raises(SecretUnreadable):
            seal.open(data, endpoint_id)


async def test_j8_endpoint_is_kept_as_it_was(ports: Ports) -> None:
    """J8: every field survives, and only its owner sees it."""
    endpoint = await added(ports, description="½", previous_secret=b"old", previous_secret_expires_at=START)
    other = await added(ports, "bob")
    assert await ports.endpoints.get("ada", endpoint.endpoint_id) == endpoint
    assert await ports.endpoints.get("ada", other.endpoint_id) is None
    assert await ports.endpoints.get(None, other.endpoint_id) == await ports.endpoints.get("bob", other.endpoint_id)
    assert await ports.endpoints.of_owner("ada") == [endpoint]
    assert await ports.endpoints.has_url("ada", endpoint.url)
    assert not await ports.endpoints.has_url("bob", endpoint.url)
    async with ports.endpoints.change("ada", endpoint.endpoint_id, START) as changed:
        assert changed is not None
        changed.url, changed.events, changed.description = "https://example.org/", (), "new"
        changed.failing_since = changed.last_success_at = START
        changed.consecutive_failures, changed.struggling = 3, True
        changed.rotate(b"new", timedelta(hours=1), START)
    assert await ports.endpoints.get("ada", endpoint.endpoint_id) == changed
    async with ports.endpoints.change("bob", endpoint.endpoint_id, START) as foreign:
        assert foreign is None


async def test_j8_url_is_unique_and_the_number_is_limited(ports: Ports) -> None:
    """J8: also when endpoints are added at once."""
    first = await added(ports, path="one")
    with pytest.raises(WebhookExists):
        await ports.endpoints.add(new_endpoint(path="one"), 20)
    await added(ports, "bob", path="one")
    second = await added(ports, path="two")
    with pytest.raises(WebhookExists):
        await renamed(ports, second, first.url)
    attempts = [ports.endpoints.add(new_endpoint(), 5) for _ in range(8)]
    refused = [result for result in await asyncio.gather(*attempts, return_exceptions=True) if result is not None]
    assert {type(result) for result in refused} == {WebhookLimitReached}
    assert len(refused) == 5
    assert len(await ports.endpoints.of_owner("ada")) == 5


async def test_j8_same_url_at_once_is_one_endpoint(ports: Ports) -> None:
    attempts = [ports.endpoints.add(new_endpoint(path="same"), 20) for _ in range(5)]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert sorted(str(type(result)) for result in results) == sorted([str(type(None))] + [str(WebhookExists)] * 4)


async def test_j8_event_reaches_those_who_want_it(ports: Ports) -> None:
    """J8: by its type, or by the URL of the order; of this owner only, and not what a user disabled."""
    subscribed = await added(ports)
    silent = await added(ports, path="order", events=())
    for fields in ({"events": (FAILED,)}, {"owner": "bob"}, {"disabled": True}, {"events": ()}):
        await added(ports, **fields)
    held = await added(ports, disabled=True, disabled_reason="too many failures")
    assert await ports.enqueue("ada", DONE, "job-1", silent.url, "{}", START) == 3
    assert await ports.enqueue("ada", WebhookEvent.BATCH_ENDED, "b", "", "{}", START) == 0
    claims = await ports.queue.claim(START, ROOM)
    assert {claim.endpoint_id for claim in claims} == {subscribed.endpoint_id, silent.endpoint_id}
    assert {(claim.event, claim.payload) for claim in claims} == {(DONE, "{}")}
    [waiting] = await ports.deliveries.page(held.endpoint_id, None, "", 10)
    assert (waiting.status, waiting.next_attempt_at, waiting.subject_id) == (DeliveryStatus.PENDING, None, "job-1")


async def test_j8_endpoint_takes_its_deliveries_along(ports: Ports) -> None:
    endpoint = await added(ports)
    delivery = await due(ports, endpoint)
    [claim] = await ports.queue.claim(START, ROOM)
    assert not await ports.endpoints.remove("bob", endpoint.endpoint_id)
    assert await ports.endpoints.remove("ada", endpoint.endpoint_id)
    assert await ports.deliveries.get("ada", delivery.delivery_id) is None
    assert not await ports.deliveries.add(new_delivery(endpoint))
    async with ports.queue.settling(claim) as found:
        assert found is None


async def test_j8_log_pages_newest_first(ports: Ports) -> None:
    endpoint = await added(ports)
    deliveries = [await due(ports, endpoint, minute) for minute in range(5)]
    newest = sorted((delivery.delivery_id for delivery in deliveries), reverse=True)
    first = await ports.deliveries.page(endpoint.endpoint_id, None, "", 2)
    rest = await ports.deliveries.page(endpoint.endpoint_id, None, first[-1].delivery_id, 9)
    assert [delivery.delivery_id for delivery in (*first, *rest)] == newest
    assert await ports.deliveries.page(endpoint.endpoint_id, DeliveryStatus.FAILED, "", 9) == []
    found = await ports.deliveries.get("ada", deliveries[0].delivery_id)
    assert found == deliveries[0]
    assert await ports.deliveries.get("bob", deliveries[0].delivery_id) is None


async def test_j8_attempts_are_kept_in_order(ports: Ports) -> None:
    endpoint = await added(ports)
    delivery = await due(ports, endpoint)
    [claim] = await ports.queue.claim(START, ROOM)
    failed = await settled(ports, claim, BROKEN)
    assert failed.next_attempt_at == START + timedelta(seconds=5)
    assert await ports.queue.claim(START + timedelta(seconds=4), ROOM) == []
    [again] = await ports.queue.claim(START + timedelta(seconds=5), ROOM)
    assert (again.delivery_id, again.struggling) == (delivery.delivery_id, True)
    later = replace(OK, attempted_at=START + timedelta(seconds=5))
    await settled(ports, again, later, seconds=6)
    kept = await ports.deliveries.get("ada", delivery.delivery_id)
    assert kept is not None
    assert (kept.status, kept.attempt_count, kept.attempts) == (DeliveryStatus.DELIVERED, 2, [BROKEN, later])
    assert (kept.completed_at, kept.next_attempt_at) == (START + timedelta(seconds=6), None)
    after = await ports.endpoints.get("ada", endpoint.endpoint_id)
    assert after is not None
    assert (after.last_success_at, after.struggling) == (START + timedelta(seconds=6), False)
    assert await ports.queue.claim(START + timedelta(days=1), ROOM) == []


async def test_j8_claims_share_out_and_keep_the_bounds(ports: Ports) -> None:
    """J8: at most two in flight to an endpoint over all claimers, none twice, the longest waiting first."""
    busy, other = await added(ports), await added(ports)
    many = [await due(ports, busy, minute) for minute in range(6)]
    one = await due(ports, other, 9)
    now = START + timedelta(hours=1)
    rounds = await asyncio.gather(*(ports.queue.claim(now, ROOM) for _ in range(4)))
    taken = [claim for claims in rounds for claim in claims]
    assert sorted(ids(taken)) == sorted([many[0].delivery_id, many[1].delivery_id, one.delivery_id])
    first = next(claim for claim in taken if claim.delivery_id == many[0].delivery_id)
    await settled(ports, first, OK)
    assert ids(await ports.queue.claim(now, ROOM)) == [many[2].delivery_id]


async def test_j8_room_bounds_what_is_taken(ports: Ports) -> None:
    """J8: endpoints that struggle get a share only."""
    struggling = [await added(ports, struggling=True) for _ in range(4)]
    for endpoint in struggling:
        await due(ports, endpoint, -5)
    healthy = [await due(ports, await added(ports)) for _ in range(3)]
    claims = await ports.queue.claim(START, Room(4, 2, 2))
    assert [claim.struggling for claim in claims] == [True, True, False, False]
    claims = await ports.queue.claim(START, Room(9, 0, 2))
    assert len(claims) == 1
    assert claims[0].delivery_id in {delivery.delivery_id for delivery in healthy}


async def test_j8_dead_claimer_is_taken_over(ports: Ports) -> None:
    """J8: a claim ends with its lease, and its late result is not taken."""
    delivery = await due(ports, await added(ports))
    [lost] = await ports.short_queue.claim(START, ROOM)
    [taken] = await ports.queue.claim(START, ROOM)
    assert (taken.delivery_id, taken.number) == (delivery.delivery_id, lost.number + 1)
    async with ports.queue.settling(lost) as found:
        assert found is None
    await ports.queue.release(lost)  # Not its own any more: without effect.
    assert await ports.queue.claim(START, ROOM) == []
    await ports.queue.release(taken)
    [again] = await ports.queue.claim(START, ROOM)
    await settled(ports, again, OK)
    async with ports.queue.settling(again) as found:
        assert found is None


async def test_j8_disabled_endpoint_is_sent_nothing_until_enabled(ports: Ports) -> None:
    endpoint = await added(ports)
    first, second = await due(ports, endpoint), await due(ports, endpoint, 60)
    async with ports.endpoints.change("ada", endpoint.endpoint_id, START) as changed:
        assert changed is not None
        changed.disable(START)
    later = START + timedelta(hours=2)
    assert await ports.queue.claim(later, ROOM) == []
    held = await ports.deliveries.get("ada", first.delivery_id)
    assert held is not None
    assert (held.status, held.next_attempt_at) == (DeliveryStatus.PENDING, None)
    async with ports.endpoints.change("ada", endpoint.endpoint_id, later) as changed:
        assert changed is not None
        changed.enable(later)
    assert set(ids(await ports.queue.claim(later, ROOM))) == {first.delivery_id, second.delivery_id}


async def test_j8_gone_holds_the_others(ports: Ports) -> None:
    """J8: 410 disables at once; what else was pending waits, also what is just being sent."""
    endpoint = await added(ports)
    for minute in range(3):
        await due(ports, endpoint, minute)
    now = START + timedelta(hours=1)
    gone, flying = await ports.queue.claim(now, ROOM)
    assert (await settled(ports, gone, Attempt(START, 410, "gone", 1))).status is DeliveryStatus.FAILED
    assert (await settled(ports, flying, BROKEN)).next_attempt_at is None
    assert await ports.queue.claim(now + timedelta(days=1), ROOM) == []
    kept = await ports.endpoints.get("ada", endpoint.endpoint_id)
    assert kept is not None
    assert (kept.disabled, kept.disabled_reason) == (True, "the endpoint answered 410 Gone")


async def test_j8_redelivery_keeps_the_id_and_the_attempts(ports: Ports) -> None:
    delivery = await due(ports, await added(ports))
    [claim] = await ports.queue.claim(START, ROOM)
    await settled(ports, claim, OK)
    async with ports.deliveries.change("bob", delivery.delivery_id) as foreign:
        assert foreign is None
    assert await ports.deliveries.get("bob", delivery.delivery_id) is None
    assert await ports.deliveries.get(None, delivery.delivery_id) is not None
    async with ports.deliveries.change("ada", delivery.delivery_id) as found:
        assert found is not None
        found[1].redeliver(START)
    [again] = await ports.queue.claim(START, ROOM)
    assert again.delivery_id == delivery.delivery_id
    await settled(ports, again, BROKEN)
    kept = await ports.deliveries.get("ada", delivery.delivery_id)
    assert kept is not None
    assert (kept.attempt_count, kept.tries, kept.attempts) == (2, 1, [OK, BROKEN])


async def test_j8_redelivery_of_one_in_flight_leaves_its_claim(ports: Ports) -> None:
    delivery = await due(ports, await added(ports))
    [claim] = await ports.queue.claim(START, ROOM)
    async with ports.deliveries.change("ada", delivery.delivery_id) as found:
        assert found is not None
        found[1].redeliver(START)
    assert await ports.queue.claim(START, ROOM) == []
    assert (await settled(ports, claim, OK)).status is DeliveryStatus.DELIVERED


async def test_j8_previous_secret_signs_until_the_overlap_ends(ports: Ports) -> None:
    until = START + timedelta(hours=1)
    await due(ports, await added(ports, previous_secret=b"old", previous_secret_expires_at=until))
    [claim] = await ports.queue.claim(START, ROOM)
    assert (claim.secret, claim.previous_secret) == (b"sealed", b"old")
    await ports.queue.release(claim)
    [claim] = await ports.queue.claim(until, ROOM)
    assert claim.previous_secret is None


async def test_j8_old_deliveries_are_forgotten(ports: Ports) -> None:
    endpoint = await added(ports)
    old = [await due(ports, endpoint, -minute) for minute in (1, 2, 3)]
    kept = await due(ports, endpoint)
    [claim] = [claim for claim in await ports.queue.claim(START, ROOM) if claim.delivery_id == old[2].delivery_id]
    await settled(ports, claim, BROKEN)
    assert [await ports.deliveries.purge(START, 2), await ports.deliveries.purge(START, 2)] == [2, 1]
    assert [delivery.delivery_id for delivery in await ports.deliveries.page(endpoint.endpoint_id, None, "", 9)] == [
        kept.delivery_id
    ]

"""J8: endpoints, deliveries and the sender over the fakes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from services.job.api import webhook_codec
from services.job.application.ticking import Wakeup
from services.job.application.webhooks.endpoints import EndpointChange
from services.job.application.webhooks.ports import Answer
from services.job.application.webhooks.sender import Sender, SenderRules
from services.job.domain.errors import (
    FieldsRefused,
    StateConflict,
    WebhookExists,
    WebhookLimitReached,
    WebhookNotFound,
)
from services.job.domain.webhooks import MAX_ENDPOINTS, SUBSCRIBABLE, DeliveryStatus, Endpoint, WebhookEvent
from services.runtime.ids import new_id
from t2m.job.v1 import webhook_pb2
from t2m.job.v1 import webhook_service_pb2 as pb
from tests.fakes.job import START
from tests.fakes.webhooks import CountingObserver, FakeDeliveryQueue, FakeSeal, FakeWebhookQueue, ScriptedMessenger
from tests.unit.job.world import ADA, World

DONE = WebhookEvent.JOB_COMPLETED
URL = "https://example.com/hook"
DOWN = Answer(503, "answered 503", 0.01)


@dataclass
class Sending:
    """A sender over the fakes."""

    world: World = field(default_factory=World)
    at_once: int = 32

    def __post_init__(self) -> None:
        self.messenger, self.observer = ScriptedMessenger(), CountingObserver()
        self.queue = FakeDeliveryQueue(self.world.webhook_rows)
        self.wakeup = Wakeup(60, 0)
        rules = SenderRules(self.at_once, draw=lambda: 0.5)
        self.sender = Sender(
            self.queue, self.messenger, FakeSeal(), self.world.clock, rules, self.wakeup, self.observer
        )

    async def endpoint(self, path: str = "hook", owner: str = "ada") -> Endpoint:
        endpoint, _ = await self.world.webhooks.create(owner, f"https://example.com/{path}", (), "")
        return endpoint

    async def tell(self, owner: str = "ada", subject: str = "job-1") -> None:
        queue = FakeWebhookQueue(self.world.webhook_rows, new_id)
        await queue.enqueue(None, owner, DONE, subject, "", "{}", self.world.clock.now())

    async def send(self) -> int:
        """Send all that is due, until there is nothing."""
        sent = 0
        while begun := await self.sender.begin():
            sent += begun
            await self.sender.settled()
        return sent

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        task = asyncio.create_task(self.sender.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_j8_create_read_and_remove() -> None:
    """J8: everything about jobs and batches by default; the secret only where it is asked for."""
    webhooks = World().webhooks
    endpoint, secret = await webhooks.create("ada", "HTTPS://Example.com/hook", (), "mine")
    assert (endpoint.url, endpoint.events, endpoint.description) == (URL, SUBSCRIBABLE, "mine")
    assert secret.startswith("whsec_")
    assert await webhooks.secret("ada", endpoint.endpoint_id) == secret
    assert await webhooks.all("ada") == [endpoint]
    with pytest.raises(WebhookExists):
        await webhooks.create("ada", URL, (), "")
    for call in (webhooks.get, webhooks.secret, webhooks.remove, webhooks.test):
        with pytest.raises(WebhookNotFound):
            await call("bob", endpoint.endpoint_id)
    with pytest.raises(WebhookNotFound):
        await webhooks.update("bob", endpoint.endpoint_id, EndpointChange(disabled=True))
    with pytest.raises(WebhookNotFound):
        await webhooks.rotate("bob", endpoint.endpoint_id, None)
    with pytest.raises(WebhookNotFound):
        await webhooks.deliveries("bob", endpoint.endpoint_id, None, "", 10)
    await webhooks.remove("ada", endpoint.endpoint_id)
    assert await webhooks.all("ada") == []


@pytest.mark.parametrize("url", ["http://example.com/", "https://127.0.0.1/", "https://localhost/"])
async def test_j8_url_is_refused_by_its_field(url: str) -> None:
    world = World()
    with pytest.raises(FieldsRefused) as caught:
        await world.webhooks.create("ada", url, (), "")
    assert [path for path, _ in caught.value.field_violations] == ["url"]
    with pytest.raises(FieldsRefused) as caught:
        await world.create(webhook_url=url)
    assert [path for path, _ in caught.value.field_violations] == ["webhook_url"]


async def test_j8_events_that_cannot_be_asked_for() -> None:
    with pytest.raises(FieldsRefused) as caught:
        await World().webhooks.create("ada", URL, (DONE, WebhookEvent.ENDPOINT_TEST), "")
    assert [path for path, _ in caught.value.field_violations] == ["events[1]"]
    with pytest.raises(FieldsRefused) as caught:
        webhook_codec.events([webhook_pb2.WEBHOOK_EVENT_TYPE_UNSPECIFIED])
    assert [path for path, _ in caught.value.field_violations] == ["events[0]"]


async def test_j8_order_makes_an_endpoint_for_its_url() -> None:
    """J8: once; it hears of such orders only. An order without a URL asks for nothing."""
    world = World()
    await world.create()
    assert await world.webhooks.all("ada") == []
    for _ in range(2):
        job = await world.create(webhook_url="https://EXAMPLE.com/hook")
        assert job.order.webhook_url == URL
    [endpoint] = await world.webhooks.all("ada")
    assert (endpoint.url, endpoint.events) == (URL, ())
    assert (await world.webhooks.secret("ada", endpoint.endpoint_id)).startswith("whsec_")


async def test_j8_order_uses_the_endpoint_that_there_is() -> None:
    world = World()
    endpoint, _ = await world.webhooks.create("ada", URL, (), "")
    await world.create(webhook_url=URL)
    assert await world.webhooks.all("ada") == [endpoint]


async def test_j8_one_endpoint_too_many() -> None:
    """J8: for orders too, unless they use one that there is."""
    world = World()
    for number in range(MAX_ENDPOINTS):
        await world.webhooks.create("ada", f"https://example.com/{number}", (), "")
    with pytest.raises(WebhookLimitReached):
        await world.webhooks.create("ada", URL, (), "")
    with pytest.raises(WebhookLimitReached):
        await world.create(webhook_url=URL)
    await world.create(webhook_url="https://example.com/3")
    await world.webhooks.create("bob", URL, (), "")


async def test_j8_update_changes_what_is_set() -> None:
    sending = Sending()
    webhooks, endpoint = sending.world.webhooks, await sending.endpoint()
    same = await webhooks.update("ada", endpoint.endpoint_id, EndpointChange())
    assert (same.url, same.events, same.description) == (endpoint.url, endpoint.events, endpoint.description)
    change = EndpointChange("https://example.com/new", (DONE,), "new", disabled=True)
    changed = await webhooks.update("ada", endpoint.endpoint_id, change)
    assert (changed.url, changed.events, changed.description) == ("https://example.com/new", (DONE,), "new")
    assert (changed.disabled, changed.disabled_reason) == (True, "")
    with pytest.raises(StateConflict):
        await webhooks.test("ada", endpoint.endpoint_id)
    await sending.tell()
    assert await sending.send() == 0
    assert sending.world.webhook_rows.deliveries == {}


async def test_j8_rotation_signs_with_both_for_the_overlap() -> None:
    sending = Sending()
    endpoint = await sending.endpoint()
    _, second = await sending.world.webhooks.rotate("ada", endpoint.endpoint_id, timedelta(hours=1))
    assert await sending.world.webhooks.secret("ada", endpoint.endpoint_id) == second
    await sending.tell()
    await sending.send()
    sending.world.clock.advance(hours=1)
    await sending.tell()
    await sending.send()
    signatures = [len(posted.headers["webhook-signature"].split()) for posted in sending.messenger.posted]
    assert signatures == [2, 1]
    for overlap in (timedelta(seconds=-1), timedelta(days=7, seconds=1)):
        with pytest.raises(FieldsRefused):
            await sending.world.webhooks.rotate("ada", endpoint.endpoint_id, overlap)


async def test_j8_test_message_and_its_log() -> None:
    sending = Sending()
    endpoint = await sending.endpoint()
    delivery = await sending.world.webhooks.test("ada", endpoint.endpoint_id)
    assert (delivery.event, delivery.status) == (WebhookEvent.ENDPOINT_TEST, DeliveryStatus.PENDING)
    await sending.send()
    done = await sending.world.webhooks.delivery("ada", delivery.delivery_id)
    assert (done.status, [attempt.http_status for attempt in done.attempts]) == (DeliveryStatus.DELIVERED, [200])
    [posted] = sending.messenger.posted
    assert (posted.url, posted.headers["webhook-id"]) == (URL, delivery.delivery_id)
    assert posted.headers["content-type"] == "application/json"
    with pytest.raises(WebhookNotFound):
        await sending.world.webhooks.delivery("bob", delivery.delivery_id)
    with pytest.raises(WebhookNotFound):
        await sending.world.webhooks.redeliver("bob", delivery.delivery_id)


async def test_j8_log_in_pages() -> None:
    sending = Sending()
    endpoint = await sending.endpoint()
    for number in range(5):
        await sending.tell(subject=f"job-{number}")
    seen, token = [], ""
    for _ in range(3):
        page, token = await sending.world.webhooks.deliveries("ada", endpoint.endpoint_id, None, token, 2)
        seen += [delivery.subject_id for delivery in page]
    assert (sorted(seen), token) == ([f"job-{number}" for number in range(5)], "")
    _, token = await sending.world.webhooks.deliveries("ada", endpoint.endpoint_id, None, "", 2)
    with pytest.raises(FieldsRefused):
        await sending.world.webhooks.deliveries("ada", endpoint.endpoint_id, DeliveryStatus.FAILED, token, 2)


async def test_j8_receiver_comes_back() -> None:
    """J8: tried by the schedule under one id, until it is there; then never again."""
    sending = Sending()
    await sending.endpoint()
    sending.messenger.answers[URL] = [
        DOWN,
        Answer(429, "answered 429", 0.0, timedelta(minutes=5)),
        Answer(200, "", 0.0),
    ]
    await sending.tell()
    times = []
    while len(sending.messenger.posted) < 3:
        if await sending.send():
            times.append(sending.world.clock.now() - START)
        sending.world.clock.advance(seconds=5)
    assert times == [timedelta(0), timedelta(seconds=5), timedelta(seconds=305)]
    assert len({posted.headers["webhook-id"] for posted in sending.messenger.posted}) == 1
    stamps = [int(posted.headers["webhook-timestamp"]) for posted in sending.messenger.posted]
    assert all(before < after for before, after in pairwise(stamps))
    assert sending.observer.results == ["retried", "retried", "delivered"]
    sending.world.clock.advance(days=2)
    assert await sending.send() == 0


async def test_j8_enabling_tries_what_is_pending_at_once() -> None:
    """J8: what the service gave up is not lost."""
    sending = Sending()
    endpoint = await sending.endpoint()
    sending.messenger.answers[URL] = [Answer(410, "answered 410", 0.0), Answer(200, "", 0.0)]
    await sending.tell(subject="job-1")
    await sending.send()
    await sending.tell(subject="job-2")
    assert await sending.send() == 0
    assert sending.observer.results == ["gone"]
    changed = await sending.world.webhooks.update("ada", endpoint.endpoint_id, EndpointChange(disabled=False))
    assert not changed.disabled
    assert await sending.send() == 1
    delivered, _ = await sending.world.webhooks.deliveries(
        "ada", endpoint.endpoint_id, DeliveryStatus.DELIVERED, "", 10
    )
    assert [delivery.subject_id for delivery in delivered] == ["job-2"]


async def test_j8_redelivery_under_the_same_id() -> None:
    sending = Sending()
    endpoint = await sending.endpoint()
    await sending.tell()
    await sending.send()
    [delivery] = (await sending.world.webhooks.deliveries("ada", endpoint.endpoint_id, None, "", 10))[0]
    again = await sending.world.webhooks.redeliver("ada", delivery.delivery_id)
    assert (again.status, len(again.attempts)) == (DeliveryStatus.PENDING, 1)
    await sending.send()
    assert {posted.headers["webhook-id"] for posted in sending.messenger.posted} == {delivery.delivery_id}
    await sending.world.webhooks.update("ada", endpoint.endpoint_id, EndpointChange(disabled=True))
    with pytest.raises(StateConflict):
        await sending.world.webhooks.redeliver("ada", delivery.delivery_id)


async def test_j8_silent_receivers_hold_up_nobody() -> None:
    """J8: two in flight to each at most; others get theirs meanwhile."""
    sending = Sending()
    await sending.endpoint("dead", "bob")
    await sending.endpoint()
    sending.messenger.silent.add("https://example.com/dead")
    for number in range(5):
        await sending.tell("bob", f"job-{number}")
    async with sending.running():
        await sending.messenger.wait_for(lambda: len(sending.messenger.posted) == 2)
        for number in range(4):
            await sending.tell("ada", f"job-{number}")
        sending.wakeup.set()
        await sending.messenger.wait_for(lambda: [posted.url for posted in sending.messenger.posted].count(URL) == 4)
        assert len(sending.messenger.posted) == 6
        await sending.messenger.speak("https://example.com/dead")
        await sending.messenger.wait_for(lambda: len(sending.messenger.posted) == 9)


async def test_j8_struggling_endpoints_get_half_of_the_sender() -> None:
    """J8: however many receivers are dead, there is room for those that live."""
    sending = Sending(at_once=4)
    for number in range(4):
        endpoint = await sending.endpoint(f"dead-{number}", f"user-{number}")
        sending.messenger.silent.add(endpoint.url)
        sending.world.webhook_rows.endpoints[endpoint.endpoint_id].struggling = True
        await sending.tell(f"user-{number}")
    await sending.endpoint()
    sending.world.clock.advance(seconds=1)
    await sending.tell()
    async with sending.running():
        await sending.messenger.wait_for(lambda: len(sending.messenger.posted) == 3)
        assert [posted.url for posted in sending.messenger.posted].count(URL) == 1
        for number in range(4):
            await sending.messenger.speak(f"https://example.com/dead-{number}")
        await sending.messenger.wait_for(lambda: len(sending.messenger.posted) == 5)


async def test_j8_end_of_the_process_gives_back_what_was_being_sent() -> None:
    sending = Sending()
    await sending.endpoint()
    sending.messenger.silent.add(URL)
    await sending.tell()
    async with sending.running():
        await sending.messenger.wait_for(lambda: len(sending.messenger.posted) == 1)
    sending.messenger.silent.clear()
    assert await sending.send() == 1
    ids = {posted.headers["webhook-id"] for posted in sending.messenger.posted}
    assert len(ids) == 1
    assert sending.observer.results == ["delivered"]


async def test_j8_unreadable_secret_is_a_failed_attempt() -> None:
    """J8: after a change of the service's key nothing is sent unsigned, and the owner is told what to do."""
    sending = Sending()
    endpoint = await sending.endpoint()
    sending.world.webhook_rows.endpoints[endpoint.endpoint_id].secret = b"by another key"
    with pytest.raises(StateConflict, match="rotate"):
        await sending.world.webhooks.secret("ada", endpoint.endpoint_id)
    delivery = await sending.world.webhooks.test("ada", endpoint.endpoint_id)
    await sending.sender.begin()
    await sending.sender.settled()
    [attempt] = (await sending.world.webhooks.delivery("ada", delivery.delivery_id)).attempts
    assert "rotate" in attempt.error
    assert sending.messenger.posted == []


async def test_j8_fault_of_the_sender_itself_counts_as_an_attempt() -> None:
    """J8: else the lease would bring the message back for ever."""
    sending = Sending()
    endpoint = await sending.endpoint()
    sending.messenger.broken = RuntimeError("unforeseen")
    delivery = await sending.world.webhooks.test("ada", endpoint.endpoint_id)
    assert await sending.send() == 1
    [attempt] = (await sending.world.webhooks.delivery("ada", delivery.delivery_id)).attempts
    assert attempt.error == "could not be sent: RuntimeError"


async def test_j8_messages_on_the_wire_are_complete() -> None:
    """J8: no field is forgotten, and no secret is in an endpoint."""
    sending = Sending()
    endpoint = await sending.endpoint()
    endpoint.description, endpoint.last_success_at, endpoint.consecutive_failures = "d", START, 2
    endpoint.disable(START, "why")
    endpoint.previous_secret_expires_at = START
    message = webhook_codec.endpoint(endpoint)
    assert {name.name for name, _ in message.ListFields()} == {
        name.name for name in webhook_pb2.WebhookEndpoint.DESCRIPTOR.fields
    }
    await sending.tell()
    sending.messenger.answers[URL] = [DOWN]
    await sending.sender.begin()
    await sending.sender.settled()
    [delivery_id] = sending.world.webhook_rows.deliveries
    delivery = await sending.world.webhooks.delivery(ADA.subject, delivery_id)
    delivery.completed_at = START
    sent = webhook_codec.delivery(delivery)
    assert {name.name for name, _ in sent.ListFields()} == {
        name.name for name in webhook_pb2.WebhookDelivery.DESCRIPTOR.fields
    }
    assert {name.name for name, _ in sent.attempts[0].ListFields()} == {
        name.name for name in webhook_pb2.WebhookAttempt.DESCRIPTOR.fields
    }
    assert len(webhook_codec.EVENTS) == len(WebhookEvent)
    assert len(webhook_codec.STATUSES) == len(DeliveryStatus)


def test_j8_requests_are_read_with_their_unset_fields() -> None:
    assert webhook_codec.change(pb.UpdateWebhookEndpointRequest()) == EndpointChange()
    fields: dict[str, Any] = {"url": "u", "description": "", "disabled": False}
    assert webhook_codec.change(pb.UpdateWebhookEndpointRequest(**fields)) == EndpointChange(
        "u", (), "", disabled=False
    )
    assert webhook_codec.overlap(pb.RotateWebhookSecretRequest()) is None
    request = pb.RotateWebhookSecretRequest()
    request.overlap.seconds = 2**62
    with pytest.raises(FieldsRefused):
        webhook_codec.overlap(request)

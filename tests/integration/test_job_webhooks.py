"""J8: webhooks from a real job server over Postgres and Redis to real receivers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2
from sqlalchemy import text

from services.runtime.db import create_engine
from services.runtime.identity import Role
from services.runtime.ids import new_id
from t2m.job.v1 import job_pb2, webhook_pb2
from t2m.job.v1 import webhook_service_pb2 as pb
from tests.fakes.render_server import failed, planned, scene_done, succeeded
from tests.fakes.webhook_receiver import Receiver, answering, receiver, silent
from tests.integration.job_harness import DEADLINE_S, Caller, Running, World, failure, new_world, process

NETWORKS = {"webhook_allowed_networks": ["127.0.0.0/8"]}
DELIVERED = webhook_pb2.WEBHOOK_DELIVERY_STATUS_DELIVERED
PENDING = webhook_pb2.WEBHOOK_DELIVERY_STATUS_PENDING


@pytest.fixture
async def world(postgres: Callable[[], str], redis_server: str) -> AsyncGenerator[World]:
    async with new_world(postgres, redis_server) as world:
        world.renders.autoplay = lambda _: [planned("One"), scene_done(0, 90), succeeded("", "")]
        yield world


@pytest.fixture
async def server(world: World) -> AsyncGenerator[Running]:
    running = await world.start(**NETWORKS)
    yield running
    await running.stop()


@pytest.fixture
def user(server: Running) -> Caller:
    return server.caller()


@pytest.fixture
async def hook() -> AsyncGenerator[Receiver]:
    async with receiver() as running:
        yield running


async def subscribe(user: Caller, url: str, *events: Any) -> tuple[str, str]:
    """A new endpoint: its id and its secret."""
    answer = await user.call("CreateWebhookEndpoint", pb.CreateWebhookEndpointRequest(url=url, events=events))
    return answer.endpoint.endpoint_id, answer.secret


async def endpoint(user: Caller, endpoint_id: str) -> webhook_pb2.WebhookEndpoint:
    answer = await user.call("GetWebhookEndpoint", pb.GetWebhookEndpointRequest(endpoint_id=endpoint_id))
    found: webhook_pb2.WebhookEndpoint = answer.endpoint
    return found


async def log(user: Caller, endpoint_id: str, **fields: Any) -> list[webhook_pb2.WebhookDelivery]:
    request = pb.ListWebhookDeliveriesRequest(endpoint_id=endpoint_id, **fields)
    return list((await user.call("ListWebhookDeliveries", request)).deliveries)


async def delivery(
    user: Caller, delivery_id: str, condition: Callable[[webhook_pb2.WebhookDelivery], bool]
) -> webhook_pb2.WebhookDelivery:
    """The delivery, once the condition holds: what came of an attempt is noted after the receiver has it."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            answer = await user.call("GetWebhookDelivery", pb.GetWebhookDeliveryRequest(delivery_id=delivery_id))
            if condition(answer.delivery):
                found: webhook_pb2.WebhookDelivery = answer.delivery
                return found


async def test_j8_end_of_a_job_is_told_once(user: Caller, hook: Receiver) -> None:
    """J8: with a signature that the package of the specification accepts."""
    endpoint_id, secret = await subscribe(user, hook.url)
    job = await user.create()
    [request] = await hook.wait_for(1)
    message = request.verified(secret)
    assert (message["type"], message["data"]["job_id"]) == ("job.completed", job.job_id)
    assert message["data"]["status"] == "completed"
    assert message["data"]["video"]["download"] == f"/api/v1/videos/jobs/{job.job_id}/download"
    assert message["timestamp"].endswith("Z")
    done = await delivery(user, request.webhook_id, lambda found: found.status == DELIVERED)
    assert (done.subject_id, done.event) == (job.job_id, webhook_pb2.WEBHOOK_EVENT_TYPE_JOB_COMPLETED)
    assert [attempt.http_status for attempt in done.attempts] == [204]
    assert done.payload.encode() == request.body
    assert [entry.delivery_id for entry in await log(user, endpoint_id)] == [request.webhook_id]
    assert (await endpoint(user, endpoint_id)).HasField("last_success_at")
    assert len(hook.received) == 1


async def test_j8_failure_and_cancel_are_told(world: World, user: Caller, hook: Receiver) -> None:
    """J8: to those who asked for them."""
    wanted = [webhook_pb2.WEBHOOK_EVENT_TYPE_JOB_FAILED, webhook_pb2.WEBHOOK_EVENT_TYPE_JOB_CANCELLED]
    _, secret = await subscribe(user, hook.url, *wanted)
    completed = await user.create()
    await user.ended(completed.job_id)
    world.renders.autoplay = lambda _: [planned("One", "Two"), failed(retryable=False)]
    broken = await user.create()
    [first] = await hook.wait_for(1)
    message = first.verified(secret)
    assert (message["type"], message["data"]["job_id"]) == ("job.failed", broken.job_id)
    assert message["data"]["error"]["code"] == "SCENE_RENDER_FAILED"
    world.renders.autoplay = None
    stopped = await user.create()
    await user.cancel(stopped.job_id)
    [_, second] = await hook.wait_for(2)
    message = second.verified(secret)
    assert (message["type"], message["data"]["job_id"]) == ("job.cancelled", stopped.job_id)


async def test_j8_order_with_its_own_url(user: Caller, hook: Receiver) -> None:
    """J8: an endpoint is made for it, whose secret is known before the message comes; it hears of no other order."""
    other = await user.create()
    await user.ended(other.job_id)
    job = await user.create(webhook_url=hook.url)
    assert job.webhook_url == hook.url
    [made] = (await user.call("ListWebhookEndpoints", pb.ListWebhookEndpointsRequest())).endpoints
    assert (made.url, list(made.events)) == (hook.url, [])
    secret = (await user.call("GetWebhookSecret", pb.GetWebhookSecretRequest(endpoint_id=made.endpoint_id))).secret
    [request] = await hook.wait_for(1)
    assert request.verified(secret)["data"]["job_id"] == job.job_id


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://0x0a000001/",
        "https://localhost/",
        "https://user@example.com/",
        "https://example.com/#x",
    ],
)
async def test_j8_hostile_url_is_refused_by_its_field(user: Caller, url: str) -> None:
    """J8: of an endpoint, and of an order, which is then not accepted."""
    for call, path in ((subscribe(user, url), "url"), (user.create(webhook_url=url), "webhook_url")):
        refused = await failure(call)
        assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")
        assert [found for found, _ in refused.violations] == [path]


async def test_j8_url_that_leads_inside_is_refused_when_it_is_used(world: World, hook: Receiver) -> None:
    """J8: an endpoint from before a network was closed is not connected to any more; the log says why."""
    server = await world.start()
    user = server.caller()
    endpoint_id, _ = await subscribe(user, "https://example.com/")
    engine = create_engine(world.database_url)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE webhook_endpoints SET url = :url"), {"url": hook.url})
    await engine.dispose()
    sent = (await user.call("TestWebhookEndpoint", pb.TestWebhookEndpointRequest(endpoint_id=endpoint_id))).delivery
    tried = await delivery(user, sent.delivery_id, lambda found: found.attempt_count > 0)
    assert (tried.status, tried.attempts[0].http_status) == (PENDING, 0)
    assert tried.attempts[0].error == "the url must not lead to 127.0.0.1, which is loopback"
    assert hook.received == []
    await server.stop()


async def test_j8_receiver_that_was_down_is_told_later(world: World, user: Caller, hook: Receiver) -> None:
    """J8: under the same id, by the schedule."""
    _, secret = await subscribe(user, hook.url)
    hook.conduct = answering(503)
    await user.create()
    [first] = await hook.wait_for(1)
    tried = await delivery(user, first.webhook_id, lambda found: found.attempt_count == 1)
    assert tried.status == PENDING
    wait = tried.next_attempt_at.ToDatetime() - tried.attempts[0].attempted_at.ToDatetime()
    assert timedelta(seconds=4) < wait < timedelta(seconds=8)
    hook.conduct = answering(204)
    world.clock.offset = timedelta(minutes=1)
    [_, second] = await hook.wait_for(2)
    assert second.webhook_id == first.webhook_id
    assert second.body == first.body
    second.verified(secret)
    done = await delivery(user, first.webhook_id, lambda found: found.status == DELIVERED)
    assert [attempt.http_status for attempt in done.attempts] == [503, 204]


async def test_j8_gone_disables_and_enabling_sends_what_waits(user: Caller, hook: Receiver) -> None:
    endpoint_id, _ = await subscribe(user, hook.url)
    hook.conduct = answering(410)
    job = await user.create()
    [first] = await hook.wait_for(1)
    await delivery(user, first.webhook_id, lambda found: found.HasField("completed_at"))
    gone = await endpoint(user, endpoint_id)
    assert (gone.disabled, gone.disabled_reason) == (True, "the endpoint answered 410 Gone")
    refused = await failure(user.call("TestWebhookEndpoint", pb.TestWebhookEndpointRequest(endpoint_id=endpoint_id)))
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STATE_CONFLICT")
    later = await user.create()
    await user.ended(later.job_id)
    hook.conduct = answering(204)
    request = pb.UpdateWebhookEndpointRequest(endpoint_id=endpoint_id, disabled=False)
    assert not (await user.call("UpdateWebhookEndpoint", request)).endpoint.disabled
    [_, second] = await hook.wait_for(2)
    assert second.message["data"]["job_id"] == later.job_id
    again = await user.call("RedeliverWebhook", pb.RedeliverWebhookRequest(delivery_id=first.webhook_id))
    assert again.delivery.status == PENDING
    [*_, third] = await hook.wait_for(3)
    assert (third.webhook_id, third.message["data"]["job_id"]) == (first.webhook_id, job.job_id)


async def test_j8_rotation_overlaps(world: World, user: Caller, hook: Receiver) -> None:
    """J8: both secrets verify until the overlap ends, then only the new one."""
    endpoint_id, old = await subscribe(user, hook.url)
    overlap = duration_pb2.Duration(seconds=60)
    answer = await user.call(
        "RotateWebhookSecret", pb.RotateWebhookSecretRequest(endpoint_id=endpoint_id, overlap=overlap)
    )
    assert answer.secret != old
    assert answer.endpoint.HasField("previous_secret_expires_at")
    await user.create()
    [first] = await hook.wait_for(1)
    assert first.verified(old) == first.verified(answer.secret)
    world.clock.offset = timedelta(minutes=2)
    await user.create()
    [_, second] = await hook.wait_for(2)
    second.verified(answer.secret)
    assert len(second.headers["webhook-signature"].split()) == 1


async def test_j8_killed_in_the_middle_is_sent_again(world: World, hook: Receiver) -> None:
    """J8: at least once: kill -9 between the request and its record; the next process repeats it under the same id."""
    setting = {
        "T2M_WEBHOOK_ALLOWED_NETWORKS": '["127.0.0.0/8"]',
        "T2M_WEBHOOK_TIMEOUT_S": "1.5",
        "T2M_WEBHOOK_LEASE_S": "2",
    }
    hook.conduct = silent
    async with process(world, **setting) as (child, user):
        _, secret = await subscribe(user, hook.url)
        await user.create()
        [first] = await hook.wait_for(1)
        child.kill()
        await child.wait()
    hook.conduct = answering(204)
    async with process(world, **setting) as (_, user):
        [_, second] = await hook.wait_for(2)
        assert second.webhook_id == first.webhook_id
        assert second.verified(secret) == first.verified(secret)
        done = await delivery(user, first.webhook_id, lambda found: found.status == DELIVERED)
        assert [attempt.http_status for attempt in done.attempts] == [204]


async def test_j8_dead_receiver_delays_nobody(user: Caller, server: Running, hook: Receiver) -> None:
    """J8: neither jobs nor other receivers wait while one hangs, and no more than two requests hang with it."""
    async with receiver(silent) as dead:
        await subscribe(user, dead.url)
        await subscribe(user, hook.url)
        stranger = server.caller()
        async with receiver() as other:
            await subscribe(stranger, other.url)
            jobs = [await caller.create() for caller in (user, stranger) for _ in range(4)]
            for job, caller in zip(jobs, [user] * 4 + [stranger] * 4, strict=True):
                assert (await caller.ended(job.job_id)).status == job_pb2.JOB_STATUS_COMPLETED
            await hook.wait_for(4)
            await other.wait_for(4)
        assert len(dead.received) == 2


async def test_j8_replicas_send_each_message_once(world: World, server: Running, user: Caller, hook: Receiver) -> None:
    second = await world.start(**NETWORKS)
    await subscribe(user, hook.url)
    jobs = {(await user.create()).job_id for _ in range(12)}
    requests = await hook.wait_for(12)
    assert {request.message["data"]["job_id"] for request in requests} == jobs
    for request in requests:
        await delivery(user, request.webhook_id, lambda found: found.status == DELIVERED)
    assert len(hook.received) == 12
    await second.stop()


async def test_j8_others_see_nothing(server: Running, user: Caller, hook: Receiver) -> None:
    """J8, A5: an admin may look, but change nothing and learn no secret; a stranger finds nothing at all."""
    endpoint_id, _ = await subscribe(user, hook.url)
    sent = (await user.call("TestWebhookEndpoint", pb.TestWebhookEndpointRequest(endpoint_id=endpoint_id))).delivery
    requests: list[tuple[str, Any]] = [
        ("GetWebhookEndpoint", pb.GetWebhookEndpointRequest(endpoint_id=endpoint_id)),
        ("UpdateWebhookEndpoint", pb.UpdateWebhookEndpointRequest(endpoint_id=endpoint_id, disabled=True)),
        ("DeleteWebhookEndpoint", pb.DeleteWebhookEndpointRequest(endpoint_id=endpoint_id)),
        ("GetWebhookSecret", pb.GetWebhookSecretRequest(endpoint_id=endpoint_id)),
        ("RotateWebhookSecret", pb.RotateWebhookSecretRequest(endpoint_id=endpoint_id)),
        ("TestWebhookEndpoint", pb.TestWebhookEndpointRequest(endpoint_id=endpoint_id)),
        ("ListWebhookDeliveries", pb.ListWebhookDeliveriesRequest(endpoint_id=endpoint_id)),
        ("GetWebhookDelivery", pb.GetWebhookDeliveryRequest(delivery_id=sent.delivery_id)),
        ("RedeliverWebhook", pb.RedeliverWebhookRequest(delivery_id=sent.delivery_id)),
    ]
    looks = {"GetWebhookEndpoint", "ListWebhookDeliveries", "GetWebhookDelivery"}
    for stranger, open_to in ((server.caller(), set()), (server.caller(role=Role.ADMIN), looks)):
        assert list((await stranger.call("ListWebhookEndpoints", pb.ListWebhookEndpointsRequest())).endpoints) == []
        for name, request in requests:
            if name in open_to:
                assert "whsec" not in str(await stranger.call(name, request))
                continue
            refused = await failure(stranger.call(name, request))
            assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND"), name
    await user.call("DeleteWebhookEndpoint", pb.DeleteWebhookEndpointRequest(endpoint_id=endpoint_id.upper()))
    refused = await failure(endpoint(user, endpoint_id))
    assert refused.code is grpc.StatusCode.NOT_FOUND


async def test_j8_secret_is_sealed_and_shown_only_on_request(world: World, user: Caller, hook: Receiver) -> None:
    endpoint_id, secret = await subscribe(user, hook.url)
    listed = await user.call("ListWebhookEndpoints", pb.ListWebhookEndpointsRequest())
    assert "whsec" not in str(listed)
    assert (await user.call("GetWebhookSecret", pb.GetWebhookSecretRequest(endpoint_id=endpoint_id))).secret == secret
    engine = create_engine(world.database_url)
    async with engine.begin() as connection:
        [stored] = (await connection.execute(text("SELECT secret FROM webhook_endpoints"))).scalars()
    await engine.dispose()
    assert secret.removeprefix("whsec_").encode() not in bytes(stored)


async def test_j8_limits_and_conflicts(user: Caller) -> None:
    """J8: the 21st endpoint is refused, for an order too; a URL is used once."""
    for number in range(20):
        await subscribe(user, f"https://example.com/{number}")
    for call in (subscribe(user, "https://example.com/20"), user.create(webhook_url="https://example.com/20")):
        refused = await failure(call)
        assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXHAUSTED")
    refused = await failure(subscribe(user, "https://example.com/3"))
    assert (refused.code, refused.reason) == (grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS")
    refused = await failure(
        user.call("ListWebhookDeliveries", pb.ListWebhookDeliveriesRequest(endpoint_id=new_id(), page_token="x"))
    )
    assert refused.code is grpc.StatusCode.NOT_FOUND

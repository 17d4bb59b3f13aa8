"""Lists over a real server and Postgres: J2, J5, A5."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from services.runtime.identity import Role
from t2m.job.v1 import job_pb2
from t2m.job.v1 import job_service_pb2 as pb
from tests.fakes.render_server import planned, succeeded
from tests.integration.job_harness import Caller, Running, World, failure, new_world


@pytest.fixture
async def world(postgres: Callable[[], str], redis_server: str) -> AsyncGenerator[World]:
    async with new_world(postgres, redis_server) as world:
        yield world


@pytest.fixture
async def server(world: World) -> AsyncGenerator[Running]:
    running_server = await world.start(max_in_flight=1)
    yield running_server
    await running_server.stop()


@pytest.fixture
def user(server: Running) -> Caller:
    return server.caller()


async def listed(user: Caller, **fields: Any) -> list[str]:
    answer = await user.call("ListJobs", pb.ListJobsRequest(**fields))
    return [job.job_id for job in answer.jobs]


async def test_j2_pages_are_stable_while_rows_are_inserted(user: Caller) -> None:
    """J2: every job that was there is seen once, whatever is added in between."""
    created = [(await user.create()).job_id for _ in range(7)]
    seen, token = [], ""
    for _ in range(4):
        page = await user.call("ListJobs", pb.ListJobsRequest(page_size=2, page_token=token))
        seen += [job.job_id for job in page.jobs]
        token = page.next_page_token
        await user.create()
    assert seen == created[::-1]
    assert token == ""


async def test_j2_filters_order_skip_take_and_total(world: World, user: Caller) -> None:
    first = await user.create(topic="Rings and 100% fields", priority=job_pb2.JOB_PRIORITY_HIGH)
    second, third = await user.create(), await user.create()
    await world.renders.started(f"{first.job_id}-1")
    await user.cancel(second.job_id)
    assert await listed(user, status=[job_pb2.JOB_STATUS_CANCELLED]) == [second.job_id]
    active = [job_pb2.JOB_STATUS_PROCESSING, job_pb2.JOB_STATUS_QUEUED]
    assert await listed(user, status=active) == [third.job_id, first.job_id]
    assert await listed(user, priority=job_pb2.JOB_PRIORITY_HIGH) == [first.job_id]
    assert await listed(user, topic="RINGS and 100%") == [first.job_id]
    assert await listed(user, batch_id="b") == []
    assert (await listed(user, order_by=pb.JOB_ORDER_UPDATED_AT))[0] == second.job_id
    soon = Timestamp()
    soon.FromDatetime(datetime.now(UTC) + timedelta(minutes=1))
    assert await listed(user, created_after=soon) == []
    assert len(await listed(user, created_before=soon)) == 3
    assert len(await listed(user, created_after=second.created_at, created_before=third.created_at)) == 1
    assert await listed(user, skip=1, take=1) == [second.job_id]
    answer = await user.call("ListJobs", pb.ListJobsRequest(page_size=1, include_total=True))
    assert (answer.total_count, len(answer.jobs)) == (3, 1)
    assert not (await user.call("ListJobs", pb.ListJobsRequest())).HasField("total_count")


async def test_a5_list_shows_own_jobs_and_an_admin_all(server: Running, user: Caller) -> None:
    mine, theirs = await user.create(), await server.caller().create()
    assert await listed(user) == [mine.job_id]
    assert await listed(server.caller(role=Role.ADMIN)) == [theirs.job_id, mine.job_id]


async def test_j2_bad_wishes_name_their_field(server: Running, user: Caller) -> None:
    for _ in range(2):
        await user.create()
    token = (await user.call("ListJobs", pb.ListJobsRequest(page_size=1))).next_page_token
    wishes: list[tuple[Caller, dict[str, Any], str]] = [
        (user, {"page_token": "nonsense"}, "page_token"),
        (user, {"page_token": token, "topic": "x"}, "page_token"),
        (server.caller(), {"page_token": token}, "page_token"),
        (user, {"page_token": token, "skip": 1}, "skip"),
        (user, {"page_size": 2, "take": 3}, "take"),
        (user, {"page_size": 101}, "page_size"),
        (user, {"topic": "\0"}, "topic"),
    ]
    for caller, fields, path in wishes:
        refused = await failure(caller.call("ListJobs", pb.ListJobsRequest(**fields)))
        assert (refused.code, refused.violations[0][0]) == (grpc.StatusCode.INVALID_ARGUMENT, path), fields


async def test_j1_history_pages(world: World, user: Caller) -> None:
    job = await user.create()
    render_id = f"{job.job_id}-1"
    await world.renders.started(render_id)
    await world.renders.emit(render_id, planned("One"), succeeded("", ""))
    last = (await user.ended(job.job_id)).revision
    seen, token = [], ""
    for _ in range(last):
        request = pb.ListJobEventsRequest(job_id=job.job_id, page_size=1, page_token=token)
        page = await user.call("ListJobEvents", request)
        seen += [event.seq for event in page.events]
        token = page.next_page_token
    assert (seen, token) == (list(range(1, last + 1)), "")
    forged = pb.ListJobEventsRequest(job_id=job.job_id, page_token="AAAA")
    assert (await failure(user.call("ListJobEvents", forged))).code is grpc.StatusCode.INVALID_ARGUMENT


async def test_j5_v3_order_of_the_queue(world: World, user: Caller) -> None:
    """J5, V3: with one slot, high goes before default before low, and each sees its position."""
    blocker = await user.create()
    await world.renders.started(f"{blocker.job_id}-1")
    low = await user.create(priority=job_pb2.JOB_PRIORITY_LOW)
    default = await user.create()
    high = await user.create(priority=job_pb2.JOB_PRIORITY_HIGH)
    expected = [high.job_id, default.job_id, low.job_id]
    assert [(await user.progress(job_id)).queue_position for job_id in expected] == [0, 1, 2]
    assert not (await user.progress(blocker.job_id)).HasField("queue_position")
    running = blocker.job_id
    for job_id in expected:
        await world.renders.emit(f"{running}-1", succeeded("", ""))
        await world.renders.started(f"{job_id}-1")
        running = job_id
    assert list(world.renders.renders) == [f"{job_id}-1" for job_id in [blocker.job_id, *expected]]


async def test_j5_one_user_cannot_block_the_others(world: World) -> None:
    """J5: the limit per user holds while slots are free."""
    server = await world.start(max_in_flight=8, plans={"free": {"in_flight": 2}})
    try:
        flood, other = server.caller(), server.caller()
        jobs = [await flood.create() for _ in range(6)]
        single = await other.create()
        expected = {f"{job.job_id}-1" for job in (*jobs[:2], single)}
        await world.renders.wait_for(lambda: expected <= set(world.renders.renders))
        await world.renders.emit(f"{jobs[0].job_id}-1", succeeded("", ""))
        await world.renders.started(f"{jobs[2].job_id}-1")
        assert set(world.renders.renders) == {*expected, f"{jobs[2].job_id}-1"}
    finally:
        await server.stop()

"""What operators do, over a real server and Postgres (J9)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import grpc
import pytest

from services.runtime.identity import Role
from t2m.job.v1 import admin_service_pb2 as pb
from t2m.job.v1 import job_pb2
from t2m.job.v1 import job_service_pb2 as jobs_pb
from t2m.job.v1 import queue_service_pb2 as queue_pb
from tests.fakes.render_server import failed, planned, succeeded
from tests.integration.job_harness import Caller, Running, World, failure, new_world


@pytest.fixture
async def world(postgres: Callable[[], str], redis_server: str) -> AsyncGenerator[World]:
    async with new_world(postgres, redis_server) as world:
        yield world


@pytest.fixture
async def server(world: World) -> AsyncGenerator[Running]:
    running_server = await world.start()
    yield running_server
    await running_server.stop()


@pytest.fixture
def user(server: Running) -> Caller:
    return server.caller()


@pytest.fixture
def admin(server: Running) -> Caller:
    return server.caller(role=Role.ADMIN)


async def fail(world: World, user: Caller, code: str = "SCENE_RENDER_FAILED") -> str:
    """A job that has failed."""
    job = await user.create(max_retries=0)
    await world.renders.started(f"{job.job_id}-1")
    await world.renders.emit(f"{job.job_id}-1", failed(code, retryable=False))
    await user.ended(job.job_id)
    return job.job_id


async def reprocess(admin: Caller, job_id: str) -> job_pb2.Job:
    job: job_pb2.Job = (await admin.call("ReprocessJob", pb.ReprocessJobRequest(job_id=job_id))).job
    return job


async def actions(admin: Caller, job_id: str = "") -> list[str]:
    answer = await admin.call("ListAuditEntries", pb.ListAuditEntriesRequest(job_id=job_id))
    return [entry.action for entry in answer.entries]


async def test_J9_a_failed_job_is_made_again_as_a_new_one(world: World, user: Caller, admin: Caller) -> None:
    """J9: in its owner's name; ten who ask at once get one; a terminal state never changes."""
    job_id = await fail(world, user)
    repeats = await asyncio.gather(*(reprocess(admin, job_id) for _ in range(10)))
    [repeat_id] = {job.job_id for job in repeats}
    mine = await user.get(repeat_id)
    assert (mine.origin_job_id, mine.owner_id, mine.topic) == (job_id, user.subject, (await user.get(job_id)).topic)
    assert (await user.get(job_id)).status == job_pb2.JOB_STATUS_FAILED
    await world.renders.started(f"{repeat_id}-1")
    await world.renders.emit(f"{repeat_id}-1", planned("One"), failed(retryable=False))
    await user.ended(repeat_id)
    third = await reprocess(admin, job_id)
    assert third.job_id not in (job_id, repeat_id)
    assert "job.reprocessed" in await actions(admin, job_id)


async def test_J9_only_what_has_failed_or_was_stopped_is_made_again(world: World, user: Caller, admin: Caller) -> None:
    """J9."""
    job = await user.create()
    await world.renders.started(f"{job.job_id}-1")
    conflict = await failure(reprocess(admin, job.job_id))
    assert (conflict.code, conflict.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STATE_CONFLICT")
    await user.cancel(job.job_id)
    assert (await reprocess(admin, job.job_id)).origin_job_id == job.job_id
    unknown = "01a1fb85-4555-748c-b96c-e00eee985b36"
    assert (await failure(reprocess(admin, unknown))).code == grpc.StatusCode.NOT_FOUND
    await user.call("DeleteJob", jobs_pb.DeleteJobRequest(job_id=job.job_id))
    assert (await failure(reprocess(admin, job.job_id))).code == grpc.StatusCode.NOT_FOUND


async def test_J9_failed_jobs_are_listed(world: World, user: Caller, admin: Caller) -> None:
    """J9: of everybody, last failed first, by code and owner, in pages."""
    first, second = await fail(world, user, "A"), await fail(world, user, "B")
    await user.create()

    async def listed(**fields: Any) -> list[str]:
        answer = await admin.call("ListFailedJobs", pb.ListFailedJobsRequest(**fields))
        return [job.job_id for job in answer.jobs]

    assert await listed(owner_id=user.subject) == [second, first]
    assert await listed(error_code="A") == [first]
    assert await listed(owner_id="nobody") == []
    after = (await user.get(second)).completed_at
    assert await listed(failed_after=after) == [second]
    page = await admin.call("ListFailedJobs", pb.ListFailedJobsRequest(page_size=1))
    assert await listed(page_size=1, page_token=page.next_page_token) == [first]
    forged = await failure(listed(page_token=page.next_page_token, error_code="A"))
    assert forged.violations[0][0] == "page_token"


async def test_J9_a_running_job_is_taken_back(world: World, user: Caller, admin: Caller) -> None:
    """J9: its render is stopped; the next attempt does not count against its retries."""
    job = await user.create(max_retries=0)
    await world.renders.started(f"{job.job_id}-1")
    request = pb.RequeueJobRequest(job_id=job.job_id)
    await admin.call("RequeueJob", request)
    await world.renders.wait_for(lambda: world.renders.renders[f"{job.job_id}-1"].cancels == 1)
    await world.renders.started(f"{job.job_id}-2")
    await world.renders.emit(f"{job.job_id}-2", planned("One"), succeeded("v", "t"))
    done = await user.ended(job.job_id)
    assert (done.status, done.attempt) == (job_pb2.JOB_STATUS_COMPLETED, 2)
    assert (await failure(admin.call("RequeueJob", request))).code == grpc.StatusCode.FAILED_PRECONDITION
    assert await actions(admin, job.job_id) == ["job.requeued"]


async def test_J9_a_wait_for_the_next_attempt_is_ended(world: World, user: Caller, admin: Caller) -> None:
    """J9."""
    job = await user.create()
    await world.renders.started(f"{job.job_id}-1")
    await world.renders.emit(f"{job.job_id}-1", failed())
    await user.until(job.job_id, lambda progress: progress.HasField("next_attempt_at"))
    await admin.call("RequeueJob", pb.RequeueJobRequest(job_id=job.job_id))
    await world.renders.started(f"{job.job_id}-2")


async def test_J9_drained_over_restarts_until_it_is_resumed(world: World, user: Caller, admin: Caller) -> None:
    """J9: orders are accepted, running jobs go on, nothing starts; on every replica."""
    running_job = await user.create()
    await world.renders.started(f"{running_job.job_id}-1")
    drained = (await admin.call("DrainQueue", pb.DrainQueueRequest())).queue
    assert (drained.drained, drained.drained_by, drained.slot_count) == (True, admin.subject, 32)
    waiting = await user.create(priority=job_pb2.JOB_PRIORITY_LOW)
    other = await world.start()
    await world.renders.emit(f"{running_job.job_id}-1", planned("One"), succeeded("v", "t"))
    await user.ended(running_job.job_id)
    queue = (await other.caller(role=Role.ADMIN).call("GetQueue", pb.GetQueueRequest())).queue
    assert {depth.priority: depth.ready_count for depth in queue.depths}[job_pb2.JOB_PRIORITY_LOW] == 1
    assert (queue.drained, queue.processing_count) == (True, 0)
    assert f"{waiting.job_id}-1" not in world.renders.renders
    assert not (await admin.call("ResumeQueue", pb.ResumeQueueRequest())).queue.drained
    await world.renders.started(f"{waiting.job_id}-1")
    await admin.call("ResumeQueue", pb.ResumeQueueRequest())
    assert (await actions(admin))[:2] == ["queue.resumed", "queue.drained"]
    await other.stop()


async def test_A5_J9_only_admins(user: Caller, server: Running) -> None:
    """A5, J9: neither users nor services."""
    for caller in (user, server.caller(role=Role.SERVICE)):
        refused = await failure(caller.call("DrainQueue", pb.DrainQueueRequest()))
        assert refused.code == grpc.StatusCode.PERMISSION_DENIED


async def test_O1_J5_users_see_how_long_the_queue_is(user: Caller, admin: Caller, server: Running) -> None:
    """O1: depth per priority, capacity, the place of the caller's next job; nothing is promised while it is paused."""
    await admin.call("DrainQueue", pb.DrainQueueRequest())
    for _ in range(2):
        await user.create(priority=job_pb2.JOB_PRIORITY_LOW)
    status = (await user.call("GetQueueStatus", queue_pb.GetQueueStatusRequest())).queue_status
    assert (status.paused, status.processing_count, status.slot_count) == (True, 0, 32)
    waiting = {depth.priority: (depth.waiting_count, depth.position) for depth in status.depths}
    assert len(waiting) == 3
    assert waiting[job_pb2.JOB_PRIORITY_LOW] == (2, 2)
    assert waiting[job_pb2.JOB_PRIORITY_HIGH][0] == 0
    assert not any(depth.HasField("estimated_wait") for depth in status.depths)
    other = (await server.caller().call("GetQueueStatus", queue_pb.GetQueueStatusRequest())).queue_status
    assert min(depth.position for depth in other.depths) < 2, "users take turns"

"""Batches over a real server, Postgres and Redis, with a scripted video_render (V2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from typing import Any

import grpc
import pytest

from services.runtime.identity import Role
from t2m.common.v1 import options_pb2
from t2m.job.v1 import batch_pb2
from t2m.job.v1 import batch_service_pb2 as pb
from t2m.job.v1 import job_service_pb2 as jobs_pb
from tests.fakes.render_server import drawn, failed, planned, succeeded
from tests.integration.job_harness import ORDER, Caller, Running, World, failure, new_world

PROCESSING = batch_pb2.BATCH_STATUS_PROCESSING


@pytest.fixture
async def world(postgres: Callable[[], str], redis_server: str) -> AsyncGenerator[World]:
    async with new_world(postgres, redis_server) as world:
        yield world


@pytest.fixture
async def server(world: World) -> AsyncGenerator[Running]:
    running_server = await world.start(plans={"free": {"in_flight": 50}}, retry_base_s=0)
    yield running_server
    await running_server.stop()


@pytest.fixture
def user(server: Running) -> Caller:
    return server.caller()


def items(count: int, **change: Any) -> list[jobs_pb.CreateJobRequest]:
    """That many orders."""
    return [jobs_pb.CreateJobRequest(**{**ORDER, "topic": f"Topic {number}", **change}) for number in range(count)]


async def create(user: Caller, *requests: jobs_pb.CreateJobRequest, **fields: Any) -> pb.CreateBatchResponse:
    answer: pb.CreateBatchResponse = await user.call("CreateBatch", pb.CreateBatchRequest(requests=requests, **fields))
    return answer


async def get(user: Caller, batch_id: str) -> batch_pb2.Batch:
    batch: batch_pb2.Batch = (await user.call("GetBatch", pb.GetBatchRequest(batch_id=batch_id))).batch
    return batch


async def watch(user: Caller, batch_id: str, after_seq: int | None = None) -> list[batch_pb2.BatchEvent]:
    """Everything that a watch gives until it ends."""
    request = pb.WatchBatchRequest(batch_id=batch_id, after_seq=after_seq)
    call = user.method("WatchBatch", request)(request, metadata=user.metadata, timeout=30)
    return [answer.event async for answer in call]


def jobs_of(answer: pb.CreateBatchResponse) -> list[str]:
    return [item.job.job_id for item in answer.items if item.HasField("job")]


async def test_V2_fifty_items_with_three_bad_ones(user: Caller) -> None:
    """V2: 47 jobs and three refusals that name item and field, of rules, orders and unreadable JSON alike."""
    requests = items(50)
    requests[3].topic = ""
    requests[17].use_rag = True
    requests[41].Clear()
    unreadable = [options_pb2.UnreadableItem(index=41, field="quality", description="unknown value")]
    answer = await create(user, *requests, unreadable=unreadable)
    assert [item.index for item in answer.items] == list(range(50))
    refused = {item.index: item.refusal for item in answer.items if item.HasField("refusal")}
    assert {index: (each.error_code, each.violations[0].field) for index, each in refused.items()} == {
        3: ("VALIDATION_FAILED", "topic"),
        17: ("UNSUPPORTED", "use_rag"),
        41: ("VALIDATION_FAILED", "quality"),
    }
    assert list(answer.batch.refusals) == [refused[index] for index in (3, 17, 41)]
    assert len(set(jobs_of(answer))) == 47
    assert (answer.batch.total_count, answer.batch.refused_count, answer.batch.queued_count) == (50, 3, 47)
    page = await user.call("ListJobs", jobs_pb.ListJobsRequest(batch_id=answer.batch.batch_id, page_size=100))
    assert {job.job_id for job in page.jobs} == set(jobs_of(answer))
    assert (await user.get(jobs_of(answer)[0])).batch_id == answer.batch.batch_id


async def test_V2_a_batch_of_nothing_but_bad_items_has_failed(user: Caller) -> None:
    """V2: it is accepted, has no job, and is over at once."""
    answer = await create(user, *items(2, topic=""))
    assert answer.batch.status == batch_pb2.BATCH_STATUS_FAILED
    assert jobs_of(answer) == []
    [event] = await watch(user, answer.batch.batch_id, 0)
    assert (event.seq, event.WhichOneof("event"), event.ended.refused_count) == (1, "ended", 2)


async def test_V2_the_request_as_a_whole(user: Caller) -> None:
    """V2: no item, 51 items, an item with a name of its own."""
    for requests in ([], items(51)):
        refused = await failure(create(user, *requests))
        assert (refused.code, refused.violations[0][0]) == (grpc.StatusCode.INVALID_ARGUMENT, "requests")
    answer = await create(user, *items(1, request_id="mine"))
    assert answer.items[0].refusal.violations[0].field == "request_id"


async def test_V2_fifty_identical_batches_at_once_are_one(user: Caller, server: Running) -> None:
    """V2: one batch, one set of jobs, fifty same answers; another body is a conflict; another owner is another."""
    answers = await asyncio.gather(*(create(user, *items(3), request_id="once") for _ in range(50)))
    assert len({answer.batch.batch_id for answer in answers}) == 1
    assert len({tuple(jobs_of(answer)) for answer in answers}) == 1
    page = await user.call("ListJobs", jobs_pb.ListJobsRequest(page_size=100))
    assert len(page.jobs) == 3
    conflict = await failure(create(user, *items(2), request_id="once"))
    assert (conflict.code, conflict.reason) == (grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_CONFLICT")
    other = await create(server.caller(), *items(3), request_id="once")
    assert other.batch.batch_id != answers[0].batch.batch_id
    job = await user.create(request_id="once")
    assert job.job_id not in jobs_of(answers[0]), "a batch's name and a job's are two names"


async def test_V2_a_request_id_is_free_again_after_a_day(world: World) -> None:
    """V2: of a batch and of a job."""
    server = await world.start()
    user = server.caller()
    first, job = await create(user, *items(1), request_id="daily"), await user.create(request_id="daily")
    world.clock.offset = timedelta(hours=23, minutes=59)
    assert (await create(user, *items(1), request_id="daily")).batch.batch_id == first.batch.batch_id
    assert (await user.create(request_id="daily")).job_id == job.job_id
    world.clock.offset = timedelta(hours=24, minutes=1)
    assert (await create(user, *items(2), request_id="daily")).batch.batch_id != first.batch.batch_id
    assert (await user.create(request_id="daily", topic="Another")).job_id != job.job_id
    await server.stop()


async def test_V2_watched_from_start_to_end(world: World, user: Caller) -> None:
    """V2: every event once, counts that add up, progress that never falls, the end last; resumed anywhere."""
    answer = await create(
        user,
        *items(3),
    )
    batch_id, (good, bad, other) = answer.batch.batch_id, jobs_of(answer)
    watching = asyncio.ensure_future(watch(user, batch_id, 0))
    for job_id in (good, bad, other):
        await world.renders.started(f"{job_id}-1")
    await world.renders.emit(f"{good}-1", planned("One"), drawn(60.0))
    await world.renders.emit(f"{bad}-1", failed(retryable=False))
    await user.ended(bad)
    await world.renders.emit(f"{good}-1", succeeded("v", "t"))
    await world.renders.emit(f"{other}-1", planned("One"), succeeded("v", "t"))
    events = await watching
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.WhichOneof("event") for event in events] == ["progress"] * (len(events) - 1) + ["ended"]
    for event in events[:-1]:
        counts = event.progress
        assert sum(getattr(counts, name) for name in counts.DESCRIPTOR.fields_by_name if name != "progress") == 3
    shares = [event.progress.progress for event in events[:-1]]
    assert shares == sorted(shares)
    ended = events[-1].ended
    assert ended.status == batch_pb2.BATCH_STATUS_PARTIALLY_COMPLETED
    assert (ended.completed_count, ended.failed_count) == (2, 1)
    final = await get(user, batch_id)
    assert (final.status, final.progress, final.revision) == (ended.status, 100, events[-1].seq)
    assert final.HasField("completed_at")
    assert await watch(user, batch_id, events[-3].seq) == events[-2:]
    assert await watch(user, batch_id, events[-1].seq) == []
    [snapshot] = await watch(user, batch_id)
    assert snapshot.snapshot == final
    beyond = await failure(watch(user, batch_id, 999))
    assert beyond.code == grpc.StatusCode.OUT_OF_RANGE


async def test_V2_running_jobs_move_the_batch(world: World, user: Caller) -> None:
    """V2: the mean of its jobs' progress, from drawn frames."""
    answer = await create(user, *items(2))
    for job_id in jobs_of(answer):
        await world.renders.started(f"{job_id}-1")
        await world.renders.emit(f"{job_id}-1", planned("One"), drawn(50.0))
    async with asyncio.timeout(20):
        request = pb.WatchBatchRequest(batch_id=answer.batch.batch_id)
        call = user.method("WatchBatch", request)(request, metadata=user.metadata)
        async for message in call:
            if max(message.event.progress.progress, message.event.snapshot.progress) >= 50:
                break
        call.cancel()
    assert (await get(user, answer.batch.batch_id)).progress == pytest.approx(50)


async def test_V2_cancelled_as_a_whole(world: World, user: Caller) -> None:
    """V2: what has completed stays; the rest stops, queued and running; twice is once; later it is a conflict."""
    answer = await create(user, *items(4))
    batch_id, job_ids = answer.batch.batch_id, jobs_of(answer)
    for job_id in job_ids:
        await world.renders.started(f"{job_id}-1")
    await world.renders.emit(f"{job_ids[0]}-1", planned("One"), succeeded("v", "t"))
    await user.ended(job_ids[0])
    cancelled = (await user.call("CancelBatch", pb.CancelBatchRequest(batch_id=batch_id))).batch
    assert cancelled.status == batch_pb2.BATCH_STATUS_CANCELLED
    assert (cancelled.completed_count, cancelled.cancelled_count) == (1, 3)
    again = (await user.call("CancelBatch", pb.CancelBatchRequest(batch_id=batch_id))).batch
    assert again == cancelled
    await world.renders.wait_for(lambda: sum(render.cancels for render in world.renders.renders.values()) >= 3)
    done = await create(user, *items(1))
    [job_id] = jobs_of(done)
    await world.renders.started(f"{job_id}-1")
    await world.renders.emit(f"{job_id}-1", planned("One"), succeeded("v", "t"))
    await user.ended(job_id)
    conflict = await failure(user.call("CancelBatch", pb.CancelBatchRequest(batch_id=done.batch.batch_id)))
    assert (conflict.code, conflict.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STATE_CONFLICT")


async def test_V2_jobs_that_end_while_the_batch_is_cancelled(world: World, user: Caller) -> None:
    """V2: no deadlock, whoever is first; every job is counted once."""
    for _ in range(3):
        answer = await create(user, *items(8))
        for job_id in jobs_of(answer):
            await world.renders.started(f"{job_id}-1")
        ending = [
            world.renders.emit(f"{job_id}-1", planned("One"), succeeded("v", "t")) for job_id in jobs_of(answer)[::2]
        ]
        cancel = user.call("CancelBatch", pb.CancelBatchRequest(batch_id=answer.batch.batch_id))
        await asyncio.gather(cancel, *ending, return_exceptions=True)
        for job_id in jobs_of(answer):
            await user.ended(job_id)
        final = await get(user, answer.batch.batch_id)
        assert final.completed_count + final.cancelled_count == 8
        assert final.status != PROCESSING


async def test_A5_V2_others_do_not_see_a_batch(server: Running, user: Caller) -> None:
    """A5, V2: NOT_FOUND to others in every call; an admin sees it; lists are the caller's own, in pages."""
    batch_id = (await create(user, *items(1))).batch.batch_id
    stranger, admin = server.caller(), server.caller(role=Role.ADMIN)
    for name, request in (
        ("GetBatch", pb.GetBatchRequest(batch_id=batch_id)),
        ("CancelBatch", pb.CancelBatchRequest(batch_id=batch_id)),
    ):
        assert (await failure(stranger.call(name, request))).code == grpc.StatusCode.NOT_FOUND
    assert (await failure(watch(stranger, batch_id))).code == grpc.StatusCode.NOT_FOUND
    assert (await get(admin, batch_id)).batch_id == batch_id
    second = (await create(user, *items(1))).batch.batch_id
    page = await user.call("ListBatches", pb.ListBatchesRequest(page_size=1))
    assert [batch.batch_id for batch in page.batches] == [second]
    rest = await user.call("ListBatches", pb.ListBatchesRequest(page_size=1, page_token=page.next_page_token))
    assert ([batch.batch_id for batch in rest.batches], rest.next_page_token) == ([batch_id], "")
    assert not (await stranger.call("ListBatches", pb.ListBatchesRequest())).batches
    forged = await failure(stranger.call("ListBatches", pb.ListBatchesRequest(page_token=page.next_page_token)))
    assert forged.violations[0][0] == "page_token"


async def test_V2_two_replicas_and_a_restart(world: World) -> None:
    """V2: one replica accepts and goes, the other sees the batch to its end."""
    first, second = await world.start(), await world.start()
    user = first.caller()
    answer = await create(user, *items(2))
    await first.stop()
    other = second.caller(user.subject)
    for job_id in jobs_of(answer):
        await world.renders.started(f"{job_id}-1")
        await world.renders.emit(f"{job_id}-1", planned("One"), succeeded("v", "t"))
    events = await watch(other, answer.batch.batch_id, 0)
    assert events[-1].ended.status == batch_pb2.BATCH_STATUS_COMPLETED
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    await second.stop()

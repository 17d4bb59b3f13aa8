"""A8 at a real job server over Postgres and Redis: what calls leave, what an export has, what an erasure takes."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from typing import Any

import grpc
import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from services.job.adapters.postgres.personal_data import IMPERSONAL, PERSONAL, Fate
from services.runtime.db import create_engine
from services.runtime.ids import new_id
from t2m.auth.v1 import erasure_service_pb2
from t2m.job.v1 import batch_service_pb2, export_service_pb2, job_service_pb2, webhook_service_pb2
from t2m.storage.v1 import object_pb2
from tests.fakes.render_server import planned, scene_done, succeeded
from tests.integration.job_harness import DEADLINE_S, ORDER, Caller, Running, World, failure, new_world, process

QUICK = {"erasure_poll_s": 0.05, "erasure_settle_s": 0.0}
FILE = b"what is in the file\n" * 5000
VIDEO, SEGMENT, UPLOAD = (
    object_pb2.ARTIFACT_KIND_VIDEO,
    object_pb2.ARTIFACT_KIND_SEGMENT,
    object_pb2.ARTIFACT_KIND_FILE,
)


@pytest.fixture
async def world(postgres: Callable[[], str], redis_server: str) -> AsyncGenerator[World]:
    async with new_world(postgres, redis_server) as world:
        world.renders.autoplay = lambda _: [planned("One"), scene_done(0, 90), succeeded("", "")]
        yield world


@pytest.fixture
async def server(world: World) -> AsyncGenerator[Running]:
    running = await world.start(**QUICK)
    yield running
    world.neighbours.objects.may_end_reads.set()
    await running.stop()


async def furnish(world: World, user: Caller, word: str) -> str:
    """Give a user something of everything, with the word in every text; the id of a job that has ended."""
    job = await user.create(topic=f"{word} topic", context=f"{word} context", request_id=f"{word}-request")
    await user.ended(job.job_id)
    request = batch_service_pb2.CreateBatchRequest(request_id=f"{word}-batch")
    request.requests.add(**{**ORDER, "topic": f"{word} of a batch"})
    batch = (await user.call("CreateBatch", request)).batch
    await user.ended(
        (await user.call("ListJobs", job_service_pb2.ListJobsRequest(batch_id=batch.batch_id))).jobs[0].job_id
    )
    hook = webhook_service_pb2.CreateWebhookEndpointRequest(url=f"https://{word}.example/", description=f"{word} hook")
    endpoint = (await user.call("CreateWebhookEndpoint", hook)).endpoint
    test = webhook_service_pb2.TestWebhookEndpointRequest(endpoint_id=endpoint.endpoint_id)
    await user.call("TestWebhookEndpoint", test)
    for kind, job_id in ((VIDEO, job.job_id), (SEGMENT, job.job_id), (UPLOAD, "")):
        object_id = new_id()
        world.neighbours.objects.add(object_id, user.subject, job_id, kind, "text/plain")
        world.neighbours.objects.objects[object_id].filename = f"{word}/../{kind}.txt"
        world.neighbours.objects.contents[object_id] = word.encode() + FILE
    world.neighbours.record.account[user.subject] = [
        (section, json.dumps({"text": f"{word} {number}"}))
        for section, count in (("profile", 1), ("sessions", 3))
        for number in range(count)
    ]
    return job.job_id


async def export(user: Caller) -> bytes:
    """The bytes of an export."""
    call = user.method("ExportUserData", export_service_pb2.ExportUserDataRequest())(
        export_service_pb2.ExportUserDataRequest(), metadata=user.metadata, timeout=DEADLINE_S
    )
    answers = [answer async for answer in call]
    assert {(answer.body.content_type, answer.filename) for answer in answers[1:]} <= {("", "")}
    assert (answers[0].body.content_type, answers[0].filename) == ("application/zip", "t2m-export.zip")
    return b"".join(answer.body.data for answer in answers)


async def test_A8_an_export_has_all_that_is_the_callers_and_nothing_else(world: World, server: Running) -> None:
    ada, eve = server.caller(), server.caller()
    job_id = await furnish(world, ada, "adaword")
    await furnish(world, eve, "eveword")
    with zipfile.ZipFile(io.BytesIO(await export(ada))) as archive:
        assert archive.testzip() is None
        members = {name: archive.read(name) for name in archive.namelist()}
    everything = b"\n".join(name.encode() + b"\n" + content for name, content in members.items())
    assert b"eveword" not in everything
    assert eve.subject.encode() not in everything
    assert [json.loads(line)["topic"] for line in members["jobs/jobs.ndjson"].splitlines()] == [
        "adaword topic",
        "adaword of a batch",
    ]
    assert b"adaword" in members["webhooks/endpoints.ndjson"]
    assert b"secret" not in members["webhooks/endpoints.ndjson"]
    assert members["account/sessions.ndjson"].count(b"\n") == 3
    for path in ("jobs/history.ndjson", "batches/history.ndjson", "webhooks/deliveries.ndjson", "jobs/requests.ndjson"):
        assert json.loads(members[path].splitlines()[0]), path
    files = [name for name in members if name.startswith(("files/", "videos/"))]
    assert len(files) == 2
    assert all(members[name] == b"adaword" + FILE for name in files)
    assert [name for name in files if ".." in name or name.startswith("/")] == []
    assert len(members["objects.ndjson"].splitlines()) == 3
    assert any(name.startswith(f"videos/{job_id}/") for name in files)
    assert {each["path"] for each in json.loads(members["manifest.json"])["members"]} | {"manifest.json"} == set(
        members
    )


async def test_A8_one_export_of_a_user_at_a_time(world: World, server: Running) -> None:
    ada = server.caller()
    await furnish(world, ada, "adaword")
    world.neighbours.objects.may_end_reads.clear()
    request = export_service_pb2.ExportUserDataRequest()
    first = ada.method("ExportUserData", request)(request, metadata=ada.metadata)
    assert (await first.read()).filename
    second = ada.method("ExportUserData", request)(request, metadata=ada.metadata, timeout=DEADLINE_S)
    refused = await failure(second.read())
    assert (refused.code.name, refused.reason) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
    assert refused.retry_after == timedelta(seconds=60)
    first.cancel()
    world.neighbours.objects.may_end_reads.set()
    await until_empty(world, ada.subject, "data_exports")
    assert zipfile.is_zipfile(io.BytesIO(await export(ada)))


async def test_A8_a_neighbour_that_fails_on_the_way_leaves_no_valid_archive(world: World, server: Running) -> None:
    ada = server.caller()
    await furnish(world, ada, "adaword")
    world.neighbours.objects.breaks_reads = True
    request = export_service_pb2.ExportUserDataRequest()
    call = ada.method("ExportUserData", request)(request, metadata=ada.metadata, timeout=DEADLINE_S)
    received, code = b"", grpc.StatusCode.OK
    try:
        async for answer in call:
            received += answer.body.data
    except grpc.aio.AioRpcError as error:
        code = error.code()
    assert code is grpc.StatusCode.UNAVAILABLE
    assert received
    assert not zipfile.is_zipfile(io.BytesIO(received))


async def test_A8_what_cannot_begin_is_refused_before_the_first_byte(world: World, server: Running) -> None:
    ada = server.caller()
    await furnish(world, ada, "adaword")
    await world.neighbours.stop()
    request = export_service_pb2.ExportUserDataRequest()
    refused = await failure(ada.method("ExportUserData", request)(request, metadata=ada.metadata, timeout=60).read())
    assert refused.code is grpc.StatusCode.UNAVAILABLE


def erase(world: World, user: Caller, *, may_acknowledge: bool = True) -> str:
    """auth lists the erasure of a user from now on."""
    erasure_id = new_id()
    world.neighbours.record.erasures[erasure_id] = erasure_service_pb2.Erasure(
        erasure_id=erasure_id, user_id=user.subject, may_acknowledge=may_acknowledge
    )
    return erasure_id


async def left_of(world: World, owner: str) -> dict[str, int]:
    """Rows of an owner by table, by the conditions of the registry and by a search through all columns."""
    engine = create_engine(world.database_url)
    found = {}
    async with engine.connect() as connection:
        for part in PERSONAL:
            by_rule = f"SELECT count(*) FROM {part.table} t WHERE {part.rows}"
            by_text = f"SELECT count(*) FROM {part.table} t WHERE strpos(t::text, :owner_id) > 0"
            count = 0
            for query in (by_rule, by_text):
                count += (await connection.execute(text(query), {"owner_id": owner})).scalar_one()
            found[part.table] = count
    await engine.dispose()
    return found


async def until_empty(world: World, owner: str, table: str) -> None:
    """Wait until a table has nothing of the owner."""
    deadline = asyncio.get_running_loop().time() + DEADLINE_S
    while (await left_of(world, owner))[table]:
        assert asyncio.get_running_loop().time() < deadline, f"{table} is not empty"
        await asyncio.sleep(0.05)


async def test_A8_an_erasure_takes_everything_of_one_user(world: World, server: Running, redis_server: str) -> None:
    ada, eve = server.caller(), server.caller()
    jobs = [await furnish(world, ada, "adaword"), await furnish(world, eve, "eveword")]
    before = await left_of(world, eve.subject)
    erasure_id = erase(world, ada)
    await world.neighbours.record.until(lambda: erasure_id in world.neighbours.record.acknowledged)
    kept = {part.table for part in PERSONAL if part.fate is Fate.KEPT}
    assert {table for table, count in (await left_of(world, ada.subject)).items() if count} == kept
    sent = {"webhook_attempts", "webhook_deliveries", "audit_outbox"}  # on their way meanwhile
    after = await left_of(world, eve.subject)
    assert {table: after[table] for table in after.keys() - sent} == {
        table: before[table] for table in after.keys() - sent
    }
    assert {item.owner_id for item in world.neighbours.objects.objects.values() if item.job_id} == {eve.subject}
    assert world.renders.renders[f"{jobs[0]}-1"].forgotten
    redis: Any = Redis.from_url(redis_server)
    assert not await redis.exists(f"job:{jobs[0]}", f"joblog:{jobs[0]}")
    assert await redis.exists(f"job:{jobs[1]}")
    await redis.aclose()


async def test_A8_a_running_job_is_stopped_at_once_and_goes_when_its_uploads_have_ended(
    world: World, server: Running
) -> None:
    world.renders.autoplay = None
    ada = server.caller()
    job = await ada.create()
    render = await world.renders.started(f"{job.job_id}-1")
    erasure_id = erase(world, ada)
    await world.renders.wait_for(lambda: render.cancels > 0)
    assert erasure_id not in world.neighbours.record.acknowledged
    world.clock.offset = timedelta(seconds=61)
    await world.neighbours.record.until(lambda: erasure_id in world.neighbours.record.acknowledged)
    assert (await left_of(world, ada.subject))["jobs"] == 0


async def test_A8_nothing_is_acknowledged_out_of_turn(world: World, server: Running) -> None:
    ada = server.caller()
    await ada.ended((await ada.create()).job_id)
    erasure_id = erase(world, ada, may_acknowledge=False)
    await until_empty(world, ada.subject, "jobs")
    assert erasure_id not in world.neighbours.record.acknowledged
    world.neighbours.record.erasures[erasure_id].may_acknowledge = True
    await world.neighbours.record.until(lambda: erasure_id in world.neighbours.record.acknowledged)


async def test_A8_a_service_that_is_killed_in_the_middle_of_a_purge_goes_on(world: World) -> None:
    """SIGKILL while storage is removing files: the next process ends what was begun."""
    extra = {"T2M_ERASURE_POLL_S": "0.05", "T2M_ERASURE_SETTLE_S": "0", "T2M_CREDIT_PRICES": "{}"}
    objects, record = world.neighbours.objects, world.neighbours.record
    async with process(world, **extra) as (child, ada):
        await furnish(world, ada, "adaword")
        objects.deleting.clear()
        objects.may_delete.clear()
        erasure_id = erase(world, ada)
        async with asyncio.timeout(DEADLINE_S):
            await objects.deleting.wait()
        child.kill()
        await child.wait()
    assert (await left_of(world, ada.subject))["jobs"]
    objects.may_delete.set()
    async with process(world, **extra):
        await record.until(lambda: erasure_id in record.acknowledged)
    assert (await left_of(world, ada.subject))["jobs"] == 0


async def test_A8_no_audit_entry_is_lost_or_doubled_by_sigkill_at_any_point(world: World) -> None:
    """Killed after the call was answered and before auth is there; then after auth has stored and before it says so."""
    record = world.neighbours.record
    record.refuses = True
    async with process(world) as (child, ada):
        first = await ada.create()
        child.kill()
        await child.wait()
    assert record.entries == {}
    async with process(world) as (child, ada):
        record.after_storing = child.kill
        record.refuses = False
        await child.wait()
    stored = dict(record.entries)
    assert [entry.resources["job_id"] for entry in stored.values()] == [first.job_id]
    record.after_storing = lambda: None
    batches = record.batches
    async with process(world):
        await record.until(lambda: record.batches > batches)
        await until_empty(world, ada.subject, "audit_outbox")
    assert set(record.entries) == set(stored)


async def test_A8_every_table_says_what_export_and_erasure_do_with_it(world: World) -> None:
    engine = create_engine(world.database_url)
    async with engine.connect() as connection:
        query = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        tables = set((await connection.execute(text(query))).scalars())
    await engine.dispose()
    assert {part.table for part in PERSONAL} | set(IMPERSONAL) == tables

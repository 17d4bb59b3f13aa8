"""`import-redis` from a real Redis into a real Postgres, killed in the middle; the service shows what came (S7)."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from google.protobuf.json_format import MessageToDict
from redis.asyncio import Redis

from services.job.__main__ import main
from services.job.application.importing.records import INTERRUPTED, job_id_of
from services.runtime.db import create_engine
from t2m.job.v1 import job_pb2, video_service_pb2
from t2m.job.v1 import job_service_pb2 as pb
from tests import stack
from tests.integration.job_harness import WEBHOOK_KEY, World, failure, new_world
from tests.integration.storage_harness import eventually

JOBS = 1500
_DATABASE = 9
"""Of the session's Redis: the older system's keys have fixed names."""


@pytest.fixture
async def world(postgres: Callable[[], str], redis_server: str) -> AsyncIterator[World]:
    async with new_world(postgres, redis_server) as world:
        yield world


@pytest.fixture
async def older() -> AsyncIterator[Redis]:
    redis = Redis.from_url(stack.redis_url(_DATABASE))
    await redis.flushdb()
    yield redis
    await redis.flushdb()
    await redis.aclose()


def _environment(world: World) -> dict[str, str]:
    return {
        "T2M_ENVIRONMENT": "test",
        "T2M_DATABASE_URL": world.database_url,
        "T2M_SERVICE_ID": "job",
        "T2M_SERVICE_SECRET": "job-secret",
        "T2M_WEBHOOK_KEY": WEBHOOK_KEY,
        "T2M_IMPORT_REDIS_URL": stack.redis_url(_DATABASE),
    }


async def _run(world: World, *options: str) -> tuple[int, str]:
    runner = CliRunner(env=_environment(world))
    result = await asyncio.to_thread(runner.invoke, main, ["import-redis", *options])
    return result.exit_code, result.output


async def _rows(world: World) -> list[str]:
    """Every job's row as text, and which transaction wrote it."""
    engine = create_engine(world.database_url, pool_size=1)
    try:
        async with engine.connect() as connection:
            rows = await connection.scalars(sa.text("SELECT xmin || to_jsonb(jobs)::text FROM jobs ORDER BY job_id"))
            return list(rows)
    finally:
        await engine.dispose()


async def _fill(older: Redis) -> None:
    """Jobs of ten users: most as they should be, and one of everything else."""
    async with older.pipeline(transaction=False) as pipe:
        for number in range(JOBS):
            status = ("completed", "failed", "processing")[number % 3]
            fields: dict[Any, Any] = {"user_id": f"user{number % 10}", "topic": f"Topic {number}", "status": status}
            pipe.hset(f"jobs:{number}", mapping={**fields, "created_at": f"{1_700_000_000 + number}"})
        pipe.hset("jobs:listed", mapping={"topic": "Listed", "status": "done", "created_at": "1600000000"})
        pipe.sadd("user_jobs:user0", "0", "listed")
        pipe.rpush("user_jobs:user1", "1", "11")
        pipe.set("user_jobs:user2", json.dumps(["2", "12"]))
        pipe.set("user_jobs:user3", "no json")
        pipe.hset("videos:v-9", mapping={"job_id": "0", "duration": "61.5", "path": "/data/0.mp4"})
        pipe.hset("videos:lonely", mapping={"job_id": "nowhere"})
        pipe.rpush("jobs:list", "x")
        pipe.hset("jobs:nobody", mapping={"status": "done"})
        pipe.hset("jobs:odd", mapping={"user_id": "user0", "status": "wibble"})
        pipe.hset("jobs:bytes", mapping={b"user_id": b"user0", b"status": b"done", b"topic": b"\xff\x00 a"})
        pipe.set("jobs:json", json.dumps({"user_id": "user4", "status": "finished", "topic": "In one"}))
        pipe.set("other:1", "not ours")
        await pipe.execute()


REFUSED = ("user_jobs:user3", "videos:lonely", "jobs:list", "jobs:nobody", "jobs:odd")


async def test_S7_an_import_that_is_killed_goes_on_and_is_the_same_twice(world: World, older: Redis) -> None:
    await _fill(older)
    code, said = await _run(world, "--dry-run")
    assert (code, f"{JOBS + 3} to import" in said) == (1, True), said
    assert await _rows(world) == []

    command = (sys.executable, "-m", "services.job", "import-redis")
    environment = {**os.environ, **_environment(world)}
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=quiet, stderr=quiet)

    async def has_begun() -> bool:
        assert process.returncode is None
        return bool(await _rows(world))

    await eventually(has_begun, "jobs are stored")
    process.kill()
    await process.wait()
    before = await _rows(world)
    assert 0 < len(before) < JOBS

    code, said = await _run(world)
    assert code == 1, said
    sums = re.search(rf"(\d+) imported, (\d+) present, {len(REFUSED)} refused", said)
    assert sums is not None, said
    assert int(sums[1]) + int(sums[2]) == JOBS + 3
    assert int(sums[2]) >= len(before)
    for key in REFUSED:
        assert f"refused {key}: " in said
    rows = await _rows(world)
    assert set(before) < set(rows)
    await _run(world)
    assert await _rows(world) == rows


async def test_S7_what_was_imported_is_shown_to_its_owner(world: World, older: Redis) -> None:
    await _fill(older)
    await _run(world)
    server = await world.start()
    try:
        owner = server.caller("user0")
        listed = await owner.call("ListJobs", pb.ListJobsRequest(page_size=100))
        assert {job.owner_id for job in listed.jobs} == {"user0"}
        job = await owner.get(job_id_of("0"))
        assert (job.status, job.topic, job.progress) == (job_pb2.JOB_STATUS_COMPLETED, "Topic 0", 100.0)
        assert job.created_at.seconds == 1_700_000_000
        assert MessageToDict(job.configuration)["imported"]["video"]["path"] == "/data/0.mp4"
        assert (await owner.get(job_id_of("listed"))).topic == "Listed"
        assert (await owner.get(job_id_of("bytes"))).topic == "� a"
        progress = await owner.progress(job_id_of("20"))
        assert (progress.status, progress.error.code) == (job_pb2.JOB_STATUS_FAILED, INTERRUPTED)
        assert [event.seq for event in await owner.history(job_id_of("20"))] == [1]
        assert [event.seq for event in await owner.watch(job_id_of("20"))]
        download = video_service_pb2.DownloadVideoRequest(job_id=job_id_of("0"))
        assert "expired" in (await failure(owner.call("DownloadVideo", download))).message
        assert (await failure(server.caller("user1").get(job_id_of("0")))).code.name == "NOT_FOUND"
    finally:
        await server.stop()

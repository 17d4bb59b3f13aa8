"""A real job server over a real Postgres and Redis, its scripted neighbours, and what tests need to call it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import grpc

from services.job.application.follow import FollowRules
from services.job.bootstrap import build_server
from services.job.settings import JobSettings
from services.runtime.errors import RpcFailure, rpc_error_details
from services.runtime.identity import Role
from services.runtime.ids import new_id
from services.runtime.server import ServiceServer
from t2m.job.v1 import job_pb2, job_service_pb2_grpc
from t2m.job.v1 import job_service_pb2 as pb
from tests import stack
from tests.fakes.render_server import SIGNER, Neighbours

DEADLINE_S = 20.0
TERMINAL = (job_pb2.JOB_STATUS_COMPLETED, job_pb2.JOB_STATUS_FAILED, job_pb2.JOB_STATUS_CANCELLED)
WEBHOOK_KEY = "a key of webhooks that is long enough"
ORDER: dict[str, Any] = {"topic": "Pythagorean theorem", "context": "prove it visually"}


def metadata(subject: str, role: Role = Role.USER) -> tuple[tuple[str, str], ...]:
    """Call metadata with a token for the subject."""
    token, _ = SIGNER.sign(subject, role, timedelta(minutes=5))
    return (("authorization", f"Bearer {token}"),)


def new_owner() -> str:
    """A user that no other test knows."""
    return f"user-{new_id()}"


class MovableClock:
    """The wall clock, which a test can put forward."""

    def __init__(self) -> None:
        self.offset = timedelta(0)

    def now(self) -> datetime:
        """The current moment plus the offset."""
        return datetime.now(UTC) + self.offset


class Caller:
    """Calls the server as one user."""

    def __init__(self, channel: grpc.aio.Channel, subject: str, role: Role = Role.USER) -> None:
        self.subject = subject
        self._channel = channel
        self._jobs: Any = job_service_pb2_grpc.JobServiceStub(channel)
        self.metadata = metadata(subject, role)

    def method(self, name: str, request: Any) -> Any:
        """The method of that name, of the service whose file declares the request."""
        [service] = request.DESCRIPTOR.file.services_by_name
        stubs = import_module(f"{type(request).__module__}_grpc")
        return getattr(getattr(stubs, f"{service}Stub")(self._channel), name)

    async def call(self, name: str, request: Any) -> Any:
        """One unary call."""
        return await self.method(name, request)(request, metadata=self.metadata, timeout=DEADLINE_S)

    async def create(self, **fields: Any) -> job_pb2.Job:
        """Order a video."""
        answer = await self.call("CreateJob", pb.CreateJobRequest(**{**ORDER, **fields}))
        job: job_pb2.Job = answer.job
        return job

    async def get(self, job_id: str) -> job_pb2.Job:
        """The order as it is now."""
        job: job_pb2.Job = (await self.call("GetJob", pb.GetJobRequest(job_id=job_id))).job
        return job

    async def progress(self, job_id: str) -> job_pb2.JobProgress:
        """How far it is."""
        answer = await self.call("GetJobProgress", pb.GetJobProgressRequest(job_id=job_id))
        progress: job_pb2.JobProgress = answer.job_progress
        return progress

    async def cancel(self, job_id: str) -> job_pb2.Job:
        """Stop it."""
        job: job_pb2.Job = (await self.call("CancelJob", pb.CancelJobRequest(job_id=job_id))).job
        return job

    async def history(self, job_id: str) -> list[job_pb2.JobEvent]:
        """Its recorded events."""
        answer = await self.call("ListJobEvents", pb.ListJobEventsRequest(job_id=job_id, page_size=1000))
        return list(answer.events)

    @asynccontextmanager
    async def watching(self, job_id: str, after_seq: int | None = None) -> AsyncGenerator[Watching]:
        """An open watch."""
        request = pb.WatchJobRequest(job_id=job_id, after_seq=after_seq)
        call = self._jobs.WatchJob(request, metadata=self.metadata, timeout=60)
        try:
            yield Watching(call)
        finally:
            call.cancel()

    async def watch(self, job_id: str, after_seq: int | None = None) -> list[job_pb2.JobEvent]:
        """Everything that a watch gives until it ends."""
        async with self.watching(job_id, after_seq) as watching:
            return await watching.rest()

    async def until(self, job_id: str, condition: Callable[[job_pb2.JobProgress], bool]) -> job_pb2.JobProgress:
        """The job's progress, once the condition holds; looked at after every event."""
        async with asyncio.timeout(DEADLINE_S), self.watching(job_id) as watching:
            while not condition(progress := await self.progress(job_id)):
                if await watching.next() is None:
                    progress = await self.progress(job_id)
                    assert condition(progress), progress
                    break
        return progress

    async def ended(self, job_id: str) -> job_pb2.JobProgress:
        """The job's progress, once it has ended."""
        return await self.until(job_id, lambda progress: progress.status in TERMINAL)


@dataclass
class Watching:
    """The client's side of a watch."""

    call: Any
    seen: list[job_pb2.JobEvent] = field(default_factory=list)

    async def next(self) -> job_pb2.JobEvent | None:
        """The next event; None at the end."""
        async with asyncio.timeout(DEADLINE_S):
            answer = await self.call.read()
        if answer is grpc.aio.EOF:
            return None
        self.seen.append(answer.event)
        event: job_pb2.JobEvent = answer.event
        return event

    async def rest(self) -> list[job_pb2.JobEvent]:
        """Everything up to the end."""
        while await self.next() is not None:
            pass
        return self.seen


async def failure(call: Any) -> RpcFailure:
    """How the call fails."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return rpc_error_details(error)
    raise AssertionError("the call succeeded")


class World:
    """One database, one Redis, the neighbours, and any number of job servers."""

    def __init__(self, database_url: str, redis_url: str, neighbours: Neighbours) -> None:
        self.database_url = database_url
        self.redis_url = redis_url
        self.neighbours = neighbours
        self.renders = neighbours.renders
        self.clock = MovableClock()
        self.rules: FollowRules | None = None

    def settings(self, **overrides: Any) -> JobSettings:
        """Settings of a server on a free port."""
        values: dict[str, Any] = {
            "environment": "test",
            "database_url": self.database_url,
            "redis_url": self.redis_url,
            "auth_address": self.neighbours.address,
            "video_render_address": self.neighbours.address,
            "storage_address": self.neighbours.address,
            "service_id": "job",
            "service_secret": "job-secret",
            "webhook_key": WEBHOOK_KEY,
            # Orders that cost nothing are accepted while every neighbour is away; credits have tests of their own.
            "credit_prices": {},
            "shutdown_grace_s": 5.0,
            "poll_s": 0.1,
            "follow_lease_s": 1.0,
            "progress_window_s": 0.02,
            **overrides,
        }
        return JobSettings(**values)

    async def start(self, **overrides: Any) -> Running:
        """Another job server."""
        server = build_server(self.settings(**overrides), clock=self.clock, rules=self.rules)
        await server.start()
        return Running(server)


class Running:
    """A job server that runs."""

    def __init__(self, server: ServiceServer) -> None:
        self.server = server
        self.address = f"127.0.0.1:{server.port}"
        self.channel = grpc.aio.insecure_channel(self.address)

    def caller(self, subject: str | None = None, role: Role = Role.USER) -> Caller:
        """Somebody who calls the server."""
        return Caller(self.channel, subject or new_owner(), role)

    async def stop(self) -> None:
        """SIGTERM."""
        await self.server.stop()
        await self.channel.close()


@asynccontextmanager
async def new_world(postgres: Callable[[], str], redis_url: str) -> AsyncGenerator[World]:
    """An empty, migrated database and started neighbours."""
    url = postgres()
    await stack.migrate("job", url)
    neighbours = Neighbours()
    await neighbours.start()
    try:
        yield World(url, redis_url, neighbours)
    finally:
        await neighbours.stop()


@asynccontextmanager
async def process(world: World, **extra: str) -> AsyncGenerator[tuple[asyncio.subprocess.Process, Caller]]:
    """`python -m services.job` as a process of its own, with `extra` in its environment, and somebody who calls it."""
    settings = world.settings()
    environment = {
        **os.environ,
        "T2M_ENVIRONMENT": "test",
        "T2M_BIND": "127.0.0.1:0",
        "T2M_DATABASE_URL": settings.database_url,
        "T2M_REDIS_URL": settings.redis_url,
        "T2M_AUTH_ADDRESS": settings.auth_address,
        "T2M_VIDEO_RENDER_ADDRESS": settings.video_render_address,
        "T2M_STORAGE_ADDRESS": settings.storage_address,
        "T2M_SERVICE_ID": "job",
        "T2M_SERVICE_SECRET": "job-secret",
        "T2M_WEBHOOK_KEY": WEBHOOK_KEY,
        "T2M_POLL_S": "0.1",
        "T2M_FOLLOW_LEASE_S": "1",
        **extra,
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.job", env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        async with asyncio.timeout(30):
            async for line in child.stdout:
                if found := re.search(rb'"port": ?(\d+)', line):
                    break
            else:
                raise AssertionError("the process ended before it served")
        draining = asyncio.create_task(child.stdout.read())
        async with grpc.aio.insecure_channel(f"127.0.0.1:{int(found[1])}") as channel:
            yield child, Caller(channel, "ada")
        if child.returncode is None:
            child.terminate()
        assert await child.wait() in (0, -signal.SIGKILL)
        await draining
    finally:
        if child.returncode is None:
            child.kill()

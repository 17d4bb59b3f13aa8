"""video_render as it runs: its service, real workers, storage, Postgres and Redis; auth is a stand-in that signs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
import sqlalchemy as sa
from joserfc.jwk import KeySet
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.local.redis import EmbeddedRedis
from services.runtime.db import create_engine
from services.runtime.identity import Role
from services.runtime.server import ServiceServer
from services.runtime.tokens import StaticKeys, TokenSigner
from services.video_render.bootstrap import build_server
from services.video_render.settings import VideoRenderSettings
from t2m.auth.v1 import token_service_pb2, token_service_pb2_grpc
from t2m.video_render.v1 import quality_pb2, render_pb2, render_service_pb2_grpc
from t2m.video_render.v1 import render_service_pb2 as pb
from tests import stack as servers
from tests.integration import storage_harness
from tests.integration.storage_harness import KEY
from tests.stack import free_port

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 60.0
FAKE_WORKER = "tests.fakes.video_render_worker"
REAL_WORKER = "services.video_render.worker"
TERMINAL = {
    render_pb2.RENDER_STATE_SUCCEEDED,
    render_pb2.RENDER_STATE_FAILED,
    render_pb2.RENDER_STATE_CANCELLED,
}


class SigningAuth(token_service_pb2_grpc.TokenServiceServicer):
    """`TokenService` as far as a service needs it to start: tokens and keys. The real auth is tested elsewhere."""

    async def IssueServiceToken(self, request: Any, context: Any) -> token_service_pb2.IssueServiceTokenResponse:
        """A service token for whoever asks."""
        token, ends = TokenSigner(KEY).sign(request.service_id, Role.SERVICE, timedelta(minutes=5))
        answer = token_service_pb2.IssueServiceTokenResponse(token=token)
        answer.expires_at.FromDatetime(ends)
        return answer

    async def GetJwks(self, request: Any, context: Any) -> token_service_pb2.GetJwksResponse:
        """The public key."""
        keys = KeySet([KEY]).as_dict(private=False)
        return token_service_pb2.GetJwksResponse(jwks_json=json.dumps(keys))


@dataclass
class Worker:
    """A worker process."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def tree(self) -> psutil.Process:
        """The process, as psutil sees it."""
        return psutil.Process(self.process.pid)

    def pool(self) -> list[psutil.Process]:
        """The pool children."""
        return self.tree.children()

    def drawing(self) -> list[tuple[psutil.Process, psutil.Process]]:
        """Pairs of a pool child and the render child two levels below it."""
        pairs = []
        for child in self.pool():
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended while it was looked at
                for zygote in child.children():
                    pairs += [(child, render) for render in zygote.children()]
        return pairs


@dataclass
class Stack:
    """Everything that runs, and what tests do to it."""

    settings: VideoRenderSettings
    database: AsyncEngine
    redis: EmbeddedRedis
    server: ServiceServer
    channel: grpc.aio.Channel
    storage: storage_harness.Running
    folder: Path
    environment: dict[str, str]
    workers: list[Worker] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stub = render_service_pb2_grpc.RenderServiceStub(self.channel)
        self._numbers = iter(range(1, 1000))

    async def start_worker(self, module: str = FAKE_WORKER, **settings: str) -> Worker:
        """A worker that takes tasks."""
        number = next(self._numbers)
        ready, log = self.folder / f"ready-{number}", self.folder / f"worker-{number}.log"
        environment = {
            **os.environ,
            **self.environment,
            "T2M_SERVICE_ID": "worker",
            "T2M_READY_FILE": str(ready),
        } | settings
        with log.open("wb") as out:
            process = subprocess.Popen(  # noqa: ASYNC220  # returns at once
                [sys.executable, "-m", module], cwd=ROOT, env=environment, stdout=out, stderr=out
            )
        worker = Worker(process, log)
        self.workers.append(worker)
        await eventually(lambda: _answer(ready.exists()), f"worker ready; see {log}")
        return worker

    async def start(self, render_id: str, *lines: str, **fields: Any) -> render_pb2.Render:
        """Start a render of one scripted scene per line."""
        values: dict[str, Any] = {
            "owner_id": "u1",
            "job_id": "j1",
            "topic": "A topic",
            "context": "\n".join(lines),
            "quality": quality_pb2.QUALITY_LOW,
            **fields,
        }
        request = pb.StartRenderRequest(render_id=render_id, **values)
        return (await self.stub.StartRender(request, metadata=storage_harness.as_job())).render

    async def get(self, render_id: str) -> render_pb2.Render:
        """The render as it is."""
        request = pb.GetRenderRequest(render_id=render_id)
        return (await self.stub.GetRender(request, metadata=storage_harness.as_job())).render

    async def cancel(self, render_id: str) -> render_pb2.Render:
        """Stop a render."""
        request = pb.CancelRenderRequest(render_id=render_id)
        return (await self.stub.CancelRender(request, metadata=storage_harness.as_job())).render

    async def watch(self, render_id: str, after_seq: int = 0) -> AsyncIterator[render_pb2.RenderEvent]:
        """The events after a position."""
        request = pb.WatchRenderRequest(render_id=render_id, after_seq=after_seq)
        async for answer in self.stub.WatchRender(request, metadata=storage_harness.as_job(), timeout=DEADLINE_S):
            yield answer.event

    async def finished(self, render_id: str) -> tuple[render_pb2.Render, list[render_pb2.RenderEvent]]:
        """Watch a render to its end; the render and all its events, checked."""
        events = [event async for event in self.watch(render_id)]
        render = await self.get(render_id)
        check_history(render, events)
        return render, events

    async def rows(self, query: str, **values: Any) -> Sequence[sa.Row[Any]]:
        """Rows of a query."""
        async with self.database.connect() as connection:
            return (await connection.execute(sa.text(query), values)).all()

    async def until_drawing(self, count: int = 1) -> None:
        """Wait until so many scenes are being drawn by all workers together."""
        await eventually(
            lambda: _answer(sum(len(worker.drawing()) for worker in self.workers) >= count), f"{count} scenes drawn"
        )


def check_history(render: render_pb2.Render, events: Sequence[render_pb2.RenderEvent]) -> None:
    """The invariants of a recorded history: gap-free, progress never falling, the terminal event last."""
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert render.seq == len(events)
    assert render.state in TERMINAL
    figures = [getattr(event, event.WhichOneof("event") or "") for event in events]
    shares = [figure.progress for figure in figures if hasattr(figure, "progress")]
    assert shares == sorted(shares)
    states = [event.state_changed.state for event in events if event.HasField("state_changed")]
    assert states[-1] == render.state
    assert not TERMINAL.intersection(states[:-1])
    accepted = [
        event.scene.scene.index
        for event in events
        if event.HasField("scene") and event.scene.scene.state == render_pb2.SCENE_STATE_SUCCEEDED
    ]
    assert len(accepted) == len(set(accepted)), "a scene was accepted twice"


@asynccontextmanager
async def running(
    postgres: Callable[[], str], folder: Path, *, store: Mapping[str, Any] | None = None, **overrides: Any
) -> AsyncGenerator[Stack]:
    """The service with a Redis of its own (tests flush it), storage, and the signing auth; no worker yet.

    `store` are settings of the storage service, which has its bytes on this disk otherwise.
    """
    async with AsyncExitStack() as stack:
        redis = EmbeddedRedis(folder / "redis")
        redis.start()
        stack.callback(redis.kill)
        auth, auth_address = await _auth()
        stack.push_async_callback(auth.stop, 0)
        storage_address = f"127.0.0.1:{free_port()}"
        storage = await stack.enter_async_context(
            storage_harness.running(postgres(), folder / "objects", bind=storage_address, **(store or {}))
        )
        values: dict[str, Any] = {
            "environment": "test",
            "database_url": postgres(),
            "redis_url": redis.url,
            "auth_address": auth_address,
            "storage_address": storage_address,
            "service_id": "video_render",
            "scratch_dir": folder / "scratch",
            "retry_pause_s": 0.05,
            "sweep_interval_s": 0.2,
            "empty_queue_s": 1.0,
            "shutdown_grace_s": 1.0,
            **overrides,
        }
        settings = VideoRenderSettings(**values)
        await servers.migrate("video_render", settings.database_url)
        server = build_server(settings, keys=StaticKeys([KEY]))
        await server.start()
        stack.push_async_callback(server.stop)
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}")
        stack.push_async_callback(channel.close)
        database = create_engine(settings.database_url)
        stack.push_async_callback(database.dispose)
        environment = {f"T2M_{name.upper()}": str(value) for name, value in values.items()}
        environment.update(PYTHONUNBUFFERED="1", T2M_SERVICE_SECRET="test", T2M_WORKER_CONCURRENCY="2")
        made = Stack(settings, database, redis, server, channel, storage, folder, environment)
        stack.callback(_end_workers, made.workers)
        yield made


async def _auth() -> tuple[grpc.aio.Server, str]:
    server = grpc.aio.server()
    token_service_pb2_grpc.add_TokenServiceServicer_to_server(SigningAuth(), server)  # type: ignore[abstract]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"


def _end_workers(workers: Sequence[Worker]) -> None:
    for worker in workers:
        if worker.process.poll() is None:
            worker.process.send_signal(signal.SIGCONT)
            worker.process.kill()
        worker.process.wait(10)


async def eventually(check: Callable[[], Awaitable[bool]], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Wait until the condition holds; the test fails when it does not within the deadline."""
    try:
        async with asyncio.timeout(deadline_s):
            while not await check():  # noqa: ASYNC110  # the condition lies in other processes
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"not within {deadline_s:g} s: {what}")


async def _answer(value: bool) -> bool:
    return value

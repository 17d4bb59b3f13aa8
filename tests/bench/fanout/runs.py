"""One run: the real job, Postgres and Redis, a gateway or Envoy in front of it, clients, and what it cost."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psutil

from t2m.job.v1 import job_service_pb2 as pb
from t2m.job.v1 import job_service_pb2_grpc
from tests import stack
from tests.bench.fanout.envoy import command
from tests.bench.fanout.tokens import internal_token
from tests.bench.submission.servers import CHECKOUT, Side, listens

PEERS = ("t2m", "envoy")
WARM_UP_EVENTS = 4
"""Of each job, before those that count."""
SETTLE_S = 3.0


@dataclass(frozen=True)
class Shape:
    """What is asked for. `rate` is of one job, per second."""

    subscribers: int
    jobs: int
    rate: float
    seconds: float

    @property
    def deliveries_per_second(self) -> float:
        """Wanted."""
        return self.subscribers * self.rate

    @property
    def counted(self) -> int:
        """Events of each job that count."""
        return round(self.rate * self.seconds)


@dataclass
class Run:
    """What one run gave."""

    peer: str
    shape: Shape
    latencies_ms: list[float] = field(default_factory=list)
    expected: int = 0
    cpu_us: dict[str, float] = field(default_factory=dict)
    """Per delivery, by process."""
    kb_per_subscriber: dict[str, float] = field(default_factory=dict)


class Helper:
    """A process that is told things by its input, and says when they are done."""

    def __init__(self, arguments: list[str], stopped: ExitStack) -> None:
        command = [sys.executable, "-m", *arguments]
        self.process = subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        stopped.callback(self.end)

    def tell(self, line: str) -> None:
        """One command."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    async def says(self, word: str, deadline_s: float = 300.0) -> None:
        """Wait for its answer."""
        assert self.process.stdout is not None
        async with asyncio.timeout(deadline_s):
            line = await asyncio.get_running_loop().run_in_executor(None, self.process.stdout.readline)
        if not line or json.loads(line) != word:
            raise RuntimeError(f"{self.process.args!r} said {line!r}, not {word!r}")

    def end(self) -> None:
        """By the end of its input."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Deployment:
    """Everything that is not measured by itself, and the processes that are."""

    def __init__(self, peer: str, shape: Shape, folder: Path) -> None:
        self.peer, self.shape, self.folder = peer, shape, folder
        self.side = Side(peer, folder)
        self.commits = folder / "commits"
        self.front, self._neighbours_port, self._job = stack.free_port(), stack.free_port(), stack.free_port()
        self.neighbours: Helper

    async def start(self, stopped: ExitStack) -> None:
        """Start everything; what `stopped` runs ends it again."""
        self.side.start_servers()
        stopped.callback(self.side.stop)
        database = await asyncio.to_thread(self.side.postgres.create_database, "t2m_job")
        await stack.migrate("job", database)
        self.neighbours = Helper(["tests.bench.fanout.neighbours", str(self._neighbours_port)], stopped)
        await _until(lambda: listens(self._neighbours_port))
        neighbours = f"127.0.0.1:{self._neighbours_port}"
        addresses = {f"T2M_{name}_ADDRESS": neighbours for name in ("AUTH", "VIDEO_RENDER", "STORAGE")}
        job = {
            **addresses,
            "T2M_ENVIRONMENT": "dev",
            "T2M_LOG_LEVEL": "warning",
            "T2M_BIND": f"127.0.0.1:{self._job}",
            "T2M_DATABASE_URL": database,
            "T2M_REDIS_URL": self.side.redis.url,
            "T2M_SERVICE_ID": "job",
            "T2M_SERVICE_SECRET": "job-secret",
            "T2M_WEBHOOK_KEY": "a key of webhooks that is long enough",
            "T2M_CREDIT_PRICES": "{}",
            "T2M_MAX_IN_FLIGHT": str(self.shape.jobs),
            "T2M_FOLLOW_AT_ONCE": str(self.shape.jobs),
            "T2M_PROGRESS_STEP": "0",  # Every report is an event.
        }
        self.side.run("job", ["-m", "tests.bench.fanout.job_process", str(self.commits)], self._job, job)
        if self.peer == "t2m":
            gateway = {
                **addresses,
                "T2M_JOB_ADDRESS": f"127.0.0.1:{self._job}",
                "T2M_GATEWAY_PORT": str(self.front),
                "T2M_RATE_LIMITS": "off",
                "T2M_STREAMS_PER_USER": "0",
            }
            self.side.run("gateway", ["-m", "gateway"], self.front, gateway)
        else:
            self.side.execute("envoy", command(self.front, self._job), self.front, {})

    async def order(self) -> list[tuple[str, str]]:
        """A job of each owner, all of them running: job id and owner."""
        jobs = []
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self._job}") as channel:
            stub: Any = job_service_pb2_grpc.JobServiceStub(channel)
            for number in range(self.shape.jobs):
                owner = f"owner-{number}"
                metadata = (("authorization", f"Bearer {internal_token(owner)}"),)
                request = pb.CreateJobRequest(topic="Swallows", context="How fast are they?")
                job_id = (await stub.CreateJob(request, metadata=metadata)).job.job_id
                jobs.append((job_id, owner))
            for job_id, owner in jobs:
                metadata = (("authorization", f"Bearer {internal_token(owner)}"),)
                await _until_rendering(stub, job_id, metadata)
        return jobs

    def plan(self, jobs: list[tuple[str, str]]) -> list[dict[str, str]]:
        """The clients: as many for each job, spread evenly."""
        if self.peer == "t2m":
            tokens = {owner: owner for _, owner in jobs}
        else:  # Envoy exchanges nothing: it gets what the gateway would send.
            tokens = {owner: internal_token(owner) for _, owner in jobs}
        accept = "text/event-stream"
        turns = (jobs[number % len(jobs)] for number in range(self.shape.subscribers))
        return [{"job_id": job_id, "token": tokens[owner], "accept": accept} for job_id, owner in turns]


async def measure(peer: str, shape: Shape, folder: Path) -> Run:
    """Start everything, run, stop, and put commits and arrivals together."""
    run = Run(peer, shape)
    arrivals = folder / "arrivals"
    with ExitStack() as stopped:
        deployment = Deployment(peer, shape, folder)
        await deployment.start(stopped)
        jobs = await deployment.order()
        plan = folder / "plan.json"
        plan.write_text(json.dumps(deployment.plan(jobs)), encoding="utf-8")
        names = ("gateway" if peer == "t2m" else "envoy", "job")
        empty = {name: _memory(deployment.side.pid(name)) for name in names}
        clients = Helper(["tests.bench.fanout.subscribers", str(deployment.front), str(plan), str(arrivals)], stopped)
        await clients.says("open")
        await asyncio.sleep(SETTLE_S)
        full = {name: _memory(deployment.side.pid(name)) for name in names}
        run.kb_per_subscriber = {name: (full[name] - empty[name]) / shape.subscribers / 1024 for name in names}
        deployment.neighbours.tell(f"emit {shape.rate} {WARM_UP_EVENTS}")
        await deployment.neighbours.says("done")
        before = _cpu(deployment, clients)
        deployment.neighbours.tell(f"emit {shape.rate} {shape.counted}")
        await deployment.neighbours.says("done")
        await asyncio.sleep(SETTLE_S)
        after = _cpu(deployment, clients)
        run.expected = shape.counted * shape.subscribers
        run.cpu_us = {name: (after[name] - before[name]) / run.expected * 1e6 for name in after}
        assert clients.process.stdin is not None
        clients.process.stdin.close()
        await clients.says("written")
    run.latencies_ms = _latencies(deployment.commits, arrivals, shape)
    return run


def _cpu(deployment: Deployment, clients: Helper) -> dict[str, float]:
    others = {"clients": clients, "neighbours": deployment.neighbours}
    times = {name: psutil.Process(helper.process.pid).cpu_times() for name, helper in others.items()}
    return deployment.side.cpu_s() | {name: spent.user + spent.system for name, spent in times.items()}


def _memory(pid: int) -> int:
    return psutil.Process(pid).memory_info().rss


def _latencies(commits: Path, arrivals: Path, shape: Shape) -> list[float]:
    """Of the last events of each job, as many as count; a job's own first ones are those of its warm-up."""
    committed: dict[tuple[str, int], int] = {}
    last: dict[str, int] = {}
    for line in commits.read_text(encoding="ascii").splitlines():
        job_id, seq, moment = line.split()
        committed[job_id, int(seq)] = int(moment)
        last[job_id] = max(last.get(job_id, 0), int(seq))
    found = []
    for line in arrivals.read_text(encoding="ascii").splitlines():
        job_id, seq, moment = line.split()
        if int(seq) > last[job_id] - shape.counted:
            found.append((int(moment) - committed[job_id, int(seq)]) / 1e6)
    return found


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - other processes announce nothing
            await asyncio.sleep(0.05)


async def _until_rendering(stub: Any, job_id: str, metadata: Any) -> None:
    async with asyncio.timeout(60):
        async for answer in stub.WatchJob(pb.WatchJobRequest(job_id=job_id, after_seq=0), metadata=metadata):
            if answer.event.WhichOneof("event") == "stage" or answer.event.seq >= 4:
                return

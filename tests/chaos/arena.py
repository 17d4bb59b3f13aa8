"""A stack whose network, disks and clocks are in our hand; everything else is what a user starts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

from deploy.local import probes
from deploy.local.environment import SERVICES, Addresses, with_database
from deploy.local.folder import DataFolder
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.redis import EmbeddedRedis
from tests.chaos import clock
from tests.chaos.proxy import Link, Weather
from tests.e2e.local_stack import LocalStack

USES = {
    "auth": ("postgres",),
    "storage": ("postgres", "auth"),
    "video_render": ("postgres", "redis", "auth"),
    "job": ("postgres", "redis", "auth", "storage", "video_render"),
    "worker": ("postgres", "redis", "auth", "storage"),
    "gateway": ("auth", "job", "storage", "video_render"),
}
"""Which process calls which: each pair is a link of its own, so a partition may be partial."""
DISKS = {"data": (".", 1024, "711"), "objects": ("objects", 256, "700"), "scratch": ("scratch", 256, "700")}
"""What is a disk of its own here: a folder of the data folder, MiB, mode. `data` has Postgres, Redis and the logs."""
_POLL_S = 0.05


class Arena:
    """`LocalStack` behind proxies. Belongs to one event loop, which must not block: the proxies live in it."""

    def __init__(self, folder: Path, *, lease_s: float = 15.0, workers: int = 2, **environment: str) -> None:
        """`lease_s` of a step; heartbeats come five times as often."""
        self.folder = folder
        self.lease_s = lease_s
        self.links: dict[str, Link] = {}
        self.disks: dict[str, Path] = {}
        self.clocks: dict[str, clock.Clock] = {}
        self._process_env = folder / "processes.json"
        self.stack = LocalStack(
            folder,
            T2M_PROCESS_ENV=str(self._process_env),
            T2M_WORKER_CONCURRENCY=str(workers),
            T2M_LEASE_S=str(lease_s),
            T2M_HEARTBEAT_S=str(lease_s / 5),
            T2M_CREDIT_UNCONFIRMED_S="30",  # lapses are part of the storm
            **environment,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Arena]:
        """Up and ready; taken down at the end, whatever happened."""
        async with AsyncExitStack() as undo:
            undo.push_async_callback(asyncio.to_thread, self._free_disks)
            await self._prepare(undo)
            undo.push_async_callback(asyncio.to_thread, self.stack.down)
            undo.callback(self.thaw)
            await asyncio.to_thread(self.stack.up)
            yield self

    def _free_disks(self) -> None:
        self._keep_logs()
        unmount(self.disks.values())

    def _keep_logs(self) -> None:
        """The logs go with the disk that they are on; a failed run is not understood without them."""
        with contextlib.suppress(OSError):
            shutil.copytree(self.folder / "logs", self.folder.with_name(f"{self.folder.name}.logs"), dirs_exist_ok=True)

    async def _prepare(self, undo: AsyncExitStack) -> None:
        """Choose what the stack would choose at its start, and put proxies before it."""
        self.disks = dict(mounted(self.folder))
        data = DataFolder(self.folder)
        data.create()
        postgres, redis = EmbeddedPostgres(self.folder / "postgres"), EmbeddedRedis(self.folder / "redis")
        await asyncio.to_thread(postgres.prepare)
        await asyncio.to_thread(redis.prepare)
        addresses = {
            **Addresses.of(data).services,
            "postgres": f"127.0.0.1:{postgres.port}",
            "redis": f"127.0.0.1:{redis.port}",
        }
        self.clocks = {name: clock.Clock(self.folder / f"clock.{name}") for name in ("job", "worker")}
        for process, targets in USES.items():
            for target in targets:
                link = self.links[f"{process}>{target}"] = Link(f"{process}>{target}", addresses[target])
                await link.start()
                undo.push_async_callback(link.close)
        environment = {name: self._environment(name, postgres, redis) for name in USES}
        self._process_env.write_text(json.dumps(environment), encoding="utf-8")

    def _environment(self, process: str, postgres: EmbeddedPostgres, redis: EmbeddedRedis) -> dict[str, str]:
        """The variables that lead a process through its links."""
        made = dict(self.clocks[process].environment()) if process in self.clocks else {}
        for target in USES[process]:
            address = self.links[f"{process}>{target}"].address
            if target == "postgres":
                owner = "video_render" if process == "worker" else process
                url = postgres.url.replace(f"127.0.0.1:{postgres.port}", address)
                made["T2M_DATABASE_URL"] = with_database(url, f"t2m_{owner}")
            elif target == "redis":
                made["T2M_REDIS_URL"] = redis.url.replace(f"127.0.0.1:{redis.port}", address)
            else:
                made[f"T2M_{target.upper()}_ADDRESS"] = address
        return made

    def process(self, name: str) -> psutil.Process:
        """A process of the stack by its name; NoSuchProcess while it is down."""
        pid = self._entry(name)["pid"]
        if pid is None:
            raise psutil.NoSuchProcess(-1, name)
        return psutil.Process(int(pid))

    def pool(self, *, drawing: bool = False) -> list[psutil.Process]:
        """The worker's pool processes; those that draw right now if wanted."""
        with contextlib.suppress(psutil.NoSuchProcess):
            children = [child for child in self.process("worker").children() if _children(child)]
            return [child for child in children if not drawing or renders_of(child)]
        return []

    async def somebody_draws(self, patience_s: float = 10.0) -> psutil.Process | None:
        """A pool process that draws, or None when there is none for so long."""
        with contextlib.suppress(TimeoutError):
            await until(lambda: bool(self.pool(drawing=True)), patience_s)
        return next(iter(self.pool(drawing=True) or self.pool()), None)

    def started_at(self, name: str) -> float:
        """When a process was started last, Unix seconds."""
        return float(self._entry(name)["started_at"] or 0.0)

    async def serves(self, name: str, *, started_after: float = 0.0) -> bool:
        """Whether a process answers as its clients would ask it; one started later than this, if given."""
        entry = self._entry(name)
        if entry["status"] != "ready" or (entry["started_at"] or 0.0) <= started_after:
            return False
        return await self._probe(name)() if name in (*SERVICES, "gateway") else True

    async def everything_serves(self) -> bool:
        """Whether the whole stack would be called healthy."""
        if any(entry["status"] != "ready" for entry in self.stack.state()["processes"]):
            return False
        return await probes.http_ok(f"{self.stack.url}/health/ready")()

    def thaw(self) -> None:
        """Everything that is in our hand is as it should be."""
        for link in self.links.values():
            link.set(Weather.FAIR)
        for skewed in self.clocks.values():
            skewed.skew(0)
        for disk in self.disks.values():
            (disk / "ballast").unlink(missing_ok=True)

    def _probe(self, name: str) -> Callable[[], Awaitable[bool]]:
        """Asked at its own address, not through a link."""
        if name == "gateway":
            return probes.http_ok(f"{self.stack.url}/health")
        return probes.grpc_health(self.stack.address(name))

    def _entry(self, name: str) -> dict[str, Any]:
        return next(entry for entry in self.stack.state()["processes"] if entry["name"] == name)


def renders_of(pool_process: psutil.Process) -> list[psutil.Process]:
    """The processes that draw below a pool process: it has a zygote, that has the render."""
    return [render for zygote in _children(pool_process) for render in _children(zygote)]


async def until(condition: Callable[[], bool | Awaitable[bool]], deadline_s: float) -> None:
    """Return once the condition holds, looked at often; TimeoutError at the deadline."""
    async with asyncio.timeout(deadline_s):
        while not await _value(condition):  # noqa: ASYNC110 - processes and files send no event
            await asyncio.sleep(_POLL_S)


async def _value(condition: Callable[[], bool | Awaitable[bool]]) -> bool:
    found = condition()
    return found if isinstance(found, bool) else await found


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children()
    except psutil.NoSuchProcess:
        return []


def mounted(folder: Path) -> list[tuple[str, Path]]:
    """Make `DISKS`, each a small file system; none where this account may not mount."""
    made = []
    for name, (below, mebibytes, mode) in DISKS.items():
        path = folder / below
        path.mkdir(parents=True, exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode={mode}", "tmpfs", str(path)]
        if shutil.which("mount") and subprocess.run(mount, capture_output=True, check=False).returncode == 0:
            made.append((name, path))
    return made


def unmount(disks: Iterable[Path]) -> None:
    """Take them away again, the inner ones first, even while something has a file open."""
    for disk in reversed(list(disks)):
        subprocess.run(["umount", "-l", str(disk)], check=False)

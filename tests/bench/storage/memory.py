"""Resident memory of the real storage and gateway processes while many clients read one large object slowly (V4).

Each client takes its bytes at a bounded rate through a small socket buffer, so that nearly all of the object waits
behind it: whoever reads ahead of the client shows it here. One more client reads everything as fast as it can, and
checks it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

from services.storage.application.attempts import WriteCommand
from services.storage.bootstrap import build
from services.storage.domain.objects import ArtifactKind, Bucket, Placement
from services.storage.settings import StorageSettings
from tests import stack
from tests.integration.storage_harness import make_settings
from tests.integration.storage_process import auth_server, serving

MIB = 1024 * 1024
_BLOCK = os.urandom(MIB)
_SAMPLE_S = 0.1
_TAKE = 64 * 1024


@dataclass
class Watched:
    """A process and the most memory that it was seen to have."""

    name: str
    process: psutil.Process
    before: int = 0
    peak: int = 0

    def settle(self) -> None:
        """What it has now is what it has without load."""
        self.before = self.peak = int(self.process.memory_info().rss)

    def look(self) -> None:
        """Take a sample."""
        self.peak = max(self.peak, int(self.process.memory_info().rss))

    def row(self) -> str:
        """A row of the table."""
        extra = (self.peak - self.before) / MIB
        return f"| {self.name} | {self.before / MIB:.0f} | {self.peak / MIB:.0f} | **{extra:.0f}** |"


async def measure(size_mib: int, readers: int, seconds: float, rate_mib: float) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="t2m-bench-") as folder:
        settings = make_settings(stack.postgres_url("bench"), Path(folder))
        await stack.migrate("storage", settings.database_url)
        object_id = await _upload(settings, size_mib)
        async with (
            auth_server() as auth,
            serving(settings, auth) as (process, storage),
            _gateway(storage.address, auth) as (gateway, url),
        ):
            path = urlsplit((await storage.locate(object_id)).url).path
            pids = {"storage": process.pid, "gateway": gateway.pid}
            watched = [Watched(name, psutil.Process(pid)) for name, pid in pids.items()]
            await _run(watched, url + path, readers, seconds, rate_mib, size_mib)


async def _run(watched: list[Watched], url: str, readers: int, seconds: float, rate_mib: float, size_mib: int) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:  # what the processes need once, whoever reads
        (await client.get(url, headers={"Range": "bytes=0-0"})).raise_for_status()
    for each in watched:
        each.settle()
    began = time.monotonic()
    stop = asyncio.Event()
    slow = [asyncio.ensure_future(_slow(url, rate_mib, stop)) for _ in range(readers)]
    sampler = asyncio.ensure_future(_sample(watched))
    assert await _whole(url) == hashlib.sha256(_BLOCK * size_mib).hexdigest()
    alone = time.monotonic() - began
    await asyncio.sleep(max(seconds - (time.monotonic() - began), 0))
    stop.set()
    taken = await asyncio.gather(*slow)
    sampler.cancel()
    print(f"{readers} clients at {rate_mib:g} MiB/s each, {size_mib} MiB object, {time.monotonic() - began:.0f} s")
    print(f"each took {min(taken) / MIB:.0f} to {max(taken) / MIB:.0f} MiB; one more read everything in {alone:.1f} s")
    print("\n| process | before, MiB | peak, MiB | extra, MiB |\n| --- | ---: | ---: | ---: |")
    for each in watched:
        print(each.row())


async def _slow(url: str, rate_mib: float, stop: asyncio.Event) -> int:
    """Take bytes at the rate until told to stop; how many. Fails when the answer ends or is no 200."""
    parts = urlsplit(url)
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _TAKE)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, (parts.hostname, parts.port))
    with raw:
        await loop.sock_sendall(raw, f"GET {parts.path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        taken, began = 0, time.monotonic()
        while not stop.is_set():
            data = await loop.sock_recv(raw, _TAKE)
            assert data, "the answer ended"
            assert taken or data.startswith(b"HTTP/1.1 200"), data[:200]
            taken += len(data)
            due = began + taken / (rate_mib * MIB)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(due - time.monotonic(), 0))
    return taken


async def _whole(url: str) -> str:
    """SHA-256 of everything, read at full speed."""
    digest = hashlib.sha256()
    async with httpx.AsyncClient(trust_env=False, timeout=120) as client, client.stream("GET", url) as answer:
        answer.raise_for_status()
        async for chunk in answer.aiter_raw():
            digest.update(chunk)
    return digest.hexdigest()


async def _sample(watched: list[Watched]) -> None:
    while True:
        for each in watched:
            each.look()
        await asyncio.sleep(_SAMPLE_S)


async def _upload(settings: StorageSettings, size_mib: int) -> str:
    """Store an object without the service's process, which is to be seen as it is when it has done nothing; its id."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(size_mib):
            yield _BLOCK

    place = Placement("u1", "j1", Bucket.VIDEOS, ArtifactKind.VIDEO)
    command = WriteCommand("bench", place, "video/mp4", "large.mp4", size_bytes=size_mib * MIB)
    storage = build(settings)
    try:
        return (await storage.use_cases.write(command, chunks())).object_id
    finally:
        await storage.close()


@asynccontextmanager
async def _gateway(storage: str, auth: str) -> AsyncGenerator[tuple[asyncio.subprocess.Process, str]]:
    """The gateway in a process of its own, and where it listens."""
    nobody = "127.0.0.1:9"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("T2M_")},
        "T2M_ENVIRONMENT": "test",
        "T2M_GATEWAY_PORT": "0",
        "T2M_RATE_LIMITS": "off",
        "T2M_STORAGE_ADDRESS": storage,
        "T2M_AUTH_ADDRESS": auth,
        "T2M_JOB_ADDRESS": nobody,
        "T2M_VIDEO_RENDER_ADDRESS": nobody,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway"), env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process, f"http://{await _listening(process)}"
    finally:
        process.kill()
        await process.communicate()


async def _listening(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(60):
        async for raw in process.stdout:
            line = json.loads(raw)
            if line["event"] == "gateway.listening":
                return str(line["address"])
    raise RuntimeError("the gateway ended")

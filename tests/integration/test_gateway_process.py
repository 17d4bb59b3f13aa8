"""`python -m gateway` as a process: starts, logs JSON without secrets, and ends in order on SIGTERM (O3, O4)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.grpc_backends import JOB_ID, FakeBackends
from tests.integration.gateway_harness import ALICE, EventStream

CHECKOUT = Path(__file__).parents[2]


@asynccontextmanager
async def gateway_process(backends: FakeBackends, **variables: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process, with its log on a pipe."""
    addresses = {f"T2M_{name}_ADDRESS": backends.address for name in ("AUTH", "JOB", "VIDEO_RENDER", "STORAGE")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        cwd=CHECKOUT,
        env={**os.environ, **addresses, "T2M_GATEWAY_PORT": "0", "T2M_DRAIN_S": "5", **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def line_with(process: asyncio.subprocess.Process, event: str) -> dict[str, Any]:
    """The next log line of an event."""
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while raw := await process.stdout.readline():
            line: dict[str, Any] = json.loads(raw)
            if line["event"] == event:
                return line
    raise AssertionError(f"the process ended without {event}")


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
async def test_O3_O4_an_open_stream_ends_properly_and_the_process_after_it(ending: signal.Signals) -> None:
    """O3, O4: the stream's answer is complete, the exit code is 0, every log line is JSON and holds no secret."""
    backends = FakeBackends()
    await backends.start()
    try:
        async with gateway_process(backends) as process:
            address = (await line_with(process, "gateway.listening"))["address"]
            async with (
                httpx.AsyncClient(base_url=f"http://{address}", headers=ALICE, trust_env=False) as client,
                client.stream("GET", f"/api/v1/jobs/{JOB_ID}/events?after_seq=0") as answer,
            ):
                stream = EventStream(answer)
                await backends.script.emit(1)
                assert (await stream.event())[0] == 1
                process.send_signal(ending)
                assert await stream.seqs() == []
            access = await line_with(process, "request")
            assert (access["route"], access["status"]) == ("/api/v1/jobs/{job_id}/events", 200)
            assert "alice-token" not in json.dumps(access)
            async with asyncio.timeout(10):
                assert await process.wait() == 0
    finally:
        await backends.stop()

"""CPU of the gateway per unary request, beside a naive gateway, on the same backend in the same run (P1).

    python -m tests.bench.gateway.unary [--seconds 4] [--rounds 3] [--connections 32]

`limited` is the same gateway with calls counted in Redis (A7): reads in blocks, orders one by one.
Prints µs of CPU of the gateway's process per request, and requests per second of wall time: medians over the
rounds, with the spread. Only the ratio to a peer of the same run carries over to another machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import uvloop

from tests.fakes.grpc_backends import JOB_ID
from tests.stack import free_port, redis_url

CHECKOUT = Path(__file__).parents[3]
ORDER = json.dumps(
    {
        "topic": "Pythagorean theorem",
        "context": "prove it visually, " * 8,
        "quality": "low",
        "quality_levels": ["720p", "1080p"],
        "configuration": {"theme": "light"},
        "max_retries": 3,
    }
)
HEADERS = "Host: t\r\nAuthorization: Bearer alice-token\r\nAccept: */*\r\n"
REQUESTS = {
    "GET": f"GET /api/v1/jobs/{JOB_ID} HTTP/1.1\r\n{HEADERS}\r\n",
    "POST": f"POST /api/v1/videos/generate HTTP/1.1\r\n{HEADERS}Content-Type: application/json\r\n"
    f"Content-Length: {len(ORDER)}\r\n\r\n{ORDER}",
}
PEERS = {"t2m": ["-m", "gateway"], "limited": ["-m", "gateway"], "naive": ["-m", "tests.bench.gateway.naive"]}
NO_END = "10000000/minute"
LIMITS = json.dumps(
    {
        "plans": {"free": {"standard": NO_END, "generate": NO_END}},
        "deployment": {"standard": NO_END, "generate": NO_END},
    }
)


@dataclass
class Result:
    """One round."""

    cpu_us: float
    per_second: float


@contextmanager
def process(arguments: list[str], port: int, **environment: str) -> Iterator[psutil.Process]:
    """A Python process that listens on the port."""
    started = subprocess.Popen(
        [sys.executable, *arguments], cwd=CHECKOUT, env={**os.environ, **environment}, stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline or started.poll() is not None:
                    raise
        yield psutil.Process(started.pid)
    finally:
        started.terminate()
        started.wait()


async def one_connection(port: int, request: bytes, until: float) -> int:
    """Send the request again and again; the number of answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    count = 0
    while time.monotonic() < until:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 20"), head
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        count += 1
    writer.close()
    return count


async def load(port: int, gateway: psutil.Process, request: str, connections: int, seconds: float) -> Result:
    """One round on one peer."""
    raw = request.encode()
    await asyncio.gather(*(one_connection(port, raw, time.monotonic() + 0.5) for _ in range(connections)))
    before, started = gateway.cpu_times(), time.monotonic()
    counts = await asyncio.gather(*(one_connection(port, raw, started + seconds) for _ in range(connections)))
    after, elapsed = gateway.cpu_times(), time.monotonic() - started
    cpu_s = (after.user + after.system) - (before.user + before.system)
    return Result(cpu_s / sum(counts) * 1e6, sum(counts) / elapsed)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=32)
    options = parser.parse_args()
    uvloop.install()
    backend = free_port()
    results: dict[tuple[str, str], list[Result]] = {}
    with process(["-m", "tests.bench.gateway.backend", str(backend)], backend):
        for _ in range(options.rounds):
            for peer, arguments in PEERS.items():
                port = free_port()
                environment = {
                    f"T2M_{name}_ADDRESS": f"127.0.0.1:{backend}" for name in ("AUTH", "JOB", "VIDEO_RENDER", "STORAGE")
                }
                environment |= {"T2M_GATEWAY_PORT": str(port), "T2M_RATE_LIMITS": "off"}
                if peer == "limited":
                    environment |= {"T2M_RATE_LIMITS": LIMITS, "T2M_REDIS_URL": redis_url()}
                with process(arguments, port, **environment) as gateway:
                    for kind, request in REQUESTS.items():
                        round_ = asyncio.run(load(port, gateway, request, options.connections, options.seconds))
                        results.setdefault((peer, kind), []).append(round_)
    for kind in REQUESTS:
        naive = statistics.median(result.cpu_us for result in results["naive", kind])
        for peer in PEERS:
            cpus = [result.cpu_us for result in results[peer, kind]]
            rate = statistics.median(result.per_second for result in results[peer, kind])
            print(
                f"{kind:5} {peer:7} {statistics.median(cpus):6.0f} µs CPU ({min(cpus):.0f}-{max(cpus):.0f}) "
                f"{naive / statistics.median(cpus):5.2f} x naive {rate:8.0f} requests/s"
            )


if __name__ == "__main__":
    main()

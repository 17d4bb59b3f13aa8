"""CPU of the gateway per unary request, beside other gateways on the same backend in the same run (P1).

    python -m tests.bench.gateway.unary [--seconds 4] [--rounds 3] [--connections 32] [--peers t2m,envoy]

`limited` is the same gateway with calls counted in Redis (A7): reads in blocks, orders one by one.
Prints µs of CPU (user and system) of the gateway's process per request, its ratio to Envoy's, and requests per second
of wall time: medians over the rounds, with the spread. Only ratios of one run carry over to another machine.
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
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import uvloop

from tests.bench.gateway import envoy
from tests.fakes.grpc_backends import JOB_ID
from tests.stack import free_port, redis_url

CHECKOUT = Path(__file__).parents[3]
ORDER = json.dumps(
    {
        "topic": "Pythagorean theorem",
        "context": "prove it visually, " * 8,
        "quality": "QUALITY_LOW",  # The full name: all peers understand it.
        "quality_levels": ["720p", "1080p"],
        "configuration": {"theme": "light"},
        "max_retries": 3,
    }
)
KINDS = ("GET", "POST")
PEERS = {
    "t2m": ["-m", "gateway"],
    "limited": ["-m", "gateway"],
    "naive": ["-m", "tests.bench.gateway.naive"],
    "fastapi": ["-m", "tests.bench.gateway.fastapi_app"],
}
"""Arguments of Python for each peer but Envoy."""
ENVOY = "envoy"
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


def request_of(kind: str, peer: str) -> bytes:
    """The same for all, but that Envoy does not exchange credentials: it gets the token that the others trade for."""
    token = "internal-alice" if peer == ENVOY else "alice-token"
    headers = f"Host: t\r\nAuthorization: Bearer {token}\r\nAccept: */*\r\n"
    if kind == "GET":
        return f"GET /api/v1/jobs/{JOB_ID} HTTP/1.1\r\n{headers}\r\n".encode()
    entity = f"Content-Type: application/json\r\nContent-Length: {len(ORDER)}\r\n\r\n{ORDER}"
    return f"POST /api/v1/videos/generate HTTP/1.1\r\n{headers}{entity}".encode()


@contextmanager
def process(arguments: list[str], port: int, **environment: str) -> Iterator[psutil.Process]:
    """A Python process that listens on the port."""
    with listening([sys.executable, *arguments], port, **environment) as started:
        yield started


@contextmanager
def listening(command: list[str], port: int, **environment: str) -> Iterator[psutil.Process]:
    """A process that listens on the port."""
    started = subprocess.Popen(command, cwd=CHECKOUT, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline or started.poll() is not None:
                    raise
                time.sleep(0.05)
        yield psutil.Process(started.pid)
    finally:
        started.terminate()
        started.wait()


def start(peer: str, backend: int) -> tuple[AbstractContextManager[psutil.Process], int]:
    """A peer in front of the backend, and its port."""
    port = free_port()
    if peer == ENVOY:
        return listening(envoy.command(port, backend), port), port
    address = f"127.0.0.1:{backend}"
    environment = {f"T2M_{name}_ADDRESS": address for name in ("AUTH", "JOB", "VIDEO_RENDER", "STORAGE")}
    environment |= {"T2M_GATEWAY_PORT": str(port), "T2M_RATE_LIMITS": "off"}
    if peer == "limited":
        environment |= {"T2M_RATE_LIMITS": LIMITS, "T2M_REDIS_URL": redis_url()}
    return process(PEERS[peer], port, **environment), port


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


async def load(port: int, gateway: psutil.Process, request: bytes, connections: int, seconds: float) -> Result:
    """One round on one peer."""
    await asyncio.gather(*(one_connection(port, request, time.monotonic() + 0.5) for _ in range(connections)))
    before, started = gateway.cpu_times(), time.monotonic()
    counts = await asyncio.gather(*(one_connection(port, request, started + seconds) for _ in range(connections)))
    after, elapsed = gateway.cpu_times(), time.monotonic() - started
    cpu_s = (after.user + after.system) - (before.user + before.system)
    return Result(cpu_s / sum(counts) * 1e6, sum(counts) / elapsed)


def measure(peers: list[str], options: argparse.Namespace) -> dict[tuple[str, str], list[Result]]:
    """Every peer in every round, one after the other: what else the machine does hits all of them."""
    results: dict[tuple[str, str], list[Result]] = {}
    backend = free_port()
    with process(["-m", "tests.bench.gateway.backend", str(backend)], backend):
        for _ in range(options.rounds):
            for peer in peers:
                context, port = start(peer, backend)
                with context as gateway:
                    for kind in KINDS:
                        request = request_of(kind, peer)
                        round_ = asyncio.run(load(port, gateway, request, options.connections, options.seconds))
                        results.setdefault((peer, kind), []).append(round_)
    return results


def report(results: dict[tuple[str, str], list[Result]]) -> None:
    """One line per request and peer."""
    for peer, kind in sorted(results, key=lambda key: key[1]):
        cpus = [result.cpu_us for result in results[peer, kind]]
        rate = statistics.median(result.per_second for result in results[peer, kind])
        line = f"{kind:5} {peer:8} {statistics.median(cpus):6.0f} µs CPU ({min(cpus):.0f}-{max(cpus):.0f})"
        if (ENVOY, kind) in results:
            # By round, as both were measured within seconds of each other.
            ratios = [other.cpu_us / own for own, other in zip(cpus, results[ENVOY, kind], strict=True)]
            line += f" {statistics.median(ratios):5.2f} x envoy ({min(ratios):.2f}-{max(ratios):.2f})"
        print(f"{line} {rate:8.0f} requests/s")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--peers", default=",".join((ENVOY, *PEERS)))
    options = parser.parse_args()
    uvloop.install()
    report(measure(options.peers.split(","), options))


if __name__ == "__main__":
    main()

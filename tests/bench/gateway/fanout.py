"""Fan-out of one job's events to many SSE clients through the gateway (P3's shape, one job).

    python -m tests.bench.gateway.fanout [--subscribers 2000] [--events 50] [--rate 5]

The backend, the gateway and the clients are separate processes. Prints deliveries per second, latency from the
event's creation to its arrival, CPU per delivery and memory per subscriber; fails when an event is lost or repeated.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import time

import psutil
import uvloop

from t2m.job.v1 import job_pb2
from tests.bench.gateway.unary import PEERS, process
from tests.fakes.grpc_backends import JOB_ID, FakeBackends
from tests.stack import free_port

REQUEST = (
    f"GET /api/v1/jobs/{JOB_ID}/events?after_seq=0 HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer alice-token\r\n\r\n"
)


async def subscriber(port: int, ready: asyncio.Semaphore, born: dict[int, float], latencies: list[float]) -> None:
    """Read until the stream ends; every seq must come once, in order."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST.encode())
    await reader.readuntil(b"retry: 1000")
    ready.release()
    expected = 1
    async for line in reader:
        if line.startswith(b"id: "):
            seq = int(line[4:])
            assert seq == expected, f"got {seq}, expected {expected}"
            expected += 1
            latencies.append(time.monotonic() - born[seq])
        elif line == b"0\r\n":
            break
    assert expected == len(born) + 1, f"lost {len(born) + 1 - expected}"
    writer.close()


async def run(options: argparse.Namespace) -> None:
    """Backend in this process: its cost is not the gateway's."""
    backends = FakeBackends()
    await backends.start()
    port = free_port()
    addresses = {f"T2M_{name}_ADDRESS": backends.address for name in ("AUTH", "JOB", "VIDEO_RENDER", "STORAGE")}
    loop = asyncio.get_running_loop()
    context = process(
        PEERS["t2m"], port, T2M_GATEWAY_PORT=str(port), T2M_RATE_LIMITS="off", T2M_STREAMS_PER_USER="0", **addresses
    )
    gateway = await loop.run_in_executor(None, context.__enter__)
    try:
        await measure(options, backends, port, gateway)
    finally:
        await loop.run_in_executor(None, context.__exit__, None, None, None)
        await backends.stop()


async def measure(options: argparse.Namespace, backends: FakeBackends, port: int, gateway: psutil.Process) -> None:
    """One run; prints its figures."""
    born: dict[int, float] = {}
    latencies: list[float] = []
    ready = asyncio.Semaphore(0)
    empty = gateway.memory_info().rss
    tasks = []
    for _ in range(options.subscribers):
        tasks.append(asyncio.create_task(subscriber(port, ready, born, latencies)))
        await ready.acquire()
    full, before, started = gateway.memory_info().rss, gateway.cpu_times(), time.monotonic()
    for seq in range(1, options.events + 1):
        born[seq] = time.monotonic()
        last = seq == options.events
        await backends.script.emit(seq, status=job_pb2.JOB_STATUS_COMPLETED if last else None)
        await asyncio.sleep(1 / options.rate)
    await asyncio.gather(*tasks)
    after, elapsed = gateway.cpu_times(), time.monotonic() - started
    cpu_s = after.user + after.system - before.user - before.system
    points = statistics.quantiles(latencies, n=100)
    print(
        f"{options.subscribers} subscribers, {len(latencies) / elapsed:.0f} deliveries/s, "
        f"p50 {points[49] * 1000:.1f} ms, p99 {points[98] * 1000:.1f} ms, "
        f"{cpu_s / len(latencies) * 1e6:.1f} µs CPU per delivery, "
        f"{(full - empty) / options.subscribers / 1024:.1f} KB per subscriber; none lost, none repeated"
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--subscribers", type=int, default=2000)
    parser.add_argument("--events", type=int, default=50)
    parser.add_argument("--rate", type=float, default=5)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.install()
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()

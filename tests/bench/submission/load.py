"""A closed loop of clients that each send one order after the other over a connection of their own."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

ORDER = json.dumps(
    {
        "topic": "Pythagorean theorem",
        "context": "prove it visually, " * 8,
        "quality": "low",
        "quality_levels": ["480p"],
        "configuration": {"theme": "light"},
        "max_retries": 3,
    }
).encode()


@dataclass(frozen=True)
class Loaded:
    """What the clients saw."""

    latencies_s: list[float]
    elapsed_s: float

    @property
    def per_second(self) -> float:
        """Jobs accepted."""
        return len(self.latencies_s) / self.elapsed_s

    def quantile_ms(self, share: float) -> float:
        """The latency that this share of the jobs did not exceed."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))] * 1000


async def _client(port: int, credential: str, until: float, latencies: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    shared = f"Host: t\r\nAccept: */*\r\nContent-Type: application/json\r\nContent-Length: {len(ORDER)}\r\n{credential}"
    while time.monotonic() < until:
        started = time.perf_counter()
        head = f"POST /api/v1/videos/generate HTTP/1.1\r\n{shared}Idempotency-Key: {uuid4()}\r\n\r\n"
        writer.write(head.encode() + ORDER)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        if not answer.startswith(b"HTTP/1.1 201"):
            raise AssertionError((answer, body))
        latencies.append(time.perf_counter() - started)
    writer.close()


async def load(port: int, credentials: Sequence[str], seconds: float) -> Loaded:
    """One client for each credential (lines of a request's head), all at once."""
    latencies: list[float] = []
    started = time.monotonic()
    await asyncio.gather(*(_client(port, each, started + seconds, latencies) for each in credentials))
    return Loaded(latencies, time.monotonic() - started)

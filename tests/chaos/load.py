"""What the users do while the storm blows: orders, batches, repeats under the same key, cancellations, watchers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from tests.chaos.client import Client, Refused

_BATCH_SHARE = 0.1
_CANCEL_SHARE = 0.15
_REPEAT_SHARE = 0.4
_CURVES = ("y = x^2", "y = sin(x)", "y = x^3 - x", "y = cos(2 x)", "y = 1 / (1 + x^2)")
_PRIORITIES = ("high", "default", "low")


class Load:
    """Keeps some jobs under way until it is told to stop and has ordered enough. Seeded like the faults."""

    def __init__(self, clients: Sequence[Client], rng: random.Random, *, at_once: int, at_least: int) -> None:
        """`at_once` jobs under way, `at_least` jobs in all."""
        self._clients = clients
        self._rng = rng
        self._at_once = asyncio.Semaphore(at_once)
        self._at_least = at_least
        self._enough = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.jobs = 0

    async def run(self) -> None:
        """Order until stopped; returns once every watcher has seen its end."""
        number = 0
        while not self._enough.is_set() or self.jobs < self._at_least:
            number += 1
            await self._at_once.acquire()
            client = self._rng.choice(self._clients)
            if self._rng.random() < _BATCH_SHARE:
                self.jobs += 3
                self._spawn(self._batch(client, number))
            else:
                self.jobs += 1
                self._spawn(self._single(client, number))
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def enough(self) -> None:
        """Order no more than what is needed."""
        self._enough.set()

    async def stop(self) -> None:
        """Give up watching."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _single(self, client: Client, number: int) -> None:
        try:
            body, key = lesson(self._rng, f"{number}"), f"storm-{number}"
            try:
                job_id = await client.order(body, key)
            except Refused:  # noted; the invariants judge it
                return
            if self._rng.random() < _REPEAT_SHARE:
                self._spawn(self._repeat(client, body, key))
            if self._rng.random() < _CANCEL_SHARE:
                self._spawn(self._cancel_later(client, f"/api/v1/jobs/{job_id}", job_id=job_id))
            await self._watched(client, job_id)
        finally:
            self._at_once.release()

    async def _batch(self, client: Client, number: int) -> None:
        try:
            bodies = [lesson(self._rng, f"{number}.{item}") for item in range(3)]
            try:
                batch_id, job_ids = await client.order_batch(bodies, f"storm-batch-{number}")
            except Refused:  # noted; the invariants judge it
                self.jobs -= len(bodies)
                return
            route = f"/api/v1/videos/batch/{batch_id}"
            self._spawn(client.watch(route, batch_id, after=0))
            if self._rng.random() < _CANCEL_SHARE:
                self._spawn(self._cancel_later(client, route, batch_id=batch_id))
            for job_id in job_ids:
                await self._watched(client, job_id)
        finally:
            self._at_once.release()

    async def _watched(self, client: Client, job_id: str) -> None:
        """One watcher from the beginning to the end, and others that come later or hang up all the time."""
        route = f"/api/v1/jobs/{job_id}"
        if self._rng.random() < 0.5:
            self._spawn(client.watch(route, job_id, after=None))
        if self._rng.random() < 0.5:
            self._spawn(client.watch(route, job_id, after=0, hang_up_every=self._rng.randint(1, 5)))
        await client.watch(route, job_id, after=0)

    async def _repeat(self, client: Client, body: dict[str, Any], key: str) -> None:
        """The same order under the same key, all at once and again later."""
        await asyncio.gather(*(client.order(body, key) for _ in range(3)))
        await asyncio.sleep(self._rng.uniform(0, 5))
        await client.order(body, key)

    async def _cancel_later(self, client: Client, route: str, **what: str) -> None:
        await asyncio.sleep(self._rng.uniform(0, 4))
        await client.cancel(route, **what)


def lesson(rng: random.Random, name: str) -> dict[str, Any]:
    """An order for a small video, unlike every other: no scene of it comes out of the cache."""
    parts = [f"# Part {part} of {name}\n- Point {part}.{name}\n- It is short" for part in range(rng.randint(1, 3))]
    curve = rng.choice(_CURVES)
    parts.append(f"# Curve of {name}\nplot: {curve}, x from -{rng.randint(2, 4)} to {rng.randint(2, 4)}")
    rng.shuffle(parts)
    return {
        "topic": f"Lesson {name}",
        "context": "\n\n".join(parts),
        "quality": "low",
        "priority": rng.choice(_PRIORITIES),
    }

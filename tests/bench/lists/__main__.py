"""Pages of the list of jobs at a million rows, beside OFFSET and OFFSET with count (P4, J2).

    python -m tests.bench.lists [--rows 1000000] [--rounds 5]

Prints the median time of one page of 20 by the store's own method, in milliseconds, and of the two usual ways in the
same run on the same rows. Half of the rows belong to one owner, whose list is read.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.job.adapters.postgres.jobs import PostgresJobs
from services.job.adapters.postgres.writer import JobWriter
from services.job.api.codec import event_payload
from services.job.application.ports import JobQuery, PageKey
from services.job.domain.values import JobStatus, Priority
from services.runtime.db import create_engine
from tests import stack
from tests.bench.lists.seed import OWNER, seed
from tests.fakes.job import CountingSignal

PAGE = 20
DEPTHS = (1, 100, 10_000)
"""Pages, counted from 1."""
_CALLS = 100
"""Calls a round: a single page is shorter than the clock is steady."""
_OFFSET = text(
    "SELECT * FROM jobs WHERE owner_id = :owner AND deleted_at IS NULL"
    " ORDER BY created_at DESC, job_id DESC OFFSET :offset LIMIT :page"
)
_COUNT = text("SELECT count(*) FROM jobs WHERE owner_id = :owner AND deleted_at IS NULL")


@dataclass
class Line:
    """One way to read a page, at each depth, in milliseconds."""

    name: str
    rounds: dict[int, list[float]]

    def median(self, depth: int) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds[depth])

    def row(self) -> str:
        """A row of the table."""
        cells = [
            f"{self.median(depth):.2f} ({min(times):.2f}–{max(times):.2f})" for depth, times in self.rounds.items()
        ]
        ratio = self.median(DEPTHS[-1]) / self.median(DEPTHS[0])
        return f"| {self.name} | {' | '.join(cells)} | {ratio:.2f} |"


async def timed(call: Callable[[], Awaitable[Any]], calls: int) -> float:
    """Milliseconds per call, one after the other."""
    started = time.perf_counter()
    for _ in range(calls):
        await call()
    return (time.perf_counter() - started) * 1000 / calls


class Reader:
    """Reads pages in the ways to be compared."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._store = PostgresJobs(engine, JobWriter(event_payload, CountingSignal()))

    async def keys(self, query: JobQuery, depths: Iterable[int]) -> dict[int, PageKey | None]:
        """Where the page of each depth begins; None for the first."""
        keys: dict[int, PageKey | None] = {}
        for depth in depths:
            keys[depth] = None
            if depth > 1:
                [last] = await self._store.page(query, None, (depth - 1) * PAGE - 1, 1)
                keys[depth] = PageKey(last.created_at, last.job_id)
        return keys

    async def keyset(self, query: JobQuery, after: PageKey | None) -> None:
        """What the service does, decoding included."""
        page = await self._store.page(query, after, 0, PAGE + 1)
        assert len(page) > PAGE, "the table is too small for this depth"

    async def offset(self, depth: int, *, count: bool) -> None:
        """What is usually done."""
        values = {"owner": OWNER, "offset": (depth - 1) * PAGE, "page": PAGE}
        async with self._engine.connect() as connection:
            rows = (await connection.execute(_OFFSET, values)).all()
            assert len(rows) == PAGE
            if count:
                await connection.execute(_COUNT, {"owner": OWNER})


async def measure(reader: Reader, rounds: int) -> list[Line]:
    """Every way, interleaved, so that all see the same machine."""
    queries = {
        "keyset (t2m)": JobQuery(OWNER),
        "keyset, status completed": JobQuery(OWNER, frozenset({JobStatus.COMPLETED})),
        "keyset, status completed or failed": JobQuery(OWNER, frozenset({JobStatus.COMPLETED, JobStatus.FAILED})),
        "keyset, priority default": JobQuery(OWNER, priority=Priority.DEFAULT),
        "keyset, everybody's (admin)": JobQuery(None),
    }
    keys = {name: await reader.keys(query, DEPTHS) for name, query in queries.items()}
    lines = {name: Line(name, {depth: [] for depth in DEPTHS}) for name in [*queries, "OFFSET", "OFFSET + count(*)"]}
    for _ in range(rounds):
        for depth in DEPTHS:
            for name, query in queries.items():
                call = partial(reader.keyset, query, keys[name][depth])
                lines[name].rounds[depth].append(await timed(call, _CALLS))
            calls = max(3, _CALLS // depth)
            for name, count in (("OFFSET", False), ("OFFSET + count(*)", True)):
                call = partial(reader.offset, depth, count=count)
                lines[name].rounds[depth].append(await timed(call, calls))
    return list(lines.values())


async def run(rows: int, rounds: int) -> None:
    """Seed, measure, print."""
    url = stack.postgres_url("bench_lists")
    await stack.migrate("job", url)
    engine = create_engine(url, statement_timeout_s=60)
    started = time.perf_counter()
    await seed(engine, rows)
    print(f"{rows:,} rows in {time.perf_counter() - started:.0f} s\n")
    lines = await measure(Reader(engine), rounds)
    heads = " | ".join(f"page {depth:,}" for depth in DEPTHS)
    print(f"| one page of {PAGE}, ms | {heads} | last ÷ first |\n| --- |{' ---: |' * (len(DEPTHS) + 1)}")
    print("\n".join(line.row() for line in lines))
    await engine.dispose()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    asyncio.run(run(options.rows, options.rounds))


if __name__ == "__main__":
    main()

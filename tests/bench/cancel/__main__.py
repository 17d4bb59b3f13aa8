"""Cancel → no render process left, and killed worker → its scene runs again, on a real service and worker (P9).

    python -m tests.bench.cancel [--cancels 50] [--kills 10]

A scene burns CPU in a process of its own, as a drawn one does. Prints milliseconds: median, p99, maximum.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil

from tests import stack
from tests.integration.video_render_harness import Stack, Worker, running

_LOOK_S = 0.002


async def until(condition: Callable[[], Awaitable[bool]], deadline_s: float = 60) -> None:
    """Return when the condition holds, looked at every two milliseconds."""
    async with asyncio.timeout(deadline_s):
        while not await condition():  # noqa: ASYNC110 - a process of another parent tells nobody when it ends
            await asyncio.sleep(_LOOK_S)


def pairs(worker: Worker) -> list[tuple[psutil.Process, psutil.Process]]:
    """Pool and render processes that belong together; none while they change."""
    try:
        return worker.drawing()
    except psutil.NoSuchProcess:
        return []


async def drawing(worker: Worker) -> list[tuple[psutil.Process, psutil.Process]]:
    """The pairs, once there is one."""

    async def begun() -> bool:
        return bool(pairs(worker))

    await until(begun)
    return pairs(worker)


def alive(process: psutil.Process) -> bool:
    """Whether it runs, a zombie not counting."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def cancel_one(bench: Stack, worker: Worker, number: int) -> float:
    """Seconds from the call to the end of the last render process."""
    render_id = f"cancel-{number}"
    await bench.start(render_id, "burn 60")
    renders = [render for _, render in await drawing(worker)]
    started = time.perf_counter()

    async def gone() -> bool:
        return not any(alive(render) for render in renders)

    await bench.cancel(render_id)
    await until(gone)
    return time.perf_counter() - started


async def kill_one(bench: Stack, worker: Worker, number: int) -> float:
    """Seconds from kill -9 of the pool process to the scene's next attempt."""
    render_id = f"kill-{number}"
    await bench.start(render_id, "burn 60")
    [(child, _)] = await drawing(worker)
    started = time.perf_counter()
    child.kill()

    async def again() -> bool:
        return (await bench.get(render_id)).scenes[0].attempts == 2

    await until(again)
    elapsed = time.perf_counter() - started
    await bench.cancel(render_id)

    async def idle() -> bool:
        return not pairs(worker)

    await until(idle)
    return elapsed


def row(name: str, times: list[float]) -> str:
    """A row of the table."""
    ordered = sorted(time * 1000 for time in times)
    p99 = ordered[min(len(ordered) - 1, round(0.99 * (len(ordered) - 1)))]
    return f"| {name} | {len(ordered)} | {statistics.median(ordered):.0f} | {p99:.0f} | {ordered[-1]:.0f} |"


async def run(cancels: int, kills: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="t2m-bench-") as folder:
        async with running(lambda: stack.postgres_url("bench_cancel"), Path(folder)) as bench:
            worker = await bench.start_worker()
            cancelled = [await cancel_one(bench, worker, number) for number in range(cancels)]
            killed = [await kill_one(bench, worker, number) for number in range(kills)]
    print("| what, ms | n | median | p99 | max |\n| --- | ---: | ---: | ---: | ---: |")
    print(row("cancel → render processes gone", cancelled))
    print(row("kill -9 of a pool process → its scene runs again (lease 15 s)", killed))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cancels", type=int, default=50)
    parser.add_argument("--kills", type=int, default=10)
    options = parser.parse_args()
    asyncio.run(run(options.cancels, options.kills))


if __name__ == "__main__":
    main()

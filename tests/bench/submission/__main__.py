"""CPU of a submission over all processes, beside a monolith that only inserts and enqueues (P2).

    python -m tests.bench.submission [--seconds 6] [--rounds 3] [--clients 32] [--users 32] [--only t2m]

Prints µs of CPU per accepted job for every process: medians over the rounds with the spread; jobs per second and
latencies. The ratio is that of the sums with Postgres; only it carries over to another machine.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from tests.bench.submission.load import Loaded, load
from tests.bench.submission.ours import Ours
from tests.bench.submission.peer import Peer
from tests.bench.submission.servers import Side

_WARM_S = 2.0


@dataclass
class Round:
    """One side, once."""

    loaded: Loaded
    cpu_us: dict[str, float]
    """Per job, by process."""

    @property
    def total_us(self) -> float:
        """Of everything that is a part of P2: all but Redis."""
        return sum(cost for name, cost in self.cpu_us.items() if name != "redis")


async def _nothing() -> None:
    """A monolith has nothing to be done later."""


async def measure(
    side: Side, port: int, credentials: Sequence[str], seconds: float, settled: Callable[[], Awaitable[None]]
) -> Round:
    """One round; the figure includes what the jobs left to be done later."""
    before = side.cpu_s()
    loaded = await load(port, credentials, seconds)
    await settled()
    after = side.cpu_s()
    jobs = len(loaded.latencies_s)
    return Round(loaded, {name: (after[name] - before[name]) / jobs * 1e6 for name in after})


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):,.0f} ({min(values):,.0f}-{max(values):,.0f})"


def row(name: str, rounds: Sequence[Round]) -> str:
    """A row of the table."""
    parts = [part for part in rounds[0].cpu_us if part not in ("postgres", "redis")]
    apps = ", ".join(f"{part} {statistics.median(each.cpu_us[part] for each in rounds):,.0f}" for part in parts)
    cells = [
        name,
        _spread([each.total_us for each in rounds]),
        apps,
        _spread([each.cpu_us["postgres"] for each in rounds]),
        _spread([each.cpu_us["redis"] for each in rounds]),
        _spread([each.loaded.per_second for each in rounds]),
        f"{statistics.median(each.loaded.quantile_ms(0.5) for each in rounds):.0f}",
        f"{statistics.median(each.loaded.quantile_ms(0.99) for each in rounds):.0f}",
    ]
    return f"| {' | '.join(cells)} |"


async def run(options: argparse.Namespace, folder: Path) -> None:
    """Measure and print."""
    ours, peer = Ours(folder / "t2m"), Peer(folder / "monolith")
    wanted: list[Side] = [side for side in (ours, peer) if options.only in ("", side.name)]
    rounds: dict[str, list[Round]] = {side.name: [] for side in wanted}
    accepted = {side.name: 0 for side in wanted}
    try:
        for side in wanted:
            await (ours.start(options.users) if side is ours else peer.start())
        credentials = [ours.credentials[n % options.users] if ours.credentials else "" for n in range(options.clients)]
        for number in range(options.rounds + 1):
            for side in wanted:
                port, heads, settled = (
                    (ours.gateway_port, credentials, ours.settled)
                    if side is ours
                    else (peer.port, [""] * options.clients, _nothing)
                )
                seconds = options.seconds if number else _WARM_S
                done = await measure(side, port, heads, seconds, settled)
                accepted[side.name] += len(done.loaded.latencies_s)
                if number:
                    rounds[side.name].append(done)
        for side in wanted:
            await (ours.check(accepted[side.name]) if side is ours else peer.check(accepted[side.name]))
    finally:
        for side in wanted:
            await asyncio.to_thread(side.stop)
    heads_ = "with Postgres | of it, processes | Postgres | Redis | jobs/s | p50 ms | p99 ms"
    print(f"| µs of CPU per job | {heads_} |\n| --- |{' ---: |' * 7}")
    for name, each in rounds.items():
        print(row(name, each))
    if len(rounds) == 2:
        ratio = [b.total_us / a.total_us for a, b in zip(rounds["t2m"], rounds["monolith"], strict=True)]
        print(f"\nmonolith / t2m: {statistics.median(ratio):.2f} ({min(ratio):.2f}-{max(ratio):.2f})")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--users", type=int, default=32)
    parser.add_argument("--only", choices=["", "t2m", "monolith"], default="")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="t2m-submission-") as folder:
        uvloop.run(run(options, Path(folder)))


if __name__ == "__main__":
    main()

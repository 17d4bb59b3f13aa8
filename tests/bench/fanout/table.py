"""The figures of a run as lines of a table."""

from __future__ import annotations

import statistics

from tests.bench.fanout.runs import Run

_SHOWN = ("gateway", "envoy", "job", "postgres", "redis", "clients", "neighbours")


def show(run: Run) -> None:
    """Print it."""
    shape, found = run.shape, run.latencies_ms
    points = statistics.quantiles(found, n=1000)
    cpu = ", ".join(f"{name} {run.cpu_us[name]:.1f}" for name in _SHOWN if name in run.cpu_us)
    memory = ", ".join(f"{name} {value:.1f}" for name, value in run.kb_per_subscriber.items())
    missing = run.expected - len(found)
    print(
        f"{run.peer}: {shape.subscribers} clients of {shape.jobs} jobs, {shape.deliveries_per_second:.0f}/s wanted\n"
        f"  commit to client: p50 {points[499]:.1f} ms, p99 {points[989]:.1f} ms, p99.9 {points[998]:.1f} ms, "
        f"max {max(found):.1f} ms; {missing} of {run.expected} not there in time, none twice, none out of order\n"
        f"  CPU in µs per delivery: {cpu}\n"
        f"  KB per subscriber: {memory}",
        flush=True,
    )

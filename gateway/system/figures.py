"""The metrics of this process in a form that people and pages read: a summary of what `/metrics` says."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Metric

_QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


def summary(registry: CollectorRegistry = REGISTRY) -> dict[str, Any]:
    """Requests, streams, limits and the process, since its start. Times are in seconds unless the name says ms."""
    metrics = {metric.name: metric for metric in registry.collect()}
    by_status, buckets = _requests(metrics.get("api_request_duration_seconds"))
    started = _value(metrics, "process_start_time_seconds")
    return {
        "uptime_seconds": round(time.time() - started) if started else None,
        "requests": {
            "in_flight": _value(metrics, "api_requests_in_flight"),
            "total": sum(by_status.values()),
            "by_status": dict(sorted(by_status.items())),
            "latency_ms": {name: quantile(buckets, share) for name, share in _QUANTILES.items()},
        },
        "streams": {
            "subscribers": _value(metrics, "gateway_stream_subscribers"),
            "feeds": _value(metrics, "gateway_stream_feeds"),
            "cut_off_total": _value(metrics, "gateway_stream_cuts"),
            "reconnects_total": _value(metrics, "gateway_stream_reconnects"),
        },
        "rate_limited_total": _value(metrics, "gateway_rate_limited"),
        "file_bytes_total": _value(metrics, "gateway_file_bytes"),
        "process": {
            "cpu_seconds": round(_value(metrics, "process_cpu_seconds"), 2),
            "resident_bytes": _value(metrics, "process_resident_memory_bytes"),
            "open_files": _value(metrics, "process_open_fds"),
        },
    }


def _value(metrics: dict[str, Metric], name: str) -> int | float:
    """The sum over all labels; of a counter, its total. 0 for a metric that this platform does not have."""
    metric = metrics.get(name)
    samples = [] if metric is None else metric.samples
    value = sum(each.value for each in samples if each.name in (name, f"{name}_total"))
    return int(value) if value == int(value) else value


def _requests(metric: Metric | None) -> tuple[Counter[str], list[tuple[float, float]]]:
    by_status: Counter[str] = Counter()
    counts: defaultdict[float, float] = defaultdict(float)
    for sample in metric.samples if metric is not None else ():
        if sample.name.endswith("_count"):
            by_status[f"{sample.labels['status'][:1]}xx"] += int(sample.value)
        elif sample.name.endswith("_bucket"):
            counts[float(sample.labels["le"])] += sample.value
    return by_status, sorted(counts.items())


def quantile(buckets: Iterable[tuple[float, float]], share: float) -> float | None:
    """Milliseconds within which this share of the requests ended, by linear interpolation within its bucket.

    `buckets`: upper bounds in seconds and cumulative counts, ascending. None without requests; the largest finite bound
    for what lies beyond it.
    """
    known = list(buckets)
    if not known or not known[-1][1]:
        return None
    wanted = share * known[-1][1]
    below, before = 0.0, 0.0
    for bound, count in known:
        if count >= wanted:
            if bound == float("inf"):
                break
            part = (wanted - before) / (count - before) if count > before else 1.0
            return round(1000 * (below + (bound - below) * part), 2)
        below, before = bound, count
    return round(1000 * below, 2)

"""What is kept of every request: a line in the log, and a time in the metrics.

Both are done once per request, so both are done here at the price of a few list operations: the general ways of
structlog and prometheus_client together cost as much as a request's way through all of the app.
"""

from __future__ import annotations

import asyncio
import atexit
from bisect import bisect_left
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import accumulate
from typing import IO, Any

import orjson
import structlog
from prometheus_client.metrics_core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

Write = Callable[[dict[str, Any]], object]
"""Takes the fields of a line."""

FLUSH_S = 0.05
"""How long a line waits for others: they are written together."""
_MAX_LINES = 1000
_BUCKETS_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)
_LINE = orjson.OPT_APPEND_NEWLINE


def through_structlog(fields: dict[str, Any]) -> None:
    """A line as all others are written."""
    structlog.get_logger("gateway.access").info("request", **fields)


class BufferedLines:
    """JSON lines of the same form as structlog's, written together. Nothing is lost but by a kill."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._lines: list[bytes] = []
        atexit.register(self.flush)

    def __call__(self, fields: dict[str, Any]) -> None:
        """Take a line; only in an event loop."""
        fields["event"], fields["level"] = "request", "info"
        fields["timestamp"] = datetime.now(UTC).isoformat()[:26] + "Z"
        if not self._lines:
            asyncio.get_running_loop().call_later(FLUSH_S, self.flush)
        self._lines.append(orjson.dumps(fields, str, _LINE))
        if len(self._lines) >= _MAX_LINES:
            self.flush()

    def flush(self) -> None:
        """Write what is there."""
        lines, self._lines = self._lines, []
        if lines:
            self._out.write(b"".join(lines))
            self._out.flush()


class RequestTimes(Collector):
    """The histogram `api_request_duration_seconds` by method, route and status, and `api_requests_in_flight`.

    Belongs to one thread, the event loop's; a scrape is answered there, too.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self._cells: dict[tuple[str, str, int], list[float]] = {}
        """The sum of the seconds, and the number of requests of each bucket."""

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        key = (method, route, status)
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = [0.0] * (len(_BUCKETS_S) + 2)
        cell[0] += seconds
        cell[bisect_left(_BUCKETS_S, seconds) + 1] += 1

    def collect(self) -> Iterable[Metric]:
        """For a scrape."""
        times = HistogramMetricFamily(
            "api_request_duration_seconds",
            "Time until the answer was complete; streams and files are left out.",
            labels=("method", "route", "status"),
        )
        bounds = [*(str(float(bound)) for bound in _BUCKETS_S), "+Inf"]
        for (method, route, status), (total_s, *counts) in self._cells.items():
            buckets = list(zip(bounds, accumulate(counts), strict=True))
            times.add_metric((method, route, str(status)), buckets, total_s)
        yield times
        yield GaugeMetricFamily("api_requests_in_flight", "Requests being answered, streams included.", self.in_flight)

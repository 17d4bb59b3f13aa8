"""Prometheus metrics of served calls, by method and code."""

from __future__ import annotations

import grpc
from prometheus_client import Counter, Gauge, Histogram

_CALLS = Counter("t2m_rpc_server_calls_total", "Calls served.", ["method", "code"])
_SECONDS = Histogram(
    "t2m_rpc_server_seconds",
    "Time from the first byte of a call to its status, in seconds.",
    ["method", "code"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600),
)
_IN_FLIGHT = Gauge("t2m_rpc_server_in_flight", "Calls being served.", ["method"])
_MESSAGES = Counter("t2m_rpc_server_messages_total", "Messages of streams.", ["method", "direction"])


class MethodMetrics:
    """The metrics of one method, with the label look-ups done once."""

    def __init__(self, method: str) -> None:
        self._method = method
        self._in_flight = _IN_FLIGHT.labels(method)
        self._received = _MESSAGES.labels(method, "received")
        self._sent = _MESSAGES.labels(method, "sent")
        self._by_code: dict[grpc.StatusCode, tuple[Counter, Histogram]] = {}

    def started(self) -> None:
        """A call begins."""
        self._in_flight.inc()

    def ended(self, code: grpc.StatusCode, seconds: float, received: int, sent: int) -> None:
        """A call ended; `received` and `sent` count the messages of its streams."""
        pair = self._by_code.get(code)
        if pair is None:
            labels = (self._method, code.name)
            pair = self._by_code[code] = (_CALLS.labels(*labels), _SECONDS.labels(*labels))
        pair[0].inc()
        pair[1].observe(seconds)
        self._in_flight.dec()
        if received:
            self._received.inc(received)
        if sent:
            self._sent.inc(sent)

"""Figures of webhooks for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

_DELIVERIES = Counter("t2m_webhook_deliveries_total", "Attempts to deliver a webhook.", ["result"])
_SECONDS = Histogram(
    "t2m_webhook_delivery_seconds",
    "Time of one attempt, in seconds.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15),
)


class WebhookMetrics:
    """The `Observer` of the sender."""

    def attempted(self, result: str, seconds: float) -> None:
        """Count an attempt."""
        _DELIVERIES.labels(result).inc()
        _SECONDS.observe(seconds)

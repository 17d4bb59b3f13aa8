"""Prometheus metrics of the gateway (O2)."""

from prometheus_client import Counter, Gauge, Histogram

REQUEST_SECONDS = Histogram(
    "api_request_duration_seconds",
    "Time until the answer was complete; streams and files are left out.",
    ("method", "route", "status"),
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15),
)
REQUESTS_IN_FLIGHT = Gauge("api_requests_in_flight", "Requests being answered, streams included.")
STREAM_SUBSCRIBERS = Gauge("gateway_stream_subscribers", "Clients that follow a stream.")
STREAM_FEEDS = Gauge("gateway_stream_feeds", "Upstream streams, shared by their subscribers.")
STREAM_CUTS = Counter("gateway_stream_cuts_total", "Clients cut off because they read too slowly.")
STREAM_RECONNECTS = Counter("gateway_stream_reconnects_total", "Attempts to open a broken upstream stream again.")
FILE_BYTES = Counter("gateway_file_bytes_total", "Bytes of objects streamed to clients.")
RATE_LIMITED = Counter("gateway_rate_limited_total", "Calls refused with 429.", ("rate_class", "scope"))
RATE_LIMIT_WITHOUT_REDIS = Counter(
    "gateway_rate_limit_without_redis_total", "Calls decided while Redis was away.", ("rate_class", "mode")
)
RATE_LIMIT_STORE_UP = Gauge("gateway_rate_limit_store_up", "1 while the counters in Redis can be had, else 0.")
REVOCATION_FEED_UP = Gauge("gateway_revocation_feed_up", "1 while what auth revokes is heard of, else 0.")

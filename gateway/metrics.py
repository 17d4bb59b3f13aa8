"""Prometheus metrics of the gateway (O2)."""

from prometheus_client import REGISTRY, Counter, Gauge

from gateway.access import RequestTimes

REQUESTS = RequestTimes()
REGISTRY.register(REQUESTS)
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

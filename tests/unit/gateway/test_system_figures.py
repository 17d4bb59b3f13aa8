"""The summary of the metrics (O1)."""

from __future__ import annotations

import base64
import json

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gateway.auth import Caller, Credential
from gateway.errors import ApiError
from gateway.system.endpoints import require_admin
from gateway.system.figures import quantile, summary
from t2m.auth.v1 import user_pb2

INF = float("inf")


BUCKETS = [(0.01, 50.0), (0.1, 90.0), (INF, 100.0)]


@pytest.mark.parametrize(("share", "expected"), [(0.25, 5.0), (0.5, 10.0), (0.7, 55.0), (0.9, 100.0), (0.99, 100.0)])
def test_O1_a_quantile_lies_within_its_bucket(share: float, expected: float) -> None:
    """O1: linear within it; beyond the last bound, that bound."""
    assert quantile(BUCKETS, share) == expected


def test_O1_no_requests_have_no_quantile() -> None:
    """O1: null, not zero."""
    assert quantile([], 0.5) is None
    assert quantile([(0.1, 0.0), (INF, 0.0)], 0.5) is None


def test_O1_the_summary_adds_up_over_labels() -> None:
    """O1: requests by class of status, streams, limits."""
    registry = CollectorRegistry()
    seconds = Histogram("api_request_duration_seconds", "t", ("method", "route", "status"), registry=registry)
    for route, status in (("/a", 200), ("/b", 201), ("/b", 404)):
        seconds.labels("GET", route, status).observe(0.004)
    Gauge("gateway_stream_subscribers", "t", registry=registry).set(7)
    limited = Counter("gateway_rate_limited", "t", ("rate_class", "scope"), registry=registry)
    limited.labels("stream", "user").inc(2)
    limited.labels("auth", "address").inc()
    found = summary(registry)
    assert (found["requests"]["total"], found["requests"]["by_status"]) == (3, {"2xx": 2, "4xx": 1})
    assert 0 < found["requests"]["latency_ms"]["p99"] <= 5
    assert (found["streams"]["subscribers"], found["rate_limited_total"]) == (7, 3)
    assert found["uptime_seconds"] is None


def _caller(role: int, claims: object) -> Caller:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return Caller(f"h.{payload}.s", "root", Credential("api_key", "k", b"k"), role)


def test_A5_figures_are_for_unrestricted_admins() -> None:
    """A5: a key restricted to scopes is none, whoever made it; nor is a token that cannot be read."""
    require_admin(_caller(user_pb2.ROLE_ADMIN, {"sub": "root"}))
    refused = (
        None,
        _caller(user_pb2.ROLE_USER, {"sub": "root"}),
        _caller(user_pb2.ROLE_ADMIN, {"scope": "jobs:read"}),
        _caller(user_pb2.ROLE_ADMIN, {"scope": ""}),
        _caller(user_pb2.ROLE_ADMIN, []),
        Caller("opaque", "root", Credential("api_key", "k", b"k"), user_pb2.ROLE_ADMIN),
    )
    for caller in refused:
        with pytest.raises(ApiError) as refusal:
            require_admin(caller)
        assert refusal.value.status == 403

"""How the server is."""

from __future__ import annotations

from typing import Any

from gateway.client.core.calls import Call, get


def alive() -> Call[dict[str, Any]]:
    """That the gateway answers at all."""
    return get("/health")


def ready() -> Call[dict[str, Any]]:
    """Each service with its latency. UnavailableError, with `dependencies` in its details, when one is away."""
    return get("/health/ready")


def system_health() -> Call[dict[str, Any]]:
    """Each part of the system with its state and latency."""
    return get("/api/v1/system/health")


def queue_status() -> Call[dict[str, Any]]:
    """How long the queues are, how much runs, how long a new job would wait."""
    return get("/api/v1/system/queue-status")

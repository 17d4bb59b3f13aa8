"""How the server is."""

from __future__ import annotations

from gateway.client.core.calls import Call, get
from gateway.client.models.system import QueueStatus, Readiness, SystemHealth


def alive() -> Call[dict[str, str]]:
    """That the gateway answers at all."""
    return get("/health")


def ready() -> Call[Readiness]:
    """Each service with its latency; needs no login. UnavailableError, with `dependencies` in its details, when one is
    away.
    """
    return get("/health/ready")


def system_health() -> Call[SystemHealth]:
    """Each part of the system with its state and latency, also when one is away."""
    return get("/api/v1/system/health")


def queue_status() -> Call[QueueStatus]:
    """How long the queues are, how much runs, how long a new job would wait."""
    return get("/api/v1/system/queue-status")

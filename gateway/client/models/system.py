"""How the server is."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from gateway.client.models.jobs import JobPriority


class QueueStatusDepth(TypedDict):
    """The queue of a priority."""

    priority: JobPriority
    waiting_count: int
    position: int
    estimated_wait: NotRequired[str]


class QueueStatus(TypedDict):
    """The queue as users see it."""

    paused: bool
    processing_count: int
    slot_count: int
    depths: list[QueueStatusDepth]


class PartHealth(TypedDict):
    """A service, or something that the gateway keeps: `status` in a word."""

    status: str
    latency_ms: NotRequired[float]


class SystemHealth(TypedDict):
    """All parts: `healthy`, or `degraded` when at least one is not fine."""

    status: str
    checked_at: str
    parts: dict[str, PartHealth]


class Readiness(TypedDict):
    """Whether the gateway can serve, and what it needs for it."""

    status: str
    dependencies: dict[str, PartHealth]

"""The system endpoints, for the API document."""

from __future__ import annotations

from typing import Any

from gateway.openapi.own import OwnOperation
from gateway.system.endpoints import HEALTH, HEALTH_SOCKET, METRICS

_COUNT: dict[str, Any] = {"type": "number", "minimum": 0}
_MAYBE: dict[str, Any] = {"type": ["number", "null"], "minimum": 0}
_STATUSES = ["serving", "not_serving", "timeout", "unreachable", "followed", "not_followed", "unused"]


def _figures(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


SYSTEM_OPERATIONS = (
    OwnOperation(
        path=HEALTH,
        operation_id="getSystemHealth",
        summary="Every part of the deployment with its status, and how fast it answers",
        description="200 also when a part is away: `status` is `degraded` then. A look serves everybody for a second.",
        schema=_figures(
            status={"type": "string", "enum": ["healthy", "degraded"]},
            checked_at={"type": "string", "format": "date-time"},
            parts={
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "required": ["status"],
                    "properties": {"status": {"type": "string", "enum": _STATUSES}, "latency_ms": _COUNT},
                },
            },
        ),
        example={
            "status": "healthy",
            "checked_at": "2030-01-31T12:00:00.000Z",
            "parts": {"job": {"status": "serving", "latency_ms": 1.25}, "rate_limits": {"status": "serving"}},
        },
        statuses=(401, 429, 503),
        secured=True,
        socket=HEALTH_SOCKET,
    ),
    OwnOperation(
        path=METRICS,
        operation_id="getSystemMetrics",
        summary="Figures of this gateway process since its start; for admins",
        description="A summary; what monitoring scrapes is another page, which is not reachable from outside.",
        schema=_figures(
            uptime_seconds=_MAYBE,
            requests=_figures(
                in_flight=_COUNT,
                total=_COUNT,
                by_status={"type": "object", "additionalProperties": _COUNT},
                latency_ms=_figures(p50=_MAYBE, p95=_MAYBE, p99=_MAYBE),
            ),
            streams=_figures(subscribers=_COUNT, feeds=_COUNT, cut_off_total=_COUNT, reconnects_total=_COUNT),
            rate_limited_total=_COUNT,
            file_bytes_total=_COUNT,
            process=_figures(cpu_seconds=_COUNT, resident_bytes=_COUNT, open_files=_COUNT),
        ),
        example={
            "uptime_seconds": 86400.5,
            "requests": {
                "in_flight": 3,
                "total": 120_000,
                "by_status": {"2xx": 118_500, "4xx": 1500},
                "latency_ms": {"p50": 1.5, "p95": 5.0, "p99": 25.0},
            },
            "streams": {"subscribers": 40, "feeds": 12, "cut_off_total": 1, "reconnects_total": 0},
            "rate_limited_total": 7,
            "file_bytes_total": 5_368_709_120,
            "process": {"cpu_seconds": 350.25, "resident_bytes": 134_217_728, "open_files": 96},
        },
        statuses=(401, 403, 429, 503),
        secured=True,
    ),
)
"""What `SystemEndpoints` answers without an rpc; the WebSocket is in the description of the events it carries."""

"""What the gateway answers itself, without an rpc: pages about itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.openapi.failures import JSON
from gateway.openapi.headers import REQUEST_ID_HEADERS, UNCHANGED, references
from gateway.openapi.schemas import Schema

TAG = "System"


@dataclass(frozen=True)
class OwnOperation:
    """A `GET` of the gateway's own."""

    path: str
    operation_id: str
    summary: str
    schema: Schema
    """Of the answer."""
    example: Any = None
    description: str = ""
    media_type: str = JSON
    statuses: tuple[int, ...] = ()
    """Of its failures, which have the usual body."""
    secured: bool = False
    """Whether it needs a credential."""
    tagged: bool = False
    """Whether it has an ETag."""
    socket: str = ""
    """Path of a WebSocket that says it anew whenever it changes."""

    def build(self) -> dict[str, Any]:
        """The operation object."""
        content: dict[str, Any] = {"schema": self.schema}
        if self.example is not None:
            content["example"] = self.example
        headers = {**REQUEST_ID_HEADERS, **(references("ETag") if self.tagged else {})}
        success = {"description": "Success.", "headers": headers, "content": {self.media_type: content}}
        unchanged = {"304": UNCHANGED} if self.tagged else {}
        failures = {str(status): {"$ref": f"#/components/responses/Error{status}"} for status in self.statuses}
        return {
            "operationId": self.operation_id,
            "tags": [TAG],
            "summary": self.summary,
            "description": self.description or f"{self.summary}.",
            "parameters": [
                *([{"$ref": "#/components/parameters/IfNoneMatch"}] if self.tagged else []),
                {"$ref": "#/components/parameters/RequestId"},
            ],
            "responses": {"200": success, **unchanged, **failures},
            "security": [{"bearer": []}, {"apiKey": []}, {"cookie": []}] if self.secured else [],
        }


_PART = {
    "type": "object",
    "required": ["status", "latency_ms"],
    "properties": {
        "status": {"type": "string", "enum": ["serving", "not_serving", "timeout", "unreachable"]},
        "latency_ms": {"type": "number", "minimum": 0},
    },
}

PROBES = (
    OwnOperation(
        path="/health",
        operation_id="getHealth",
        summary="Whether the gateway runs",
        schema={"type": "object", "required": ["status"], "properties": {"status": {"const": "alive"}}},
        example={"status": "alive"},
    ),
    OwnOperation(
        path="/health/ready",
        operation_id="getReadiness",
        summary="Whether every service that the gateway needs is serving, and how fast",
        schema={
            "type": "object",
            "required": ["status", "dependencies"],
            "properties": {
                "status": {"const": "ready"},
                "dependencies": {"type": "object", "additionalProperties": _PART},
            },
        },
        example={"status": "ready", "dependencies": {"auth": {"status": "serving", "latency_ms": 1.25}}},
        statuses=(503,),
    ),
    OwnOperation(
        path="/schemas/storyboard.json",
        operation_id="getStoryboardSchema",
        summary="The JSON Schema (2020-12) of a storyboard, for editors and programs",
        schema={"type": "object", "required": ["$schema"], "properties": {"$schema": {"type": "string"}}},
        media_type="application/schema+json",
        tagged=True,
    ),
)
"""Open to everybody, and not counted by any limit."""

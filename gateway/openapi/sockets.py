"""The WebSockets, which OpenAPI has no words for: `x-websockets`, by path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.catalog import Rpc
from gateway.http_rules import compile_template
from gateway.openapi.own import OwnOperation

_CLOSE_CODES = {
    "1000": "Everything was sent.",
    "1001": "Come back, with the last `seq`: the server shuts down, or lost what it follows.",
    "1006": "Cut off: read too slowly, or owed a pong. Come back with the last `seq`.",
    "1009": "A message of more than 16 KiB.",
    "1012": "The server went away before the first message came.",
    "4400-4599": "4000 and the status of the `error` message before it.",
}


def sockets(rpcs: Iterable[Rpc], own: Iterable[OwnOperation], comments: Mapping[str, str]) -> dict[str, Any]:
    """Path → what goes over it: what the operation under `http` answers, event by event."""
    streams = {
        compile_template(rpc.extras.event_stream.websocket).openapi_path(): _socket(
            comments.get(rpc.descriptor.full_name, "").partition(". ")[0],
            rpc.bindings[0].verb,
            compile_template(rpc.bindings[0].template).openapi_path(),
            rpc.extras.event_stream.resume_field,
        )
        for rpc in rpcs
        if rpc.extras.event_stream.websocket
    }
    return streams | {page.socket: _socket(page.summary, "GET", page.path, "") for page in own if page.socket}


def _socket(summary: str, method: str, path: str, resume_field: str) -> dict[str, Any]:
    return {
        "summary": summary,
        "http": {"method": method, "path": path},
        "credentials": "A header or the session cookie, as everywhere; or the first message. Never the URL.",
        "send": {
            "first": {
                "authenticate": {"access_token": "…"},
                **({resume_field: 7} if resume_field else {}),
            }
        },
        "receive": {
            "event": {"seq": 8, "event": "progress", "data": {}},
            "heartbeat": {"event": "heartbeat"},
            "end": {"seq": 8, "event": "end", "data": {"reason": "complete"}},
            "error": {"$ref": "#/components/schemas/Error"},
        },
        "close": _CLOSE_CODES,
    }

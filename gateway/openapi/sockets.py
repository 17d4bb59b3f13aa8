"""The WebSockets, which OpenAPI has no words for: `x-websockets`, by path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.catalog import Rpc
from gateway.http_rules import compile_template

_CLOSE_CODES = {
    "1000": "Everything was sent.",
    "1001": "The server shuts down: connect again after the last `seq`.",
    "4000-4599": "4000 and the status of the `error` message before it.",
}


def sockets(rpcs: Iterable[Rpc], comments: Mapping[str, str]) -> dict[str, Any]:
    """Path → what goes over it. Its messages are those of the HTTP stream that `x-operation` names."""
    return {
        compile_template(rpc.extras.event_stream.websocket).openapi_path(): _socket(rpc, comments)
        for rpc in rpcs
        if rpc.extras.event_stream.websocket
    }


def _socket(rpc: Rpc, comments: Mapping[str, str]) -> dict[str, Any]:
    stream = rpc.extras.event_stream
    return {
        "summary": comments.get(rpc.descriptor.full_name, "").partition(". ")[0],
        "http": {"method": rpc.bindings[0].verb, "path": compile_template(rpc.bindings[0].template).openapi_path()},
        "credentials": "A header or the session cookie, as everywhere; or the first message. Never the URL.",
        "send": {
            "first": {
                "authenticate": {"access_token": "…"},
                **({stream.resume_field: 7} if stream.resume_field else {}),
            }
        },
        "receive": {
            "event": {"seq": 8, "event": "progress", "data": {}},
            "heartbeat": {"event": "heartbeat"},
            "error": {"$ref": "#/components/schemas/Error"},
        },
        "close": _CLOSE_CODES,
    }

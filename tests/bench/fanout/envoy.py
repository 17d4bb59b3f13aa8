"""Envoy as the peer of the fan-out: the transcoder streams each message as a line of JSON, a stream per client."""

from __future__ import annotations

import json
from typing import Any

from tests.bench.gateway import envoy

_MANY = 1_000_000


def command(port: int, backend: int) -> list[str]:
    """As for unary calls, but: streams have no end, as many as wanted may be open, and lines are not collected."""
    line = envoy.command(port, backend)
    place = line.index("--config-yaml") + 1
    configuration = json.loads(line[place])
    (listener,), (cluster,) = (configuration["static_resources"][key] for key in ("listeners", "clusters"))
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    for route in manager["route_config"]["virtual_hosts"][0]["routes"]:
        route["route"]["timeout"] = "0s"
    manager["stream_idle_timeout"] = "0s"
    transcoder = manager["http_filters"][0]["typed_config"]
    transcoder["print_options"]["stream_newline_delimited"] = True
    cluster["circuit_breakers"] = {"thresholds": [_thresholds()]}
    line[place] = json.dumps(configuration)
    return line


def _thresholds() -> dict[str, Any]:
    return dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), _MANY)

"""Envoy as the peer of the fan-out: the transcoder streams each message as a line of JSON, a stream per client."""

from __future__ import annotations

from tests.bench.gateway.envoy import FILES, LEAN, SERVICES
from tests.envoy import Peer

_MANY = 1_000_000
_THRESHOLDS = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), _MANY)


def command(port: int, backend: int) -> list[str]:
    """As for unary calls, but: streams have no end, as many as wanted may be open, and lines are not collected."""
    peer = Peer(
        FILES,
        SERVICES,
        backend,
        timeout="0s",
        print_options={"stream_newline_delimited": True},
        manager={"generate_request_id": False, "stream_idle_timeout": "0s"},
        router=LEAN,
        cluster={"circuit_breakers": {"thresholds": [_THRESHOLDS]}},
    )
    return peer.command(port)

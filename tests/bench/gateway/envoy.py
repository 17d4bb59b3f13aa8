"""Envoy as a gateway: `grpc_json_transcoder` with our descriptors. The peer of `unary.py`.

It translates and no more: callers, limits, log lines and metrics by route are the gateway's alone, so clients send it
the internal token that the gateway would exchange their credential for.
"""

from __future__ import annotations

from t2m.job.v1 import job_service_pb2
from tests.envoy import Peer

FILES = (job_service_pb2.DESCRIPTOR,)
SERVICES = ("t2m.job.v1.JobService",)
LEAN = {"dynamic_stats": False, "suppress_envoy_headers": True}
"""Of the router: no statistics by route, no headers about upstreams."""


def command(port: int, backend: int) -> list[str]:
    """The command line of an Envoy that listens on `port` in front of the backend."""
    return Peer(FILES, SERVICES, backend, manager={"generate_request_id": False}, router=LEAN).command(port)

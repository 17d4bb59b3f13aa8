"""How to tell that a process serves: by asking it, the way its clients will."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.local import certificates
from deploy.local.daemon import Probe

_TIMEOUT = 2.0
"""Seconds for one answer."""


def grpc_health(address: str, tls: Path | None = None) -> Probe:
    """True when the server at ``host:port`` reports SERVING by the standard health protocol.

    ``tls`` is the folder of the certificate that a server with mutual TLS is shown.
    """

    def opened() -> grpc.aio.Channel:
        if tls is None:
            return grpc.aio.insecure_channel(address)
        return grpc.aio.secure_channel(address, certificates.credentials(tls))

    async def probe() -> bool:
        async with opened() as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            try:
                answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT)
            except grpc.aio.AioRpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    return probe


def http_ok(url: str) -> Probe:
    """True when GET ``url`` answers 200."""

    async def probe() -> bool:
        try:
            # No proxy of the environment may stand between us and the loopback address.
            async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False) as client:
                return (await client.get(url)).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    return probe


def file_exists(path: Path) -> Probe:
    """True when the process has touched ``path`` (it is removed before the process starts)."""

    async def probe() -> bool:
        return await asyncio.to_thread(path.exists)

    return probe

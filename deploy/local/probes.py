"""How to tell that a process serves: by asking it, the way its clients will."""

from __future__ import annotations

import asyncio

import grpc
import httpx
from celery import Celery
from grpc_health.v1 import health_pb2, health_pb2_grpc
from kombu.exceptions import OperationalError

from deploy.local.daemon import Probe

_TIMEOUT = 2.0
"""Seconds for one answer."""


def grpc_health(address: str) -> Probe:
    """True when the server at ``host:port`` reports SERVING by the standard health protocol."""

    async def probe() -> bool:
        async with grpc.aio.insecure_channel(address) as channel:
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


def celery_worker(broker_url: str) -> Probe:
    """True when any Celery worker on the broker answers a ping."""

    def ping() -> bool:
        app = Celery(broker=broker_url, set_as_current=False)
        try:
            return bool(app.control.broadcast("ping", reply=True, limit=1, timeout=1.0))
        except (OperationalError, OSError):
            return False
        finally:
            app.close()

    async def probe() -> bool:
        return await asyncio.to_thread(ping)

    return probe


def tcp(host: str, port: int) -> Probe:
    """True when something accepts connections on ``host:port``."""

    async def probe() -> bool:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), _TIMEOUT)
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True

    return probe

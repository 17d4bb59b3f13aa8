"""Liveness and readiness (O1)."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import orjson
from grpc_health.v1 import health_pb2

from gateway.backends import Backends
from gateway.errors import unavailable
from gateway.http import Request

_CHECK = "/grpc.health.v1.Health/Check"


class Health:
    """`/health` says that the process runs, `/health/ready` whether every service it needs is serving."""

    def __init__(self, backends: Backends, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._checks: dict[str, Any] = {domain: backends.unary(_CHECK, domain) for domain in backends.domains}
        self.draining = False

    async def alive(self, request: Request, _variables: dict[str, str], /) -> None:
        """Always 200 while the process can answer at all."""
        await request.respond(200, b'{"status":"alive"}', [(b"cache-control", b"no-store")])

    async def ready(self, request: Request, _variables: dict[str, str], /) -> None:
        """200 with each dependency and its latency in ms. Raises ApiError 503 that names those which are
        away.
        """
        if self.draining:
            raise unavailable("shutting down")
        dependencies = await self.check_all()
        away = [name for name, result in dependencies.items() if result["status"] != "serving"]
        if away:
            error = unavailable(f"not serving: {', '.join(away)}")
            error.details = {"unavailable": away, "dependencies": dependencies}
            raise error
        body = orjson.dumps({"status": "ready", "dependencies": dependencies})
        await request.respond(200, body, [(b"cache-control", b"no-store")])

    async def check_all(self) -> dict[str, dict[str, object]]:
        """Status and latency in ms of every service, asked now."""
        results = await asyncio.gather(*(self._check(name) for name in self._checks))
        return dict(zip(self._checks, results, strict=True))

    async def _check(self, domain: str) -> dict[str, object]:
        started = time.perf_counter()
        try:
            raw: bytes = await self._checks[domain](
                health_pb2.HealthCheckRequest().SerializeToString(), timeout=self._deadline_s
            )
            state = health_pb2.HealthCheckResponse.FromString(raw).status
            status = "serving" if state == health_pb2.HealthCheckResponse.SERVING else "not_serving"
        except grpc.aio.AioRpcError as error:
            status = "timeout" if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED else "unreachable"
        return {"status": status, "latency_ms": round((time.perf_counter() - started) * 1000, 2)}

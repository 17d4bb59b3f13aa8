"""The gRPC server of a service: start-up checks, health, background tasks, and an ordered end on SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection
from prometheus_client import start_http_server

from services.runtime import collector
from services.runtime.audit.journal import AuditJournal
from services.runtime.authorization import load_method_rules
from services.runtime.background import BackgroundTask, Supervisor
from services.runtime.errors import ErrorTable
from services.runtime.identity import CallContext, bind_call
from services.runtime.interceptors import CallPipeline
from services.runtime.interceptors.method import ActiveCalls, Collaborators
from services.runtime.peers import PeerPolicy
from services.runtime.settings import ServiceSettings
from services.runtime.tokens import TokenVerifier

__all__ = ["BackgroundTask", "ServiceServer", "until_drained"]

T = TypeVar("T")
_log = structlog.get_logger(__name__)

_LAST_WRITES_S = 0.25
_COLLECT_AFTER = 10_000
"""Objects more than before, in place of Python's 700."""

_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.so_reuseport", 0),  # two servers on one port would share calls silently
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)
_TLS_OPTIONS: tuple[tuple[str, Any], ...] = (
    # A certificate is looked at when a connection is made. An old connection must not outlive it by much.
    ("grpc.max_connection_age_ms", 3_600_000),
    ("grpc.max_connection_age_grace_ms", 600_000),
)


class ServiceServer:
    """One service's server.

    `add_services` registers the servicers and returns the full names of their services. `background` runs
    beside them. `on_close` runs last, after the last call has ended.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        table: ErrorTable,
        verifier: TokenVerifier,
        add_services: Callable[[grpc.aio.Server], Sequence[str]],
        background: Sequence[BackgroundTask] = (),
        on_close: Callable[[], Awaitable[None]] | None = None,
        audit: AuditJournal | None = None,
    ) -> None:
        """`audit`: where calls of people leave their entries; a server without one serves only other services and
        what reads.
        """
        self._settings = settings
        self._table = table
        self._verifier = verifier
        self._add_services = add_services
        self._supervisor = Supervisor(background)
        self._on_close = on_close
        self._audit = audit
        self._stop = asyncio.Event()
        self._drain = asyncio.Event()
        self._active = ActiveCalls()
        self._health = health_aio.HealthServicer()
        self._server: grpc.aio.Server | None = None
        self._metrics: Any = None
        self.port = 0
        """The port that is listened on, once started."""
        self.metrics_port = 0

    async def run(self) -> None:
        """Serve until SIGTERM, SIGINT or `request_stop`, then end in order.

        Raises ContractError when the served protos are not fit, OSError when the port is taken.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        try:
            await self.start()
            collector.settle()
            # What calls leave behind is looked at when there is some of it.
            gc.set_threshold(_COLLECT_AFTER, 20, 20)
            await self._stop.wait()
        finally:
            await self.stop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def request_stop(self) -> None:
        """Make `run` end as a SIGTERM does."""
        self._stop.set()

    async def start(self) -> None:
        """Check the contract, listen, start the background and report SERVING."""
        settings = self._settings
        peers = PeerPolicy(settings.tls_trust_domain, settings.tls_clients) if settings.tls else None
        pipeline = CallPipeline(
            Collaborators(self._table, self._verifier, self._drain, self._active, peers, self._audit)
        )
        server = grpc.aio.server(interceptors=[pipeline], options=[*_OPTIONS, *(_TLS_OPTIONS if settings.tls else ())])
        names = list(self._add_services(server))
        pipeline.compile(load_method_rules(names))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        if self._settings.environment in ("dev", "test"):
            health = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
            reflection.enable_server_reflection([*names, health, reflection.SERVICE_NAME], server)
        self.port = self._listen(server)
        self._server = server
        bind_call(CallContext("background", "", drain=self._drain))
        self._supervisor.start()
        await server.start()
        if self._settings.metrics_port is not None:
            self._metrics, _ = start_http_server(self._settings.metrics_port, self._settings.metrics_bind)
            self.metrics_port = self._metrics.server_port
        for name in ("", *names):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        _log.info("serving", services=names, port=self.port, tls=self._settings.tls)

    def _listen(self, server: grpc.aio.Server) -> int:
        settings = self._settings
        try:
            if settings.tls_files is not None:
                return server.add_secure_port(settings.bind, settings.tls_files.server_credentials())
            return server.add_insecure_port(settings.bind)
        except RuntimeError as exc:
            raise OSError(f"cannot listen on {settings.bind}: {exc}") from exc

    async def stop(self) -> None:
        """Leave the load balancer, end the streams at their cursor, then the calls, then everything else.
        Idempotent.
        """
        server, self._server = self._server, None
        if server is None:
            return
        await self._health.enter_graceful_shutdown()
        self._drain.set()
        await self._supervisor.stop(outliving=False)
        await self._end_calls(server)
        if self._audit is not None:
            await self._audit.close()
        await self._supervisor.stop(outliving=True)
        if self._metrics is not None:
            self._metrics.shutdown()
            self._metrics.server_close()
        if self._on_close is not None:
            await self._on_close()
        _log.info("stopped")

    async def _end_calls(self, server: grpc.aio.Server) -> None:
        """Accept no more calls, and wait for ours: health watchers never end by themselves.

        The first `stop` must not time out while the second runs: grpc crashes when both cancel the calls.
        """
        grace = self._settings.shutdown_grace_s
        refusing = asyncio.ensure_future(server.stop(grace + 60))
        try:
            await asyncio.wait_for(self._active.idle(), grace)
        except TimeoutError:
            _log.warning("calls cut off at the end of the grace period", grace_s=grace)
        # The last answers are still being written. What is open after that is a health watcher.
        await asyncio.wait({refusing}, timeout=_LAST_WRITES_S)
        await server.stop(None)
        await refusing


async def until_drained(source: AsyncIterator[T], drain: asyncio.Event) -> AsyncIterator[T]:
    """The items of `source` until it ends or the server drains; an item that has arrived is never dropped.

    For streams without a wake-up of their own; `EventReader.follow` watches the drain event itself, at a
    lower cost.
    """
    drained = asyncio.ensure_future(drain.wait())
    upcoming: asyncio.Future[T] | None = None
    try:
        while not drain.is_set():
            upcoming = asyncio.ensure_future(anext(source))
            await asyncio.wait({upcoming, drained}, return_when=asyncio.FIRST_COMPLETED)
            if not upcoming.done():
                return
            try:
                item = upcoming.result()
            except StopAsyncIteration:
                return
            yield item
    finally:
        drained.cancel()
        if upcoming is not None and not upcoming.done():
            upcoming.cancel()
            await asyncio.gather(upcoming, return_exceptions=True)
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()

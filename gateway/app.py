"""Composition: settings → channels, codecs, routes → one ASGI app."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from types import ModuleType

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.routing import Router as StarletteRouter
from starlette.types import Receive, Scope, Send

from gateway.access import Write, through_structlog
from gateway.admission import Admission
from gateway.auth import EXCHANGE, Authenticator
from gateway.backends import Backends
from gateway.catalog import HttpBinding, Rpc, answers_body, load_catalog, stub_modules
from gateway.client_address import ClientAddresses
from gateway.codec import DecoderSet, EncoderSet
from gateway.cookies import SessionCookies
from gateway.cors import cors
from gateway.downloads import DownloadEndpoint
from gateway.edge import Edge
from gateway.errors import ApiError, internal, malformed, method_not_allowed, route_not_found
from gateway.files import FileEndpoint
from gateway.health import Health
from gateway.http import Pace, Request
from gateway.http_rules import MethodMismatch, PathEncodingError, Router, Template, compile_template
from gateway.hub import Hub, HubLimits
from gateway.openapi import OpenApiPages, viewers
from gateway.ratelimit import Limiter, RedisLimitStore, memory_store
from gateway.revocations import RevocationFeed, Revocations
from gateway.sessions import SessionEndpoint, refresh_path
from gateway.settings import Settings
from gateway.sockets import SocketEndpoint, socket_template
from gateway.streaming import StreamEndpoint
from gateway.system import SYSTEM_OPERATIONS, Monitor, SystemEndpoints
from gateway.transcoder import BodyEndpoint, Endpoint, Toolbox, UnaryEndpoint, is_file
from gateway.uploads import UploadEndpoint

log = structlog.get_logger("gateway.app")


class Rest:
    """The routed part of the app: every rpc of the catalog and the gateway's own pages."""

    def __init__(self, settings: Settings, modules: Iterable[ModuleType]) -> None:
        self._settings = settings
        self._pace = Pace(settings.body_deadline_s, settings.upload_min_bytes_per_s)
        self._rpcs = load_catalog(modules)
        self._cookies = _cookies(settings, self._rpcs)
        self._router: Router[tuple[str, Endpoint]] = Router()
        self.backends: Backends
        self.hub: Hub
        self.health: Health
        self.revocations: Revocations
        self.limiter: Limiter | None = None
        self._following: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Open channels and compile every route; needs a running event loop. Raises CatalogError,
        TemplateError.
        """
        settings = self._settings
        self.backends = Backends(settings.addresses(), settings.tls())
        self.revocations = Revocations()
        self.hub = Hub(
            HubLimits(
                ring_frames=settings.stream_ring_frames,
                heartbeat_s=settings.stream_heartbeat_s,
                send_timeout_s=settings.stream_send_timeout_s,
                reconnect_s=settings.stream_reconnect_s,
                max_age_s=settings.stream_max_age_s,
                per_user=settings.streams_per_user,
            ),
            self.revocations.covers,
        )
        self._follow_revocations()
        self.health = Health(self.backends, settings.ready_deadline_s)
        self.limiter = _limiter(settings)
        authenticator = Authenticator(
            self.backends.unary(EXCHANGE),
            cache_s=settings.credential_cache_s,
            refusal_cache_s=settings.refusal_cache_s,
            deadline_s=settings.call_deadline_s,
            revocations=self.revocations,
            cookies=self._cookies,
            limiter=self.limiter,
        )
        clients = ClientAddresses(settings.trusted_proxies, settings.forwarded_header.encode())
        tools = Toolbox(
            authenticator,
            Admission(authenticator, clients, self.limiter),
            self.backends,
            EncoderSet(),
            DecoderSet(),
            settings.max_body_bytes,
            settings.call_deadline_s,
            settings.upload_deadline_s,
        )
        for rpc in self._rpcs:
            for binding in rpc.bindings:
                template = compile_template(binding.template)
                self._add(binding.verb, template, self._endpoint(rpc, binding, template, tools))
            self._add_socket(rpc, tools)
        self._add_pages(tools.admission)

    def _add_socket(self, rpc: Rpc, tools: Toolbox) -> None:
        template = socket_template(rpc, rpc.bindings[0])
        if template is not None:
            patience_s = self._settings.ws_first_message_s
            self._add("GET", template, SocketEndpoint(rpc, rpc.bindings[0], template, tools, self.hub, patience_s))

    def _follow_revocations(self) -> None:
        settings = self._settings
        if settings.service_secret is None:
            log.warning("revocations.not_followed", reason="no T2M_SERVICE_SECRET")
            return
        feed = RevocationFeed(
            self.backends, self.revocations, settings.service_id, settings.service_secret, self.hub.dismiss
        )
        self._following = asyncio.create_task(feed.run(), name="gateway-revocations")
        self._following.add_done_callback(_crashed)

    def _endpoint(self, rpc: Rpc, binding: HttpBinding, template: Template, tools: Toolbox) -> Endpoint:
        if rpc.descriptor.server_streaming:
            if answers_body(rpc, binding):
                return DownloadEndpoint(rpc, binding, template, tools)
            return StreamEndpoint(rpc, binding, template, tools, self.hub)
        if rpc.descriptor.client_streaming:
            return UploadEndpoint(rpc, binding, template, tools)
        if is_file(rpc, binding):
            return FileEndpoint(rpc, binding, template, tools)
        if answers_body(rpc, binding):
            return BodyEndpoint(rpc, binding, template, tools)
        if rpc.extras.session_cookies and self._cookies is not None:
            return SessionEndpoint(rpc, binding, template, tools, self._cookies)
        return UnaryEndpoint(rpc, binding, template, tools)

    def _system(self, admission: Admission) -> SystemEndpoints:
        settings, limiter, revocations = self._settings, self.limiter, self.revocations
        followed = settings.service_secret is not None
        monitor = Monitor(
            self.health,
            {
                "rate_limits": lambda: "unused" if limiter is None else limiter.store_state,
                "revocations": lambda: (
                    ("followed" if revocations.followed else "not_followed") if followed else "unused"
                ),
            },
        )
        return SystemEndpoints(
            admission,
            monitor,
            self.hub,
            every_s=settings.system_health_every_s,
            first_message_s=settings.ws_first_message_s,
        )

    def _add_pages(self, admission: Admission) -> None:
        pages = OpenApiPages(self._rpcs, SYSTEM_OPERATIONS)
        endpoints: dict[str, Endpoint] = {
            "/health": self.health.alive,
            "/health/ready": self.health.ready,
            "/metrics": _metrics,
            "/openapi.json": pages.document,
            "/docs": pages.page,
            **pages.schemas,
            **viewers(),
            **self._system(admission).routes,
        }
        for path, endpoint in endpoints.items():
            self._add("GET", compile_template(path), endpoint)

    def _add(self, verb: str, template: Template, endpoint: Endpoint) -> None:
        self._router.add(verb, template, (template.source, endpoint))

    def drain(self) -> None:
        """Not ready from now on; streams end with their cursor."""
        self.health.draining = True
        self.hub.drain()

    async def stop(self) -> None:
        """Close what `start` opened."""
        if self._following is not None:
            self._following.cancel()
        await self.hub.close()
        if self.limiter is not None:
            await self.limiter.close()
        await self.backends.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: one look-up, one endpoint; every ApiError becomes an answer here."""
        request = Request(scope, receive, send, self._pace)
        try:
            match = self._router.match(request.method, request.raw_path)
            if match is None:
                raise route_not_found()
            if isinstance(match, MethodMismatch):
                if request.method == "OPTIONS":
                    await request.respond(204, headers=[(b"allow", ", ".join(match.allowed).encode())])
                    return
                raise method_not_allowed(match.allowed)
            request.state["route"], endpoint = match.target
            await endpoint(request, match.variables)
        except PathEncodingError:
            await request.fail(malformed("the path is not UTF-8"))
        except ApiError as error:
            await request.fail(error)


async def _crash(scope: Scope, receive: Receive, send: Send) -> None:
    await Request(scope, receive, send).fail(internal())


def _crashed(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("revocations.crashed", exc_info=error)


def _cookies(settings: Settings, rpcs: Iterable[Rpc]) -> SessionCookies | None:
    if settings.session_cookies == "off":
        return None
    return SessionCookies(
        secure=settings.session_cookies == "secure",
        refresh_path=refresh_path(rpcs),
        origins=(*settings.cors_origins, settings.public_url),
    )


def _limiter(settings: Settings) -> Limiter | None:
    if settings.rate_limits is None:
        return None
    if settings.redis_url is None:
        return Limiter(settings.rate_limits, memory_store())
    store = RedisLimitStore(settings.redis_url.get_secret_value(), settings.rate_limit_timeout_s)
    return Limiter(settings.rate_limits, store)


async def _metrics(request: Request, _variables: dict[str, str], /) -> None:
    # For whoever scrapes this process itself. What a proxy passes on comes from outside, where there is no such page.
    if any(request.header(name) is not None for name in (b"x-forwarded-for", b"forwarded")):
        raise route_not_found()
    await request.respond(200, generate_latest(), content_type=CONTENT_TYPE_LATEST.encode())


class Gateway:
    """The ASGI app, and the handle to drain it."""

    def __init__(
        self,
        settings: Settings,
        modules: Iterable[ModuleType] | None = None,
        write: Write = through_structlog,
    ) -> None:
        """`write` takes the lines of the access log."""
        self.rest = Rest(settings, stub_modules() if modules is None else modules)
        self._life = StarletteRouter(lifespan=self._lifespan)
        wrapped = cors(settings.cors_origins, credentials=settings.session_cookies != "off")
        hsts = settings.environment in ("staging", "prod")
        self._app = Edge(wrapped(self.rest), crash=wrapped(_crash), hsts=hsts, write=write)

    @asynccontextmanager
    async def _lifespan(self, _app: object) -> AsyncIterator[None]:
        self.rest.start()
        try:
            yield
        finally:
            await self.rest.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await self._life(scope, receive, send)
        else:
            await self._app(scope, receive, send)

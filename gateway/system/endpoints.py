"""`/api/v1/system/health`, `/api/v1/system/metrics` and `/ws/system/health`; `queue-status` is an rpc of job."""

from __future__ import annotations

import base64
import binascii

import orjson

from gateway.admission import Admission
from gateway.auth import Caller
from gateway.errors import ApiError
from gateway.feed import Feed, Subscription
from gateway.http import Header, Request
from gateway.hub import Hub
from gateway.sockets import Socket, SocketGate, require_upgrade, serve_socket
from gateway.system.figures import summary
from gateway.system.monitor import Monitor
from gateway.transcoder import Endpoint
from gateway.watching import serve
from t2m.auth.v1 import user_pb2

HEALTH = "/api/v1/system/health"
METRICS = "/api/v1/system/metrics"
HEALTH_SOCKET = "/ws/system/health"
_FRESH: list[Header] = [(b"cache-control", b"no-store")]
_FEED = b"system/health"


class SystemEndpoints:
    """What the gateway answers itself, to callers who are somebody."""

    def __init__(
        self, admission: Admission, monitor: Monitor, hub: Hub, *, every_s: float, first_message_s: float
    ) -> None:
        self._gate = admission.to_own()
        self._socket_gate = SocketGate(admission.to_own("stream"), first_message_s)
        self._monitor = monitor
        self._hub = hub
        self._every_s = every_s

    @property
    def routes(self) -> dict[str, Endpoint]:
        """Path → endpoint of GET."""
        return {HEALTH: self.health, METRICS: self.metrics, HEALTH_SOCKET: self.watch_health}

    async def health(self, request: Request, _variables: dict[str, str], /) -> None:
        """200, also when a part is away: that is what was asked. Any authenticated caller."""
        await self._gate(request)
        await request.respond(200, orjson.dumps(await self._monitor.look()), _FRESH)

    async def metrics(self, request: Request, _variables: dict[str, str], /) -> None:
        """The figures of this gateway process. Raises ApiError 403 unless the caller is an admin, unrestricted."""
        require_admin(await self._gate(request))
        await request.respond(200, orjson.dumps(summary()), _FRESH)

    async def watch_health(self, request: Request, _variables: dict[str, str], /) -> None:
        """The state at once, and whenever the status of a part changes; heartbeats in between."""
        require_upgrade(request)
        socket = Socket(request)
        await serve_socket(socket, self._watch(request, socket))

    async def _watch(self, request: Request, socket: Socket) -> None:
        caller, _ = await self._socket_gate.enter(request, socket, "")

        async def work(subscription: Subscription) -> bool:
            await socket.begin()
            feed = self._hub.find(_FEED)
            if feed is None:
                feed = Feed(_FEED, 0, self._hub.limits.ring_frames)
                self._hub.start(feed, self._monitor.supply(feed, self._every_s))
            # The newest state, and none of those before.
            feed.attach(subscription, max((feed.last or 0) - 1, 0))
            return True

        await serve(caller, self._hub, socket, work)


def require_admin(caller: Caller | None) -> None:
    """Raise ApiError 403 unless the caller is an admin, with a credential that is not restricted to scopes."""
    if caller is None or caller.role != user_pb2.ROLE_ADMIN or is_restricted(caller):
        raise ApiError(403, "PERMISSION_DENIED", "this is for admins", "PERMISSION_DENIED")


def is_restricted(caller: Caller) -> bool:
    """Whether the credential is a key restricted to scopes, by the internal token's own claim; when in doubt it is.

    The token is not verified: auth handed it over a moment ago.
    """
    try:
        payload = caller.internal_token.split(".")[1]
        claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, binascii.Error, orjson.JSONDecodeError):
        return True
    return not isinstance(claims, dict) or "scope" in claims

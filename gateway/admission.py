"""What every call passes before its body is read: who calls, and whether they may call that often."""

from __future__ import annotations

from gateway.auth import Authenticator, Caller
from gateway.catalog import Rpc
from gateway.client_address import ClientAddresses, rate_key
from gateway.http import Request
from gateway.ratelimit import CLASS_NAMES, Limiter
from gateway.ratelimit.config import ClassName
from t2m.auth.v1 import user_pb2


class Admission:
    """Makes the gate of each rpc. Without a limiter nothing is counted."""

    def __init__(self, authenticator: Authenticator, clients: ClientAddresses, limiter: Limiter | None) -> None:
        self.authenticator = authenticator
        self.clients = clients
        self.limiter = limiter

    def of(self, rpc: Rpc) -> Gate:
        """The gate of an rpc."""
        return Gate(self, CLASS_NAMES[rpc.rate_class], public=rpc.public)

    def to_own(self, rate_class: ClassName = "standard") -> Gate:
        """The gate of an endpoint of the gateway itself, for everybody who is somebody."""
        return Gate(self, rate_class, public=False)


class Gate:
    """The way in to one rpc."""

    def __init__(self, admission: Admission, rate_class: ClassName, *, public: bool) -> None:
        self._authenticator = None if public else admission.authenticator
        self._authenticate = None if public else admission.authenticator.authenticate
        self._clients = admission.clients
        self._limiter = admission.limiter
        self._class = rate_class

    async def __call__(self, request: Request) -> Caller | None:
        """The caller; None at a public rpc. Raises ApiError 401, 403, 429 or 503."""
        request.state["client_address"] = self._clients.of(request.scope)
        caller = None if self._authenticate is None else await self._authenticate(request)
        if self._limiter is not None:
            await self._charge(self._limiter, request, caller)
        return caller

    def awaits_credential(self, request: Request) -> bool:
        """Whether somebody has to say who they are, and the request's head does not."""
        return self._authenticator is not None and not self._authenticator.has_credential(request)

    async def greet(self, request: Request) -> None:
        """Let somebody in to say who they are: counts for the address. Raises ApiError 429."""
        request.state["client_address"] = self._clients.of(request.scope)
        if self._limiter is not None:
            await self._charge(self._limiter, request, None)

    async def admit(self, request: Request, kind: str, secret: str) -> Caller | None:
        """As a call, with a credential that was not in the head; after `greet`."""
        if self._authenticator is None:
            return None
        caller = await self._authenticator.authenticate_by(request, kind, secret)
        if self._limiter is not None:
            await self._charge(self._limiter, request, caller)
        return caller

    async def _charge(self, limiter: Limiter, request: Request, caller: Caller | None) -> None:
        request.state["rate_limit"] = await limiter.admit(
            self._class,
            rate_key(request.state["client_address"]),
            None if caller is None else caller.user_id,
            "" if caller is None else caller.plan,
            admin=caller is not None and caller.role == user_pb2.ROLE_ADMIN,
        )

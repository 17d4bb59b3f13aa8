"""What every call passes before its body is read: who calls, and whether they may call that often."""

from __future__ import annotations

from gateway.auth import Authenticator, Caller
from gateway.catalog import Rpc
from gateway.client_address import ClientAddresses, rate_key
from gateway.http import Request
from gateway.ratelimit import CLASS_NAMES, Limiter
from t2m.auth.v1 import user_pb2


class Admission:
    """Makes the gate of each rpc. Without a limiter nothing is counted."""

    def __init__(self, authenticator: Authenticator, clients: ClientAddresses, limiter: Limiter | None) -> None:
        self.authenticator = authenticator
        self.clients = clients
        self.limiter = limiter

    def of(self, rpc: Rpc) -> Gate:
        """The gate of an rpc."""
        return Gate(self, rpc)


class Gate:
    """The way in to one rpc."""

    def __init__(self, admission: Admission, rpc: Rpc) -> None:
        self._authenticate = None if rpc.public else admission.authenticator.authenticate
        self._clients = admission.clients
        self._limiter = admission.limiter
        self._class = CLASS_NAMES[rpc.rate_class]

    async def __call__(self, request: Request) -> Caller | None:
        """The caller; None at a public rpc. Raises ApiError 401, 403, 429 or 503."""
        address = request.state["client_address"] = self._clients.of(request.scope)
        caller = None if self._authenticate is None else await self._authenticate(request)
        if self._limiter is not None:
            request.state["rate_limit"] = await self._limiter.admit(
                self._class,
                rate_key(address),
                None if caller is None else caller.user_id,
                "" if caller is None else caller.plan,
                admin=caller is not None and caller.role == user_pb2.ROLE_ADMIN,
            )
        return caller

"""Channels to the other services: keepalive, retries, deadlines, and who is calling."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import MethodOptions

from services.runtime.credentials import ServiceCredentials
from services.runtime.identity import current_call
from services.runtime.ids import new_id
from services.runtime.interceptors.admission import AUTHORIZATION_KEY, REQUEST_ID_KEY
from services.runtime.settings import ServiceSettings
from services.runtime.tls import RenewedChannel

__all__ = ["ServiceCredentials", "auth_channel", "channel"]

DEFAULT_DEADLINE_S = 10.0
"""Deadline of a unary call that names none. Streams have none."""


def channel(
    address: str,
    settings: ServiceSettings,
    credentials: ServiceCredentials | None,
    *,
    services: Iterable[str] = (),
    pass_caller: bool = False,
    deadline_s: float = DEFAULT_DEADLINE_S,
) -> grpc.aio.Channel:
    """A channel to another service; connects by itself, again after every loss.

    Calls carry the current request id and the service's token. With `pass_caller` a call made while serving
    one carries the caller's token instead. An `authorization` entry in a call's own metadata wins over both.
    Methods of `services` (full names) that their proto marks NO_SIDE_EFFECTS or IDEMPOTENT are tried up to 4
    times while UNAVAILABLE.
    """
    identity = _Identity(credentials, pass_caller, deadline_s)
    interceptors: list[grpc.aio.ClientInterceptor] = [
        _UnaryUnary(identity),
        _UnaryStream(identity),
        _StreamUnary(identity),
        _StreamStream(identity),
    ]
    return _open(address, settings, services, interceptors)


def auth_channel(settings: ServiceSettings) -> grpc.aio.Channel:
    """A channel without credentials, for auth's public methods: keys and service tokens."""
    return _open(settings.auth_address, settings, ["t2m.auth.v1.TokenService"], [])


def _open(
    address: str,
    settings: ServiceSettings,
    services: Iterable[str],
    interceptors: list[grpc.aio.ClientInterceptor],
) -> grpc.aio.Channel:
    options: list[tuple[str, Any]] = [
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.min_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 3_000),
        ("grpc.service_config", json.dumps(retry_config(services))),
    ]
    if settings.tls_files is not None:
        return RenewedChannel(
            settings.tls_files,
            lambda tls: grpc.aio.secure_channel(address, tls, options=options, interceptors=interceptors),
        )
    return grpc.aio.insecure_channel(address, options=options, interceptors=interceptors)


def retry_config(services: Iterable[str]) -> dict[str, Any]:
    """The gRPC service config that retries the idempotent methods of the services.

    Raises KeyError when a service is not in the descriptor pool.
    """
    pool = descriptor_pool.Default()
    names = [
        {"service": service, "method": method.name}
        for service in services
        for method in pool.FindServiceByName(service).methods
        if method.GetOptions().idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN
    ]
    policy = {
        "maxAttempts": 4,
        "initialBackoff": "0.1s",
        "maxBackoff": "1s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    return {"methodConfig": [{"name": names, "retryPolicy": policy}]} if names else {}


class _Identity:
    """Completes the details of an outgoing call."""

    def __init__(self, credentials: ServiceCredentials | None, pass_caller: bool, deadline_s: float) -> None:
        self._credentials = credentials
        self._pass_caller = pass_caller
        self._deadline_s = deadline_s

    async def complete(self, details: grpc.aio.ClientCallDetails, *, unary: bool) -> grpc.aio.ClientCallDetails:
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        present = {key for key, _ in details.metadata or ()}
        call = current_call()
        if REQUEST_ID_KEY not in present:
            metadata[REQUEST_ID_KEY] = (call.request_id if call is not None else "") or new_id()
        if AUTHORIZATION_KEY not in present:
            token = await self._token()
            if token:
                metadata[AUTHORIZATION_KEY] = f"Bearer {token}"
        timeout = details.timeout if details.timeout is not None or not unary else self._deadline_s
        return grpc.aio.ClientCallDetails(
            details.method, timeout, metadata, details.credentials, details.wait_for_ready
        )

    async def _token(self) -> str | None:
        call = current_call()
        if self._pass_caller and call is not None and call.principal is not None:
            return call.principal.token
        return await self._credentials.token() if self._credentials is not None else None


class _UnaryUnary(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, identity: _Identity) -> None:
        self._identity = identity

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(await self._identity.complete(client_call_details, unary=True), request)


class _UnaryStream(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, identity: _Identity) -> None:
        self._identity = identity

    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(await self._identity.complete(client_call_details, unary=False), request)


class _StreamUnary(grpc.aio.StreamUnaryClientInterceptor):
    def __init__(self, identity: _Identity) -> None:
        self._identity = identity

    async def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        details = await self._identity.complete(client_call_details, unary=False)
        return await continuation(details, request_iterator)


class _StreamStream(grpc.aio.StreamStreamClientInterceptor):
    def __init__(self, identity: _Identity) -> None:
        self._identity = identity

    async def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        details = await self._identity.complete(client_call_details, unary=False)
        return await continuation(details, request_iterator)

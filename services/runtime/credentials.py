"""The token with which a service calls another in its own name."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import grpc
from pydantic import SecretStr

from services.runtime.clock import Clock, SystemClock
from t2m.auth.v1 import token_service_pb2, token_service_pb2_grpc

REFRESH_BEFORE = timedelta(seconds=60)
"""A token is replaced this long before it ends, so that none expires on its way."""


class ServiceCredentials:
    """Gets the service token from auth, keeps it, and replaces it in time; concurrent callers share one
    request.

    While auth is away the old token is used until it really ends.
    """

    def __init__(
        self,
        auth_channel: grpc.aio.Channel,
        service_id: str,
        service_secret: SecretStr,
        clock: Clock | None = None,
    ) -> None:
        self._stub = token_service_pb2_grpc.TokenServiceStub(auth_channel)
        self._request = token_service_pb2.IssueServiceTokenRequest(
            service_id=service_id, service_secret=service_secret.get_secret_value()
        )
        self._clock = clock or SystemClock()
        self._token = ""
        self._expires_at = datetime.min.replace(tzinfo=UTC)
        self._replace_at = self._expires_at
        self._lock = asyncio.Lock()

    async def token(self) -> str:
        """A valid token.

        Raises grpc.aio.AioRpcError when there is none and auth refuses or does not answer.
        """
        if self._clock.now() < self._replace_at:
            return self._token
        async with self._lock:
            if self._clock.now() >= self._replace_at:
                await self._issue()
            return self._token

    def discard(self, token: str) -> None:
        """Use this token no more: it was refused (its key was withdrawn)."""
        if token == self._token:
            self._expires_at = self._replace_at = datetime.min.replace(tzinfo=UTC)

    async def _issue(self) -> None:
        try:
            answer = await self._stub.IssueServiceToken(self._request, timeout=5.0)
        except grpc.aio.AioRpcError:
            if self._clock.now() < self._expires_at:
                return
            raise
        now = self._clock.now()
        self._token = answer.token
        self._expires_at = answer.expires_at.ToDatetime(tzinfo=UTC)
        # A short-lived token is replaced halfway, or it would be replaced at every call.
        self._replace_at = self._expires_at - min(REFRESH_BEFORE, (self._expires_at - now) / 2)

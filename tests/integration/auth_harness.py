"""A running auth for tests: the real server over a socket, on the real Postgres, with a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from pydantic import SecretStr

from services.auth.bootstrap import build_server
from services.auth.settings import AuthSettings
from services.runtime.errors import RpcFailure, rpc_error_details
from t2m.auth.v1 import (
    api_key_service_pb2,
    api_key_service_pb2_grpc,
    session_service_pb2,
    session_service_pb2_grpc,
    token_service_pb2,
    token_service_pb2_grpc,
    user_service_pb2,
    user_service_pb2_grpc,
)
from tests.fakes.auth import FakeClock

EMAIL, PASSWORD = "ada@example.com", "correct horse battery"
JOB_SECRET = "the secret of the job service"


@dataclass
class Auth:
    """A running auth and stubs of its services."""

    settings: AuthSettings
    clock: FakeClock
    channel: grpc.aio.Channel

    def __post_init__(self) -> None:
        self.users = user_service_pb2_grpc.UserServiceStub(self.channel)
        self.sessions = session_service_pb2_grpc.SessionServiceStub(self.channel)
        self.api_keys = api_key_service_pb2_grpc.ApiKeyServiceStub(self.channel)
        self.tokens = token_service_pb2_grpc.TokenServiceStub(self.channel)

    async def register(self, email: str = EMAIL) -> None:
        """A new account; nobody's address is verified here (`test_auth_people.py` does it)."""
        request = user_service_pb2.RegisterUserRequest(email=email, password=PASSWORD, display_name="Ada")
        await self.users.RegisterUser(request)

    async def id_of(self, email: str = EMAIL) -> str:
        """Who logs in with this address."""
        return (await self.exchange(access_token=(await self.login(email)).access_token)).user_id

    async def login(self, email: str = EMAIL, password: str = PASSWORD) -> session_service_pb2.SessionTokens:
        """A new session."""
        request = session_service_pb2.LoginRequest(email=email, password=password)
        answer: session_service_pb2.LoginResponse = await self.sessions.Login(request)
        return answer.tokens

    async def refresh(self, token: str) -> session_service_pb2.SessionTokens:
        """The next pair."""
        request = session_service_pb2.RefreshRequest(refresh_token=token)
        answer: session_service_pb2.RefreshResponse = await self.sessions.Refresh(request)
        return answer.tokens

    async def exchange(self, **credential: str) -> token_service_pb2.ExchangeCredentialResponse:
        """An internal token."""
        request = token_service_pb2.ExchangeCredentialRequest(**credential)
        answer: token_service_pb2.ExchangeCredentialResponse = await self.tokens.ExchangeCredential(request)
        return answer

    async def as_user(self, email: str = EMAIL) -> Any:
        """Metadata of a call in the user's name."""
        tokens = await self.login(email)
        internal = await self.exchange(access_token=tokens.access_token)
        return bearer(internal.internal_token)

    async def create_key(self, metadata: Any, **fields: Any) -> api_key_service_pb2.CreateApiKeyResponse:
        """A new key of the caller."""
        request = api_key_service_pb2.CreateApiKeyRequest(**{"name": "nightly", **fields})
        answer: api_key_service_pb2.CreateApiKeyResponse = await self.api_keys.CreateApiKey(request, metadata=metadata)
        return answer


@asynccontextmanager
async def serving(settings: AuthSettings) -> AsyncIterator[Auth]:
    """A running auth with a clock that stands still."""
    clock = FakeClock()
    server = build_server(settings, clock)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield Auth(settings, clock, channel)
    finally:
        await server.stop()


def bearer(token: str) -> Any:
    """Metadata that carries the token."""
    return (("authorization", f"Bearer {token}"),)


async def failure(call: Awaitable[Any]) -> RpcFailure:
    """How the call fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return rpc_error_details(caught.value)


async def refusal(call: Awaitable[Any]) -> tuple[str, str]:
    """Code and reason with which the call fails."""
    failed = await failure(call)
    return failed.code.name, failed.reason


def settings_of(url: str, folder: Path) -> AuthSettings:
    """Settings of an auth on this database."""
    return AuthSettings(
        environment="test",
        database_url=url,
        keys_dir=folder / "keys",
        api_key_pepper=SecretStr("a pepper of the test"),
        service_secrets={"job": SecretStr(JOB_SECRET)},
        email_verification="off",
    )

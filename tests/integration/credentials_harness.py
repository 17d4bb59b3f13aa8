"""Auth and a service that trusts it, both real, and a client that calls the service directly with a token (A2)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import grpc
from pydantic import SecretStr

from services.auth.bootstrap import build_operator, build_server
from services.auth.settings import AuthSettings
from services.runtime.errors import RpcFailure, rpc_error_details
from services.runtime.server import ServiceServer
from services.storage.bootstrap import build_server as build_storage
from t2m.auth.v1 import (
    api_key_service_pb2,
    api_key_service_pb2_grpc,
    session_service_pb2,
    session_service_pb2_grpc,
    token_service_pb2,
    token_service_pb2_grpc,
    user_pb2,
    user_service_pb2,
    user_service_pb2_grpc,
)
from t2m.storage.v1 import file_service_pb2, file_service_pb2_grpc
from tests import stack
from tests.integration.storage_harness import make_settings

PASSWORD = "correct horse battery staple"
SECRETS = {"storage": SecretStr("the secret of storage"), "job": SecretStr("the secret of the job service")}
REVOKED = ("UNAUTHENTICATED", "CREDENTIAL_INVALID")
DEADLINE_S = 10.0


@cache
def auth_database() -> str:
    """One migrated database of auth for the module that uses it."""
    url = stack.postgres_url("credentials_auth")
    asyncio.run(stack.migrate("auth", url))
    return url


@cache
def storage_database() -> str:
    """One migrated database of storage for the module that uses it."""
    url = stack.postgres_url("credentials_storage")
    asyncio.run(stack.migrate("storage", url))
    return url


def auth_settings(folder: Path, **changes: Any) -> AuthSettings:
    """Settings of an auth whose keys are in the folder."""
    values: dict[str, Any] = {
        "environment": "test",
        "database_url": auth_database(),
        "keys_dir": folder / "keys",
        "api_key_pepper": SecretStr("a pepper of the test"),
        "service_secrets": SECRETS,
        "refresh_grace_s": 0.0,
        "shutdown_grace_s": 2.0,
        **changes,
    }
    return AuthSettings(**values)


@dataclass
class Replica:
    """One replica of auth."""

    address: str
    channel: grpc.aio.Channel
    stop: Callable[[], Awaitable[None]]

    def __post_init__(self) -> None:
        self.sessions = session_service_pb2_grpc.SessionServiceStub(self.channel)
        self.users = user_service_pb2_grpc.UserServiceStub(self.channel)
        self.api_keys = api_key_service_pb2_grpc.ApiKeyServiceStub(self.channel)
        self.tokens = token_service_pb2_grpc.TokenServiceStub(self.channel)

    async def login(self, email: str) -> session_service_pb2.SessionTokens:
        """A new session."""
        request = session_service_pb2.LoginRequest(email=email, password=PASSWORD)
        answer: session_service_pb2.LoginResponse = await self.sessions.Login(request)
        return answer.tokens

    async def logout(self, tokens: session_service_pb2.SessionTokens) -> None:
        """The end of a session."""
        await self.sessions.Logout(session_service_pb2.LogoutRequest(refresh_token=tokens.refresh_token))

    async def refresh(self, refresh_token: str) -> session_service_pb2.SessionTokens:
        """The next pair."""
        answer = await self.sessions.Refresh(session_service_pb2.RefreshRequest(refresh_token=refresh_token))
        tokens: session_service_pb2.SessionTokens = answer.tokens
        return tokens

    async def exchange(self, **credential: str) -> token_service_pb2.ExchangeCredentialResponse:
        """An internal token."""
        request = token_service_pb2.ExchangeCredentialRequest(**credential)
        answer: token_service_pb2.ExchangeCredentialResponse = await self.tokens.ExchangeCredential(request)
        return answer

    async def create_key(self, token: str, **fields: Any) -> api_key_service_pb2.CreateApiKeyResponse:
        """A new key of the caller."""
        request = api_key_service_pb2.CreateApiKeyRequest(**{"name": "nightly", **fields})
        answer: api_key_service_pb2.CreateApiKeyResponse = await self.api_keys.CreateApiKey(
            request, metadata=bearer(token)
        )
        return answer

    async def give_role(self, token: str, user_id: str, role: user_pb2.Role.ValueType) -> None:
        """Another role for a user, in an admin's name."""
        request = user_service_pb2.UpdateUserRoleRequest(user_id=user_id, role=role)
        await self.users.UpdateUserRole(request, metadata=bearer(token))


@dataclass
class Trusting:
    """A service that checks tokens by itself."""

    server: ServiceServer
    channel: grpc.aio.Channel
    refusals: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._files = file_service_pb2_grpc.FileServiceStub(self.channel)

    async def call(self, token: str) -> tuple[str, str] | None:
        """Call it with the token; code and reason when it refuses."""
        try:
            await self._files.ListFiles(file_service_pb2.ListFilesRequest(), metadata=bearer(token), timeout=5.0)
        except grpc.aio.AioRpcError as exc:
            failed = rpc_error_details(exc)
            return failed.code.name, failed.reason
        return None

    async def seconds_until_refused(self, token: str, deadline_s: float = DEADLINE_S) -> float:
        """Call again and again until the token is refused; how long that took. Raises TimeoutError."""
        started = time.perf_counter()
        async with asyncio.timeout(deadline_s):
            while (refused := await self.call(token)) is None:  # noqa: ASYNC110 - the change is in another process
                await asyncio.sleep(0.005)
        assert refused == REVOKED, refused
        return time.perf_counter() - started

    async def until_accepted(self, token: str, deadline_s: float = DEADLINE_S) -> None:
        """Call again and again until the token is accepted. Raises TimeoutError."""
        async with asyncio.timeout(deadline_s):
            while await self.call(token) is not None:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.02)


def bearer(token: str) -> Any:
    """Metadata that carries the token."""
    return (("authorization", f"Bearer {token}"),)


async def refusal(call: Awaitable[Any]) -> tuple[str, str]:
    """Code and reason with which the call fails; it must."""
    failed = await failure(call)
    return failed.code.name, failed.reason


async def failure(call: Awaitable[Any]) -> RpcFailure:
    """How the call fails; it must."""
    try:
        await call
    except grpc.aio.AioRpcError as exc:
        return rpc_error_details(exc)
    raise AssertionError("the call succeeded")


async def eventually(holds: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    """Wait until the condition holds. Raises TimeoutError."""
    async with asyncio.timeout(deadline_s):
        while not holds():  # noqa: ASYNC110 - the condition lies in a background task
            await asyncio.sleep(0.01)


@asynccontextmanager
async def auth_replica(settings: AuthSettings) -> AsyncIterator[Replica]:
    """A replica that runs."""
    server = build_server(settings)
    await server.start()
    try:
        address = f"127.0.0.1:{server.port}"
        async with grpc.aio.insecure_channel(address) as channel:
            yield Replica(address, channel, server.stop)
    finally:
        await server.stop()


@asynccontextmanager
async def trusting(folder: Path, auth_address: str) -> AsyncIterator[Trusting]:
    """A storage service that gets its keys and revocations from this address."""
    settings = make_settings(
        await asyncio.to_thread(storage_database),
        folder / "objects",
        auth_address=auth_address,
        service_id="storage",
        service_secret=SECRETS["storage"],
        erasure_poll_s=0.1,
        erasure_settle_s=0.0,
    )
    server = build_storage(settings)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield Trusting(server, channel)
    finally:
        await server.stop()


async def new_admin(settings: AuthSettings, email: str) -> str:
    """A person with `PASSWORD` and every right; their id."""
    operator, engine = build_operator(settings)
    try:
        user, _ = await operator.create_admin(email, PASSWORD)
    finally:
        await engine.dispose()
    return user.user_id

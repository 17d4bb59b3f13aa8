"""Channels between services: service tokens, keys from auth, request ids, deadlines, retries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from joserfc.jwk import Key, OKPKey
from pydantic import SecretStr

from services.runtime.client import auth_channel, channel
from services.runtime.credentials import ServiceCredentials
from services.runtime.errors import ServiceError, rpc_error_details
from services.runtime.identity import CallContext, Principal, Role, bind_call
from services.runtime.jwks import RemoteKeys
from services.runtime.settings import ServiceSettings
from services.runtime.tokens import CredentialError, TokenSigner, TokenVerifier
from t2m.auth.v1 import token_service_pb2, token_service_pb2_grpc
from tests.contract.runtime_probe import Running, pb, pb_grpc, running


class Auth(token_service_pb2_grpc.TokenServiceServicer):
    """Auth's token service, as far as other services see it."""

    def __init__(self) -> None:
        self.keys: list[Key] = [_key("first")]
        self.lifetime = timedelta(minutes=5)
        self.asked_for_keys = 0
        self.issued = 0
        self.away = False

    async def _present(self, context: Any) -> None:
        if self.away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")

    async def ExchangeCredential(self, request: Any, context: Any) -> Any:
        raise NotImplementedError  # only the gateway calls it

    async def GetJwksDocument(self, request: Any, context: Any) -> Any:
        raise NotImplementedError  # only the gateway calls it

    def WatchRevocations(self, request: Any, context: Any) -> Any:
        raise NotImplementedError  # see test_runtime_revocations.py

    async def GetJwks(self, request: Any, context: Any) -> token_service_pb2.GetJwksResponse:
        self.asked_for_keys += 1
        await self._present(context)
        keys = [key.as_dict(private=False) for key in self.keys]
        return token_service_pb2.GetJwksResponse(jwks_json=json.dumps({"keys": keys}))

    async def IssueServiceToken(
        self, request: token_service_pb2.IssueServiceTokenRequest, context: Any
    ) -> token_service_pb2.IssueServiceTokenResponse:
        await self._present(context)
        assert request.service_secret == "s3cret"
        self.issued += 1
        token, expires_at = self.signer().sign(request.service_id, Role.SERVICE, self.lifetime)
        stamp = Timestamp()
        stamp.FromDatetime(expires_at)
        return token_service_pb2.IssueServiceTokenResponse(token=token, expires_at=stamp)

    def signer(self) -> TokenSigner:
        return TokenSigner(self.keys[-1])


def _key(kid: str) -> Key:
    return OKPKey.generate_key("Ed25519", parameters={"kid": kid})


class Monotonic:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@asynccontextmanager
async def serving_auth() -> AsyncIterator[tuple[Auth, ServiceSettings]]:
    auth, server = Auth(), grpc.aio.server()
    token_service_pb2_grpc.add_TokenServiceServicer_to_server(auth, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield auth, ServiceSettings(environment="test", auth_address=f"127.0.0.1:{port}")
    await server.stop(None)


@pytest.fixture
async def deployment() -> AsyncIterator[tuple[Auth, ServiceSettings, Running, RemoteKeys, Monotonic]]:
    """Auth, and the probe that takes its keys from there."""
    clock = Monotonic()
    async with serving_auth() as (auth, settings):
        to_auth = auth_channel(settings)
        keys = RemoteKeys(to_auth, monotonic=clock)
        async with running(verifier=TokenVerifier(keys)) as server:
            yield auth, settings, server, keys, clock
        await to_auth.close()


def address(server: Running) -> str:
    return f"127.0.0.1:{server.server.port}"


async def _each(*texts: str) -> AsyncIterator[Any]:
    for text in texts:
        yield pb.EchoRequest(text=text)


async def _all(stream: Any) -> list[Any]:
    return [message async for message in stream]


async def test_a_service_calls_another_in_its_own_name(deployment: Any) -> None:
    auth, settings, server, *_ = deployment
    async with auth_channel(settings) as to_auth:
        credentials = ServiceCredentials(to_auth, "job", SecretStr("s3cret"))
        async with channel(address(server), settings, credentials) as to_probe:
            stub = pb_grpc.ProbeServiceStub(to_probe)
            calls = [stub.Internal(pb.EchoRequest(text="hi")) for _ in range(20)]
            assert {answer.subject for answer in await asyncio.gather(*calls)} == {"job"}
            # The refusals name the role: the token went along with streams, too.
            streams = [stub.EchoStream(pb.EchoRequest(text="x")), stub.Chat(_each("a", "b"))]
            for call in [stub.Collect(_each("a", "b")), *(_all(stream) for stream in streams)]:
                with pytest.raises(grpc.aio.AioRpcError, match="role service may not call"):
                    await call
    assert auth.issued == 1


async def test_a_service_token_is_replaced_in_time_and_kept_while_auth_is_away(deployment: Any) -> None:
    auth, settings, *_ = deployment

    class Clock:
        moment = datetime.now(UTC)

        def now(self) -> datetime:
            return self.moment

    clock = Clock()
    async with auth_channel(settings) as to_auth:
        credentials = ServiceCredentials(to_auth, "job", SecretStr("s3cret"), clock)
        first = await credentials.token()
        clock.moment += timedelta(minutes=3)
        assert await credentials.token() == first
        auth.away = True
        clock.moment += timedelta(minutes=1, seconds=30)
        assert await credentials.token() == first
        clock.moment += timedelta(minutes=1)
        with pytest.raises(grpc.aio.AioRpcError):
            await credentials.token()
        auth.away = False
        assert await credentials.token() != first


async def test_the_caller_is_passed_on_when_asked(deployment: Any) -> None:
    auth, settings, server, *_ = deployment
    token, expires_at = auth.signer().sign("ada", Role.USER, timedelta(minutes=1))
    call = CallContext("/x/Y", "request-12345", Principal("ada", Role.USER, None, token, expires_at))
    bound = bind_call(call)
    try:
        async with channel(address(server), settings, None, pass_caller=True) as to_probe:
            answer = await pb_grpc.ProbeServiceStub(to_probe).Echo(pb.EchoRequest(text="hi"))
    finally:
        bound.var.reset(bound)
    assert (answer.subject, answer.request_id) == ("ada", "request-12345")


async def test_metadata_of_the_call_itself_wins(deployment: Any) -> None:
    auth, settings, server, *_ = deployment
    token, _ = auth.signer().sign("eve", Role.USER, timedelta(minutes=1))
    metadata = (("authorization", f"Bearer {token}"), ("x-request-id", "request-67890"))
    async with channel(address(server), settings, None) as to_probe:
        answer = await pb_grpc.ProbeServiceStub(to_probe).Echo(pb.EchoRequest(text="hi"), metadata=metadata)
    assert (answer.subject, answer.request_id) == ("eve", "request-67890")


async def test_a_new_key_is_learnt_and_a_withdrawn_one_forgotten(deployment: Any) -> None:
    auth, _, _, keys, clock = deployment
    check = TokenVerifier(keys)
    old, _ = auth.signer().sign("ada", Role.USER, timedelta(minutes=5))
    assert (await check.authenticate(old)).subject == "ada"
    auth.keys = [_key("second")]
    new, _ = auth.signer().sign("ada", Role.USER, timedelta(minutes=5))
    clock.seconds += 10
    assert (await check.authenticate(new)).subject == "ada"
    with pytest.raises(CredentialError):
        await check.authenticate(old)


async def test_forged_key_ids_do_not_hammer_auth(deployment: Any) -> None:
    auth, _, _, keys, _ = deployment
    check = TokenVerifier(keys)
    for number in range(20):
        token, _ = TokenSigner(_key(f"forged{number}")).sign("eve", Role.ADMIN, timedelta(minutes=5))
        with pytest.raises(CredentialError):
            await check.authenticate(token)
    assert auth.asked_for_keys == 1


async def test_known_keys_serve_while_auth_is_away(deployment: Any) -> None:
    auth, _, _, keys, clock = deployment
    check = TokenVerifier(keys)
    token, _ = auth.signer().sign("ada", Role.USER, timedelta(minutes=5))
    await check.authenticate(token)
    auth.away = True
    clock.seconds += 3600
    assert (await check.authenticate(token)).subject == "ada"
    other, _ = auth.signer().sign("bob", Role.USER, timedelta(minutes=5))
    assert (await check.authenticate(other)).subject == "bob"


async def test_without_any_key_the_answer_is_unavailable(deployment: Any) -> None:
    auth, _, server, *_ = deployment
    auth.away = True
    token, _ = auth.signer().sign("ada", Role.USER, timedelta(minutes=5))
    metadata = (("authorization", f"Bearer {token}"),)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await server.stub.Echo(pb.EchoRequest(text="hi"), metadata=metadata)
    failure = rpc_error_details(caught.value)
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")
    assert failure.retry_after is not None


async def test_keys_that_were_never_learnt_raise(deployment: Any) -> None:
    auth, settings, *_ = deployment
    auth.away = True
    async with auth_channel(settings) as to_auth:
        with pytest.raises(ServiceError, match="not known yet"):
            await RemoteKeys(to_auth).refresh()


async def test_a_service_that_is_down_fails_fast_and_is_found_again(deployment: Any) -> None:
    _, settings, server, *_ = deployment
    where = address(server)
    async with channel(where, settings, None, services=["t2m.probe.v1.ProbeService"]) as to_probe:
        stub = pb_grpc.ProbeServiceStub(to_probe)
        assert (await stub.Open(pb.EchoRequest(text="hi"))).text == "hi"
        await server.server.stop()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Open(pb.EchoRequest(text="hi"))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        async with running(settings=ServiceSettings(environment="test", bind=where)):
            answer = await stub.Open(pb.EchoRequest(text="hi"), wait_for_ready=True, timeout=10)
            assert answer.text == "hi"


async def test_a_unary_call_has_a_deadline_by_default(deployment: Any) -> None:
    _, settings, *_ = deployment
    async with channel("127.0.0.1:1", settings, None, deadline_s=0.1) as nowhere:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pb_grpc.ProbeServiceStub(nowhere).Open(pb.EchoRequest(text="hi"), wait_for_ready=True)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED

"""What a revocation does to open streams, and how a service keeps on hearing of revocations (A2)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from joserfc.jwk import Key, OKPKey
from prometheus_client import REGISTRY
from pydantic import SecretStr

from services.runtime.credentials import ServiceCredentials
from services.runtime.errors import rpc_error_details
from services.runtime.identity import Principal, Role
from services.runtime.jwks import RemoteKeys
from services.runtime.revocations import RevocationFeed, RevocationList
from services.runtime.tokens import StaticKeys, TokenSigner, TokenVerifier
from t2m.auth.v1 import token_service_pb2, token_service_pb2_grpc
from tests.contract.runtime_probe import pb, running

KEY = OKPKey.generate_key("Ed25519", parameters={"kid": "one"})


def bearer(user: str) -> Any:
    """Metadata with a token of the user."""
    token, _ = TokenSigner(KEY).sign(user, Role.USER, timedelta(minutes=5))
    return (("authorization", f"Bearer {token}"),)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition of a background task."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.005)


async def all_of(stream: Any) -> None:
    """Read it to its end."""
    while await stream.read() is not grpc.aio.EOF:
        pass


async def requests() -> AsyncIterator[Any]:
    """One request, and an open end."""
    yield pb.EchoRequest(text="hello")
    await asyncio.Event().wait()


@pytest.mark.parametrize("kind", ["EchoStream", "Chat", "Collect"])
async def test_an_open_stream_ends_with_its_credential_and_no_other_does(kind: str) -> None:
    """Whichever side streams; what the handler holds is given back. The other one ends when its key is withdrawn."""
    revoked = RevocationList()
    verifier = TokenVerifier(StaticKeys([KEY]), revoked=revoked)
    async with running(verifier=verifier) as server:

        def opened(user: str) -> Any:
            method = getattr(server.stub, kind)
            request = pb.EchoRequest(text="hold") if kind == "EchoStream" else requests()
            return method(request, metadata=bearer(user))

        ada, eve = opened("ada"), opened("eve")
        await until(lambda: server.server._active._count == 2)
        if kind != "Collect":
            for call in (ada, eve):
                assert await call.read() is not grpc.aio.EOF
        await until(lambda: len(revoked._watchers) == 2)
        revoked.end_user("ada", datetime.now(UTC) + timedelta(seconds=1), datetime.now(UTC) + timedelta(hours=1))
        revoked.settle()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            async with asyncio.timeout(10):
                await (ada if kind == "Collect" else all_of(ada))
        found = rpc_error_details(refused.value)
        assert (found.code, found.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID")
        assert not eve.done()
        assert server.probe.closed == (1 if kind == "EchoStream" else 0)
        verifier.void({"two"})
        verifier.void({"one"})
        with pytest.raises(grpc.aio.AioRpcError, match="revoked"):
            async with asyncio.timeout(10):
                await (eve if kind == "Collect" else all_of(eve))
        await until(lambda: not revoked._watchers)


class Auth(token_service_pb2_grpc.TokenServiceServicer):
    """Tells of revocations as it is told to."""

    def __init__(self) -> None:
        self.streams = 0
        self.issued = 0
        self.silent = False
        self.refused: set[str] = set()
        self.messages: asyncio.Queue[token_service_pb2.WatchRevocationsResponse] = asyncio.Queue()

    async def ExchangeCredential(self, request: Any, context: Any) -> Any:
        raise NotImplementedError  # only the gateway calls it

    GetJwks = GetJwksDocument = ExchangeCredential

    async def IssueServiceToken(self, request: Any, context: Any) -> token_service_pb2.IssueServiceTokenResponse:
        self.issued += 1
        stamp = Timestamp()
        stamp.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
        return token_service_pb2.IssueServiceTokenResponse(token=f"token {self.issued}", expires_at=stamp)

    async def WatchRevocations(
        self, request: Any, context: Any
    ) -> AsyncIterator[token_service_pb2.WatchRevocationsResponse]:
        if dict(context.invocation_metadata())["authorization"] in self.refused:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "its key was withdrawn")
        self.streams += 1
        while True:
            message = await self.messages.get()
            if not self.silent:
                yield message


class NotingStreams(grpc.aio.UnaryStreamClientInterceptor):
    """Keeps the calls that a channel makes."""

    def __init__(self, calls: list[Any]) -> None:
        self._calls = calls

    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        self._calls.append(await continuation(client_call_details, request))
        return self._calls[-1]


@asynccontextmanager
async def feed(
    auth: Auth, silence_s: float = 5.0, calls: list[Any] | None = None
) -> AsyncIterator[tuple[RevocationList, RemoteKeys]]:
    """What a service knows that follows this auth; its streams are added to `calls`."""
    server = grpc.aio.server()
    token_service_pb2_grpc.add_TokenServiceServicer_to_server(auth, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    noting: list[Any] = [] if calls is None else [NotingStreams(calls)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", interceptors=noting) as channel:
        revoked, keys = RevocationList(), RemoteKeys(channel)
        credentials = ServiceCredentials(channel, "job", SecretStr("s3cret"))
        following = asyncio.create_task(
            RevocationFeed(channel, credentials, revoked, keys.learn, silence_s=silence_s).run()
        )
        yield revoked, keys
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    await server.stop(None)


def ended(session_id: str, **more: Any) -> token_service_pb2.WatchRevocationsResponse:
    """A message that says that the session has ended."""
    until_then = Timestamp()
    until_then.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
    revocation = token_service_pb2.Revocation(
        kind=token_service_pb2.REVOCATION_KIND_SESSION, subject_id=session_id, expires_at=until_then
    )
    return token_service_pb2.WatchRevocationsResponse(revocations=[revocation], complete=True, **more)


def told_keys(key: Key, *, snapshot: bool = False) -> token_service_pb2.WatchRevocationsResponse:
    """A message with a public key."""
    document = json.dumps({"keys": [key.as_dict(private=False)]})
    return token_service_pb2.WatchRevocationsResponse(complete=True, snapshot=snapshot, jwks_json=document)


def of_session(session_id: str) -> Principal:
    """Somebody with a token of the session."""
    return Principal("ada", Role.USER, None, "", datetime.now(UTC), session_id=session_id)


async def test_a_silent_stream_is_left_and_what_was_learnt_is_kept() -> None:
    auth = Auth()
    async with feed(auth, silence_s=0.1) as (revoked, _):
        auth.messages.put_nowait(ended("one"))
        await until(lambda: revoked.covers(of_session("one")))
        await until(lambda: auth.streams >= 3)
        assert revoked.covers(of_session("one"))
        auth.messages.put_nowait(ended("lost"))  # to a stream that nobody reads any more
        auth.messages.put_nowait(ended("two"))
        await until(lambda: revoked.covers(of_session("two")) or revoked.covers(of_session("lost")))


async def test_a_stream_that_its_own_channel_cuts_is_opened_anew() -> None:
    """As when the channel was replaced because its certificate was: to the reader that looks like a cancellation."""
    auth = Auth()
    calls: list[Any] = []
    async with feed(auth, calls=calls) as (revoked, _):
        auth.messages.put_nowait(ended("one"))
        await until(lambda: revoked.covers(of_session("one")))
        calls[0].cancel()
        auth.messages.put_nowait(ended("two"))
        await until(lambda: auth.streams == 2)


async def test_a_service_whose_own_token_is_refused_gets_another() -> None:
    auth = Auth()
    auth.refused.add("Bearer token 1")
    async with feed(auth) as (revoked, _):
        auth.messages.put_nowait(ended("one"))
        await until(lambda: revoked.covers(of_session("one")))
        assert auth.issued == 2


async def test_keys_come_by_the_same_stream() -> None:
    """When they change, the service's own token may be of a key that is gone: its next stream has another one."""
    auth = Auth()
    async with feed(auth, silence_s=0.5) as (_, keys):
        auth.messages.put_nowait(told_keys(KEY, snapshot=True))
        await until(lambda: keys.find("one") is not None)
        assert auth.issued == 1
        auth.messages.put_nowait(told_keys(OKPKey.generate_key("Ed25519", parameters={"kid": "two"})))
        await until(lambda: keys.find("two") is not None)
        assert keys.find("one") is None
        await until(lambda: auth.issued == 2)


async def test_the_age_of_what_is_known_is_a_metric() -> None:
    auth = Auth()
    async with feed(auth) as (revoked, _):
        auth.messages.put_nowait(ended("one"))
        await until(lambda: revoked.covers(of_session("one")))
        age = REGISTRY.get_sample_value("t2m_revocations_age_seconds")
        assert age is not None
        assert age >= 0
        assert REGISTRY.get_sample_value("t2m_revocations_known") == 1
        await until(lambda: (REGISTRY.get_sample_value("t2m_revocations_age_seconds") or 0) > age)

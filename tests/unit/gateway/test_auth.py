"""Credentials and their exchange (A2, A4)."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from gateway.auth import Authenticator, call_metadata, credential_of
from gateway.errors import ApiError
from gateway.http import Request
from gateway.revocations import Revocations
from t2m.auth.v1 import token_service_pb2


def request(**headers: str) -> Request:
    """A request with these headers; `_` stands for `-`."""
    sent = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": "http", "headers": sent, "state": {"request_id": "r"}}
    unused: Any = None  # Nothing is received or sent.
    return Request(scope, unused, unused)


class Auth:
    """The exchange call and a clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.calls: list[str] = []
        self.expires_in: float | None = None
        self.failure: grpc.StatusCode | None = None
        self.called = asyncio.Event()
        self.revocations = Revocations(lambda: self.now)
        self.revocations.followed = True
        self.open = asyncio.Event()
        self.open.set()
        self.authenticator = Authenticator(
            self.exchange,
            cache_s=5,
            refusal_cache_s=1,
            deadline_s=1,
            revocations=self.revocations,
            clock=lambda: self.now,
        )

    async def exchange(self, raw: bytes, *, timeout: float, metadata: Any) -> bytes:
        sent = token_service_pb2.ExchangeCredentialRequest.FromString(raw)
        self.called.set()
        self.calls.append(f"{sent.WhichOneof('credential')}:{sent.api_key or sent.access_token}")
        await self.open.wait()
        if self.failure is not None:
            raise grpc.aio.AioRpcError(self.failure, grpc.aio.Metadata(), grpc.aio.Metadata(), details="no")
        answer = token_service_pb2.ExchangeCredentialResponse(
            internal_token=f"i{len(self.calls)}", user_id="u", session_id="s", api_key_id="k"
        )
        if self.expires_in is not None:
            answer.expires_at.seconds = int(self.now + self.expires_in)
        return answer.SerializeToString()

    async def token(self, secret: str = "s") -> str:
        """The internal token for an API key."""
        return (await self.authenticator.authenticate(request(x_api_key=secret))).internal_token


async def test_A2_an_answer_is_kept_for_seconds_only() -> None:
    """A2: revocation takes effect within the cache time."""
    auth = Auth()
    assert [await auth.token(), await auth.token()] == ["i1", "i1"]
    auth.now += 5.1
    assert await auth.token() == "i2"


async def test_A2_an_answer_is_never_kept_beyond_its_token() -> None:
    """A2."""
    auth = Auth()
    auth.expires_in = 21
    await auth.token()
    auth.now += 2
    assert await auth.token() == "i2"


async def test_A2_kinds_of_credentials_do_not_mix() -> None:
    """A2, A4: the same secret as key and as token are two credentials."""
    auth = Auth()
    await auth.token("x")
    await auth.authenticator.authenticate(request(authorization="bearer x"))
    assert auth.calls == ["api_key:x", "access_token:x"]
    assert credential_of(request(authorization="Bearer t", x_api_key="k")).secret == "t"


async def test_A2_concurrent_requests_share_a_call_that_survives_a_leaving_client() -> None:
    """A2: single flight."""
    auth = Auth()
    auth.open.clear()
    waiting = [asyncio.create_task(auth.token()) for _ in range(5)]
    await asyncio.wait_for(auth.called.wait(), 5)
    waiting[0].cancel()
    auth.open.set()
    assert await asyncio.gather(*waiting[1:]) == ["i1"] * 4
    assert len(auth.calls) == 1


async def test_A2_a_refusal_is_kept_for_a_moment_and_an_outage_is_not() -> None:
    """A2: 401 shields auth; 503 must end with the outage."""
    auth = Auth()
    auth.failure = grpc.StatusCode.UNAUTHENTICATED
    for _ in range(3):
        with pytest.raises(ApiError) as refused:
            await auth.token()
        assert refused.value.status == 401
    assert len(auth.calls) == 1
    auth.now += 1.1
    auth.failure = grpc.StatusCode.UNAVAILABLE
    for calls in (2, 3):
        with pytest.raises(ApiError) as away:
            await auth.token()
        assert (away.value.status, len(auth.calls)) == (503, calls)
    auth.failure = None
    assert await auth.token() == "i4"


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "CREDENTIAL_MISSING"),
        ({"authorization": "Basic x"}, "CREDENTIAL_INVALID"),
        ({"authorization": "Bearer"}, "CREDENTIAL_INVALID"),
        ({"authorization": "Bearer \xff"}, "CREDENTIAL_INVALID"),
        ({"x_api_key": ""}, "CREDENTIAL_INVALID"),
        ({"x_api_key": "x" * 9000}, "CREDENTIAL_INVALID"),
    ],
)
def test_O6_credentials_that_are_none(headers: dict[str, str], reason: str) -> None:
    """O6: refused without a call."""
    with pytest.raises(ApiError) as caught:
        credential_of(request(**headers))
    assert (caught.value.status, caught.value.reason) == (401, reason)


def test_A2_metadata_are_an_allow_list() -> None:
    """A2: nothing else of the request reaches a service; bytes that gRPC would choke on are left out."""
    sent = request(traceparent="00-1", accept_language="dé", x_user_id="root", authorization="Bearer x", cookie="c")
    sent.state["client_address"] = "192.0.2.1"
    expected = [("x-request-id", "r"), ("x-client-address", "192.0.2.1"), ("traceparent", "00-1")]
    assert call_metadata(sent, None) == expected


def ending(
    subject_id: str, revoked_at: float = 0, *, snapshot: bool = False
) -> token_service_pb2.WatchRevocationsResponse:
    """What auth says of an ending."""
    each = token_service_pb2.Revocation(subject_id=subject_id)
    each.revoked_at.seconds = int(revoked_at)
    return token_service_pb2.WatchRevocationsResponse(revocations=[each], snapshot=snapshot)


@pytest.mark.parametrize("subject_id", ["s", "k", "u"])
async def test_A2_what_has_ended_is_not_remembered(subject_id: str) -> None:
    """A2: session, key or user: auth is asked again at once, and once."""
    auth = Auth()
    assert await auth.token() == "i1"
    assert not auth.revocations.learn(token_service_pb2.WatchRevocationsResponse(complete=True))
    assert auth.revocations.learn(ending(subject_id))
    auth.now += 0.5
    assert [await auth.token(), await auth.token()] == ["i2", "i2"]
    assert auth.revocations.learn(ending("somebody else"))
    assert await auth.token() == "i2"


async def test_A2_an_ending_meets_the_answers_that_are_on_their_way() -> None:
    """A2: what auth said before is asked again."""
    auth = Auth()
    auth.open.clear()
    waiting = asyncio.create_task(auth.token())
    await auth.called.wait()
    auth.now += 1
    auth.revocations.learn(ending("u"))
    auth.now += 1
    auth.open.set()
    assert await waiting == "i2"


async def test_A2_of_a_snapshot_only_what_may_be_new_counts() -> None:
    """A2: an ending of long ago does not undo what auth has said since, whoever's clock is a minute ahead."""
    auth = Auth()
    await auth.token()
    auth.revocations.learn(ending("u", auth.now - 600, snapshot=True))
    assert await auth.token() == "i1"
    auth.revocations.learn(ending("u", auth.now - 30, snapshot=True))
    auth.now += 0.5
    assert await auth.token() == "i2"


async def test_A2_while_endings_are_not_heard_of_nothing_is_kept_for_long() -> None:
    """A2: two seconds instead of five."""
    auth = Auth()
    auth.revocations.followed = False
    await auth.token()
    auth.now += 1.9
    assert await auth.token() == "i1"
    auth.now += 0.2
    assert await auth.token() == "i2"

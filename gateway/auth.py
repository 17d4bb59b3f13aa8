"""Who calls: trades the client's credential for a short-lived internal token, once per credential and few
seconds.

Services trust only the internal token, which they verify offline. Nothing that a client sends can pose as
one: the metadata of a call is built from an allow-list.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc

from gateway.client_address import UNKNOWN, rate_key
from gateway.cookies import SessionCookies
from gateway.errors import ApiError, from_rpc, unauthenticated
from gateway.http import Request
from gateway.ratelimit import Limiter
from gateway.revocations import Revocations
from t2m.auth.v1 import token_service_pb2 as token_pb

EXCHANGE = "/t2m.auth.v1.TokenService/ExchangeCredential"
FORWARDED_HEADERS = (b"traceparent", b"tracestate", b"accept-language")
CLIENT_ADDRESS = "x-client-address"
MAX_CREDENTIAL_BYTES = 8192
MAX_API_KEY_BYTES = 256
CREDENTIAL_HEADERS = frozenset({b"authorization", b"x-api-key"})
MAX_CACHED = 10_000
UNFOLLOWED_CACHE_S = 2.0
_EXPIRY_MARGIN_S = 20.0

ExchangeCall = Callable[..., Awaitable[bytes]]
"""The unary call of EXCHANGE on raw bytes, with `timeout` and `metadata` as keywords. Raises AioRpcError."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What a client sent. `key` identifies it without revealing it."""

    kind: str
    secret: str
    key: bytes


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller. `credential` allows a later re-check of a long stream.

    What ended before `asked_at` auth knew of when it said yes.
    """

    internal_token: str
    user_id: str
    credential: Credential
    role: int = 0
    plan: str = ""
    session_id: str = ""
    api_key_id: str = ""
    asked_at: float = 0.0


@dataclass(frozen=True, slots=True)
class _Entry:
    outcome: Caller | ApiError
    good_until: float


class Authenticator:
    """Exchanges credentials; concurrent requests with the same one share a single call."""

    def __init__(
        self,
        exchange: ExchangeCall,
        *,
        cache_s: float,
        refusal_cache_s: float,
        deadline_s: float,
        revocations: Revocations,
        cookies: SessionCookies | None = None,
        limiter: Limiter | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._exchange = exchange
        self._cache_s = cache_s
        self._refusal_cache_s = refusal_cache_s
        self._deadline_s = deadline_s
        self._revocations = revocations
        self._cookies = cookies
        self._limiter = limiter
        self._clock = clock
        self._cache: dict[bytes, _Entry] = {}
        self._running: dict[bytes, asyncio.Task[Caller]] = {}

    async def authenticate(self, request: Request) -> Caller:
        """The caller of a request. Raises ApiError 401, 403 for cookies without their proof, or 503 when auth is
        away and the cache has no answer.
        """
        address = rate_key(request.state.get("client_address", UNKNOWN))
        caller = await self.exchange(credential_of(request, self._cookies), address)
        request.state["user_id"] = caller.user_id
        return caller

    def has_credential(self, request: Request) -> bool:
        """Whether the head of a request says who calls, well or not."""
        named = any(request.header(name) is not None for name in CREDENTIAL_HEADERS)
        return named or (self._cookies is not None and self._cookies.any_of(request))

    async def authenticate_by(self, request: Request, kind: str, secret: str) -> Caller:
        """The caller of a request that gave its credential otherwise: `access_token` or `api_key`. Raises as
        `authenticate`.
        """
        longest = MAX_API_KEY_BYTES if kind == "api_key" else MAX_CREDENTIAL_BYTES
        address = rate_key(request.state.get("client_address", UNKNOWN))
        caller = await self.exchange(_credential(kind, secret.encode(), longest), address)
        request.state["user_id"] = caller.user_id
        return caller

    async def exchange(self, credential: Credential, address: str | None = None) -> Caller:
        """The caller that a credential stands for: by an answer at most `cache_s` old, or `UNFOLLOWED_CACHE_S`
        while revocations are not heard of.

        `address` is what refusals are counted under: nobody tries one credential after the other. Raises ApiError 401,
        429 or 503.
        """
        entry = self._cache.get(credential.key)
        if entry is not None:
            now = self._clock()
            if entry.good_until > now:
                if isinstance(entry.outcome, ApiError):
                    raise _fresh(entry.outcome)
                if self._holds(entry.outcome, now):
                    return entry.outcome
            del self._cache[credential.key]
        task = self._running.get(credential.key)
        if task is None:
            if address is not None and self._limiter is not None:
                self._limiter.check_credentials(address)
            task = self._running[credential.key] = asyncio.create_task(self._call(credential, address))
            task.add_done_callback(lambda done: self._finished(credential.key, done))
        # Shielded: one client that leaves must not fail the others that wait for the same answer.
        caller = await asyncio.shield(task)
        # Asked before, and ended meanwhile: auth has to say it again.
        return await self._call(credential) if self._revocations.covers(caller) else caller

    def _holds(self, caller: Caller, now: float) -> bool:
        if not self._revocations.followed and now - caller.asked_at > UNFOLLOWED_CACHE_S:
            return False
        return not self._revocations.covers(caller)

    def _finished(self, key: bytes, task: asyncio.Task[Caller]) -> None:
        self._running.pop(key, None)
        if not task.cancelled():
            task.exception()  # Seen, in case every waiter has left.

    async def _call(self, credential: Credential, address: str | None = None) -> Caller:
        request = token_pb.ExchangeCredentialRequest()
        setattr(request, credential.kind, credential.secret)
        asked_at = self._clock()
        try:
            raw = await self._exchange(request.SerializeToString(), timeout=self._deadline_s, metadata=())
        except grpc.aio.AioRpcError as error:
            refusal = from_rpc(error)
            if refusal.status == 401:
                self._remember(credential.key, refusal, self._clock() + self._refusal_cache_s)
                if address is not None and self._limiter is not None:
                    await self._limiter.count_refused_credential(address)
            raise refusal from error
        answer = token_pb.ExchangeCredentialResponse.FromString(raw)
        caller = Caller(
            answer.internal_token,
            answer.user_id,
            credential,
            answer.role,
            answer.plan,
            answer.session_id,
            answer.api_key_id,
            asked_at,
        )
        good_until = self._clock() + self._cache_s
        if answer.HasField("expires_at"):
            good_until = min(good_until, answer.expires_at.seconds - _EXPIRY_MARGIN_S)
        self._remember(credential.key, caller, good_until)
        return caller

    def _remember(self, key: bytes, outcome: Caller | ApiError, good_until: float) -> None:
        while len(self._cache) >= MAX_CACHED:
            del self._cache[next(iter(self._cache))]
        self._cache[key] = _Entry(outcome, good_until)


def _fresh(error: ApiError) -> ApiError:
    """A copy: a raised exception collects tracebacks, a cached one would do so for ever."""
    return ApiError(error.status, error.error_code, error.message, error.reason, error.details, error.headers)


def credential_of(request: Request, cookies: SessionCookies | None = None) -> Credential:
    """The credential of a request: `Authorization: Bearer`, else `X-API-Key`, else the session's cookie.

    The first that is there counts, also when it is of no use. Raises ApiError 401, of cookies 403.
    """
    authorization = request.header(b"authorization")
    if request.repeats(CREDENTIAL_HEADERS):
        # Somebody in between may have judged by the other one.
        raise unauthenticated("CREDENTIAL_INVALID", "a credential was sent more than once")
    if authorization is not None:
        scheme, _, secret = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            raise unauthenticated("CREDENTIAL_INVALID", "expected Authorization: Bearer <token>")
        return _credential("access_token", secret.strip())
    api_key = request.header(b"x-api-key")
    if api_key is not None:
        return _credential("api_key", api_key.strip(), MAX_API_KEY_BYTES)
    token = None if cookies is None else cookies.access_token(request)
    if token is not None:
        return _credential("access_token", token)
    raise unauthenticated("CREDENTIAL_MISSING", "this call needs Authorization: Bearer or X-API-Key")


def _credential(kind: str, secret: bytes, longest: int = MAX_CREDENTIAL_BYTES) -> Credential:
    if not secret or len(secret) > longest or not secret.isascii():
        raise unauthenticated("CREDENTIAL_INVALID", "the credential is malformed")
    key = hashlib.blake2b(secret, digest_size=16, person=kind.encode()).digest()
    return Credential(kind, secret.decode("ascii"), key)


def call_metadata(request: Request, caller: Caller | None) -> list[tuple[str, str]]:
    """Metadata of a call made for this request."""
    metadata = [
        ("x-request-id", request.request_id),
        (CLIENT_ADDRESS, request.state.get("client_address", UNKNOWN)),
    ]
    if caller is not None:
        metadata.append(("authorization", f"Bearer {caller.internal_token}"))
    for name in FORWARDED_HEADERS:
        value = request.header(name)
        if value is not None and _is_plain(value):
            metadata.append((name.decode(), value.decode("ascii")))
    return metadata


def _is_plain(value: bytes) -> bool:
    """Whether gRPC accepts it as a metadata value: printable ASCII."""
    return all(32 <= byte < 127 for byte in value)

"""What auth has ended before its tokens did: kept in memory, fed by a stream, asked for every call.

While auth is away calls are checked with what is known, and with what tokens say of their own end: none outlives its
credential by more than 15 minutes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

import grpc
import structlog
from prometheus_client import Gauge

from services.runtime.background import BackgroundTask, is_cancelled
from services.runtime.clock import Clock, SystemClock
from services.runtime.credentials import ServiceCredentials
from services.runtime.identity import Principal
from services.runtime.jwks import RemoteKeys
from services.runtime.settings import ServiceSettings
from services.runtime.tokens import KeySource, TokenVerifier
from t2m.auth.v1 import token_service_pb2 as pb
from t2m.auth.v1 import token_service_pb2_grpc

SILENCE_S = 5.0
"""A stream that has been silent for so long is opened anew; auth speaks about once a second."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 1.0
_FORGET_EVERY_S = 60.0

_AGE = Gauge("t2m_revocations_age_seconds", "Seconds since auth has last said that no revocation is missing here.")
_KNOWN = Gauge("t2m_revocations_known", "Revocations that tokens are checked against.")

_log = structlog.get_logger(__name__)


class RevocationList:
    """What has ended; each entry is kept until no token can need it."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._sessions: dict[str, datetime] = {}
        self._api_keys: dict[str, datetime] = {}
        self._users: dict[str, tuple[datetime, datetime]] = {}
        self._watchers: set[_Watcher] = set()
        self._forgotten_at = self._clock.now()

    def __len__(self) -> int:
        """How many are known."""
        return len(self._sessions) + len(self._api_keys) + len(self._users)

    def end_session(self, session_id: str, until: datetime) -> None:
        """Refuse the session's tokens until they have all ended."""
        self._sessions[session_id] = until

    def end_api_key(self, api_key_id: str, until: datetime) -> None:
        """Refuse the key's tokens until they have all ended."""
        self._api_keys[api_key_id] = until

    def end_user(self, user_id: str, revoked_at: datetime, until: datetime) -> None:
        """Refuse those of the user's tokens that were issued before `revoked_at`; the latest such moment counts."""
        known = self._users.get(user_id)
        if known is None or known[0] < revoked_at:
            self._users[user_id] = (revoked_at, until)

    def covers(self, principal: Principal) -> bool:
        """Whether the token that names this principal was revoked."""
        if principal.session_id in self._sessions or principal.api_key_id in self._api_keys:
            return True
        known = self._users.get(principal.subject)
        return known is not None and (principal.issued_at is None or principal.issued_at < known[0])

    def watch(self, principal: Principal, end: Callable[[], None]) -> Callable[[], None]:
        """Call `end` once when the principal's token is revoked; what is returned stops the watch."""
        watcher = _Watcher(principal, end)
        self._watchers.add(watcher)
        return lambda: self._watchers.discard(watcher)

    def settle(self) -> None:
        """Tell the watchers of what was added, and forget what has passed."""
        for watcher in [each for each in self._watchers if self.covers(each.principal)]:
            self._watchers.discard(watcher)
            watcher.end()
        now = self._clock.now()
        if (now - self._forgotten_at).total_seconds() >= _FORGET_EVERY_S:
            self._forgotten_at = now
            self._sessions = {key: until for key, until in self._sessions.items() if until > now}
            self._api_keys = {key: until for key, until in self._api_keys.items() if until > now}
            self._users = {key: (at, until) for key, (at, until) in self._users.items() if until > now}
        _KNOWN.set(len(self))


class _Watcher:
    """Somebody who wants to know when one token is revoked."""

    __slots__ = ("end", "principal")

    def __init__(self, principal: Principal, end: Callable[[], None]) -> None:
        self.principal = principal
        self.end = end


class RevocationFeed:
    """Fills a `RevocationList`, and the keys, from `t2m.auth.v1.TokenService/WatchRevocations`."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        credentials: ServiceCredentials,
        revoked: RevocationList,
        learn_keys: Callable[[str], None] | None = None,
        *,
        silence_s: float = SILENCE_S,
    ) -> None:
        """`learn_keys` is told the public keys, and again when they change."""
        self._stub = token_service_pb2_grpc.TokenServiceStub(channel)
        self._credentials = credentials
        self._revoked = revoked
        self._learn_keys = learn_keys
        self._silence_s = silence_s
        self._heard_at = time.monotonic()
        self._complete = False

    @property
    def age_s(self) -> float:
        """Seconds since everything was known."""
        return time.monotonic() - self._heard_at

    async def run(self) -> None:
        """Follow until cancelled, over any number of streams; what was learnt is kept between them."""
        _AGE.set_function(lambda: self.age_s)
        pause = _FIRST_PAUSE_S
        while True:
            self._complete = False
            try:
                await self._follow()
                reason = ""
            except grpc.aio.AioRpcError as exc:
                reason = exc.code().name
            except TimeoutError:
                reason = "silence"
            except asyncio.CancelledError:
                if is_cancelled():
                    raise
                reason = "channel replaced"  # a call that its own channel has cut looks like this
            if reason and pause < _LONGEST_PAUSE_S:  # once for each outage
                _log.warning("revocations are not followed", code=reason, known=len(self._revoked))
            pause = _FIRST_PAUSE_S if self._complete else min(pause * 2, _LONGEST_PAUSE_S)
            await asyncio.sleep(pause)

    async def _follow(self) -> None:
        token = await self._credentials.token()
        call = self._stub.WatchRevocations(
            pb.WatchRevocationsRequest(), metadata=(("authorization", f"Bearer {token}"),)
        )
        try:
            while True:
                async with asyncio.timeout(self._silence_s):
                    message = await call.read()
                if not isinstance(message, pb.WatchRevocationsResponse):
                    return  # the replica stops
                self._learn(message, token)
        except grpc.aio.AioRpcError as exc:
            if exc.code() is grpc.StatusCode.UNAUTHENTICATED:
                self._credentials.discard(token)
            raise
        finally:
            call.cancel()

    def _learn(self, message: pb.WatchRevocationsResponse, own_token: str) -> None:
        for each in message.revocations:
            until = each.expires_at.ToDatetime(tzinfo=UTC)
            match each.kind:
                case pb.REVOCATION_KIND_SESSION:
                    self._revoked.end_session(each.subject_id, until)
                case pb.REVOCATION_KIND_API_KEY:
                    self._revoked.end_api_key(each.subject_id, until)
                case pb.REVOCATION_KIND_USER:
                    self._revoked.end_user(each.subject_id, each.revoked_at.ToDatetime(tzinfo=UTC), until)
        self._revoked.settle()
        if message.jwks_json and self._learn_keys is not None:
            self._learn_keys(message.jwks_json)
            if not message.snapshot:
                self._credentials.discard(own_token)  # it may be a withdrawn key that has signed it
        if message.complete:
            self._complete = True
            self._heard_at = time.monotonic()


def token_checks(
    settings: ServiceSettings,
    to_auth: grpc.aio.Channel,
    credentials: ServiceCredentials | None = None,
    *,
    keys: KeySource | None = None,
    clock: Clock | None = None,
) -> tuple[TokenVerifier, list[BackgroundTask]]:
    """What a service checks tokens with, and what keeps that up to date beside its calls.

    `keys` take the place of auth's. A process that has no name and secret of its own cannot follow revocations:
    it takes tokens until they end.
    """
    known, revoked = keys or RemoteKeys(to_auth), RevocationList(clock)
    verifier = TokenVerifier(known, clock, revoked)
    if not settings.service_id or not settings.service_secret:
        _log.warning("revocations are not followed", code="no service_id and service_secret")
        return verifier, []
    credentials = credentials or ServiceCredentials(to_auth, settings.service_id, settings.service_secret)

    def learn_keys(document: str) -> None:
        if isinstance(known, RemoteKeys):
            known.learn(document)
            verifier.void(known.withdrawn)

    feed = RevocationFeed(to_auth, credentials, revoked, learn_keys)
    return verifier, [BackgroundTask("follow revocations", feed.run)]

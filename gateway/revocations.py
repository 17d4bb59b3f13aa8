"""What auth has ended before its time, heard within a second: credentials are not remembered, nor streams kept open."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import grpc
import structlog
from pydantic import SecretStr

from gateway.backends import Backends
from gateway.metrics import REVOCATION_FEED_UP
from t2m.auth.v1 import token_service_pb2 as pb

if TYPE_CHECKING:
    from gateway.auth import Caller

log = structlog.get_logger("gateway.revocations")

WATCH = "/t2m.auth.v1.TokenService/WatchRevocations"
ISSUE = "/t2m.auth.v1.TokenService/IssueServiceToken"
SILENCE_S = 2.5
"""Auth speaks about once a second; after so long without a word what is remembered counts as old."""
_CLOCKS_S = 60.0
"""How far the clocks of auth and of this machine may lie apart."""
_FORGET_AFTER_S = 120.0
_TOKEN_MARGIN_S = 60.0
_DEADLINE_S = 5.0
_PAUSES_S = (0.1, 1.0)


class Revocations:
    """Of which callers auth has taken back what it said.

    An ending concerns who was authenticated before it: later answers of auth know of it already. So nothing needs to be
    kept for longer than answers are. A test by the ids that callers carry: they are random, whatever they name.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        self._withdrawn: frozenset[str] = frozenset()
        self._all_until = float("-inf")
        self.followed = False
        """Whether endings are heard of at the moment."""

    def covers(self, caller: Caller) -> bool:
        """Whether the caller's credential has ended since it was exchanged."""
        until = self._until
        if caller.asked_at <= self._all_until:
            return True
        if not until:
            return False
        return any(
            caller.asked_at <= until.get(name, 0.0)
            for name in (caller.session_id, caller.api_key_id, caller.user_id)
            if name
        )

    def learn(self, message: pb.WatchRevocationsResponse) -> bool:
        """Take endings in; whether there were any."""
        now = self._clock()
        if message.revocations:
            self._until = {name: at for name, at in self._until.items() if at > now - _FORGET_AFTER_S}
        for each in message.revocations:
            at = now
            if message.snapshot:  # May be long ago. By which clock is not known to the second.
                at = min(now, each.revoked_at.seconds + _CLOCKS_S)
            self._until[each.subject_id] = max(at, self._until.get(each.subject_id, 0.0))
        return self._are_void(message) or bool(message.revocations)

    def _are_void(self, message: pb.WatchRevocationsResponse) -> bool:
        """Whether a signing key was withdrawn: what was exchanged before may have been signed by it, for anybody."""
        if not message.jwks_json:
            return False
        withdrawn = frozenset(json.loads(message.jwks_json).get("withdrawn", ()))
        fresh = withdrawn - self._withdrawn
        self._withdrawn |= withdrawn
        if fresh:
            self._all_until = self._clock()
        return bool(fresh)


class RevocationFeed:
    """Keeps `Revocations` up to date from auth's stream, for as long as it runs."""

    def __init__(
        self,
        backends: Backends,
        revocations: Revocations,
        service_id: str,
        secret: SecretStr,
        on_endings: Callable[[], None],
    ) -> None:
        self._watch = backends.stream(WATCH)
        self._issue = backends.unary(ISSUE)
        self._revocations = revocations
        self._service_id = service_id
        self._secret = secret
        self._on_endings = on_endings
        self._token = ""
        self._token_until = 0.0

    async def run(self) -> None:
        """Follow until cancelled; a stream that ends or falls silent is opened again."""
        pause_s = _PAUSES_S[0]
        while True:
            reason = "ended"
            try:
                await self._follow()
            except grpc.aio.AioRpcError as error:
                reason = error.code().name
                if error.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
                    self._token = ""
            except TimeoutError:
                reason = "silence"
            except asyncio.CancelledError:
                current = asyncio.current_task()
                if current is None or current.cancelling():
                    raise
                reason = "channel replaced"  # A call that its own channel has cut looks like this.
            pause_s = _PAUSES_S[0] if self._revocations.followed else min(pause_s * 2, _PAUSES_S[1])
            if reason != "ended":
                self._set_followed(False, reason)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))

    async def _follow(self) -> None:
        request = pb.WatchRevocationsRequest().SerializeToString()
        call = self._watch(request, metadata=(("authorization", f"Bearer {await self._service_token()}"),))
        try:
            while True:
                async with asyncio.timeout(SILENCE_S):
                    raw = await call.read()
                if not isinstance(raw, bytes):
                    return  # This replica of auth stops in order.
                message = pb.WatchRevocationsResponse.FromString(raw)
                if message.jwks_json and not message.snapshot:
                    self._token = ""  # its key may be the one that is gone
                if self._revocations.learn(message):
                    self._on_endings()
                if message.complete:
                    self._set_followed(True)
        finally:
            call.cancel()

    async def _service_token(self) -> str:
        if not self._token or time.time() > self._token_until - _TOKEN_MARGIN_S:
            request = pb.IssueServiceTokenRequest(
                service_id=self._service_id, service_secret=self._secret.get_secret_value()
            )
            raw = await self._issue(request.SerializeToString(), timeout=_DEADLINE_S)
            answer = pb.IssueServiceTokenResponse.FromString(raw)
            self._token, self._token_until = answer.token, float(answer.expires_at.seconds)
        return self._token

    def _set_followed(self, followed: bool, reason: str = "") -> None:
        if followed != self._revocations.followed:
            self._revocations.followed = followed
            REVOCATION_FEED_UP.set(followed)
            if followed:
                log.info("revocations.followed")
            else:
                log.warning("revocations.not_followed", reason=reason)

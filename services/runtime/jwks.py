"""Auth's public keys, fetched over gRPC and kept while auth is away."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping

import grpc
import structlog
from joserfc.jwk import Key

from services.runtime.errors import unavailable
from services.runtime.tokens import parse_jwks
from t2m.auth.v1 import token_service_pb2, token_service_pb2_grpc

_log = structlog.get_logger(__name__)


class RemoteKeys:
    """A `KeySource` over `t2m.auth.v1.TokenService/GetJwks`.

    Asked for an unknown key it fetches, at most every `min_interval_s` seconds, so that forged key ids cannot
    make it hammer auth. Keys older than `max_age_s` seconds are fetched again beside the calls, which learns
    of withdrawn ones; if that fails the known keys stay in use.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        min_interval_s: float = 3.0,
        max_age_s: float = 300.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stub = token_service_pb2_grpc.TokenServiceStub(channel)
        self._keys: dict[str, Key] = {}
        self.withdrawn: frozenset[str] = frozenset()
        """Keys of which auth has said that whatever they have signed is void."""
        self._min_interval_s = min_interval_s
        self._max_age_s = max_age_s
        self._monotonic = monotonic
        self._asked_at = float("-inf")
        self._learnt_at = float("-inf")
        self._lock = asyncio.Lock()
        self._refreshing: asyncio.Task[None] | None = None

    def find(self, kid: str) -> Key | None:
        """The key, if it has been learnt; starts a fetch in the background when the keys are old."""
        key = self._keys.get(kid)
        old = self._monotonic() - self._learnt_at > self._max_age_s and self._may_ask()
        if key is not None and old and (self._refreshing is None or self._refreshing.done()):
            self._refreshing = asyncio.get_running_loop().create_task(self.refresh())
        return key

    async def refresh(self) -> None:
        """Fetch the keys, unless that was tried a moment ago.

        Raises ServiceError (UNAVAILABLE) when there are no keys yet and auth does not answer.
        """
        async with self._lock:
            if self._may_ask():
                self._asked_at = self._monotonic()
                await self._fetch()
        if not self._keys:
            raise unavailable("the keys that tokens are checked with are not known yet")

    def learn(self, document: str) -> None:
        """Take these keys, of which auth has told by itself; a document that cannot be read changes nothing."""
        try:
            self._replace(parse_jwks(document))
            self.withdrawn = frozenset(map(str, json.loads(document).get("withdrawn", ())))
        except (ValueError, TypeError) as exc:
            _log.warning("keys not understood, serving the known ones", known=len(self._keys), reason=str(exc))

    def _may_ask(self) -> bool:
        return self._monotonic() - self._asked_at >= self._min_interval_s

    async def _fetch(self) -> None:
        try:
            answer = await self._stub.GetJwks(token_service_pb2.GetJwksRequest(), timeout=5.0)
            fresh = parse_jwks(answer.jwks_json)
        except (grpc.aio.AioRpcError, ValueError) as exc:
            reason = exc.code().name if isinstance(exc, grpc.aio.AioRpcError) else str(exc)
            _log.warning("keys not fetched, serving the known ones", known=len(self._keys), reason=reason)
            return
        self._replace(fresh)

    def _replace(self, fresh: Mapping[str, Key]) -> None:
        # A key that is still published keeps its object, by which verified tokens are remembered.
        self._keys = {
            kid: known if (known := self._keys.get(kid)) and known.as_dict() == key.as_dict() else key
            for kid, key in fresh.items()
        }
        self._learnt_at = self._monotonic()

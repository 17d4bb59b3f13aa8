"""Follows the erasures of accounts (A8): auth keeps the list, each service purges what it has and says so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import structlog

from services.runtime.errors import is_dependency_away
from t2m.auth.v1 import erasure_service_pb2, erasure_service_pb2_grpc

_log = structlog.get_logger(__name__)
_CALL_S = 10.0

Purge = Callable[[str], Awaitable[bool]]
"""Removes what the service keeps of a user, as far as that can be done now; whether nothing is left. It is called again
and again, also after a crash in the middle of it.
"""


class ErasureFollower:
    """The background task that purges.

    A service acknowledges an erasure when nothing is left, and not before a while after it has seen the erasure first:
    by then every service knows that the user's credentials have ended, so nothing new can come.
    """

    def __init__(self, auth: grpc.aio.Channel, purge: Purge, *, poll_s: float = 5.0, settle_s: float = 5.0) -> None:
        """`auth`: a channel with the service's own token. `poll_s` seconds between looks."""
        self._stub: Any = erasure_service_pb2_grpc.ErasureServiceStub(auth)
        self._purge = purge
        self._poll_s = poll_s
        self._settle_s = settle_s
        self._first_seen: dict[str, float] = {}

    async def run(self) -> None:
        """Follow until cancelled; while auth or a part of the service is away, try again later."""
        away = False
        while True:
            try:
                await self.look()
                away = False
            except Exception as error:
                if not (isinstance(error, grpc.aio.AioRpcError) or is_dependency_away(error)):
                    raise
                if not away:
                    reason = error.code().name if isinstance(error, grpc.aio.AioRpcError) else type(error).__name__
                    _log.warning("erasures wait", reason=reason)
                away = True
            await asyncio.sleep(self._poll_s)

    async def look(self) -> None:
        """One round over what auth lists. Raises AioRpcError when auth cannot be reached."""
        answer = await self._stub.ListErasures(erasure_service_pb2.ListErasuresRequest(), timeout=_CALL_S)
        now = asyncio.get_running_loop().time()
        known, self._first_seen = self._first_seen, {}
        for erasure in answer.erasures:
            first = self._first_seen[erasure.erasure_id] = known.get(erasure.erasure_id, now)
            try:
                clean = await self._purge(erasure.user_id)
            except Exception:  # whatever stands against one must not hold up the others
                _log.exception("not purged, trying again", erasure_id=erasure.erasure_id)
                continue
            if clean and erasure.may_acknowledge and now - first >= self._settle_s:
                request = erasure_service_pb2.AcknowledgeErasureRequest(erasure_id=erasure.erasure_id)
                await self._stub.AcknowledgeErasure(request, timeout=_CALL_S)
                _log.info("purged", erasure_id=erasure.erasure_id)

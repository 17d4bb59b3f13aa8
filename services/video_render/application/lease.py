"""Works under a lease: renews it while the work runs, and stops the work the moment the lease may be gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from services.video_render.application.ports import RenderStore, Shutdown
from services.video_render.domain.errors import LeaseLost

T = TypeVar("T")
_SAFETY_S = 2.0
"""Work is stopped this long before an unrenewed lease ends, so that two workers never hold a step."""
_RENEW_AGAIN_S = 1.0


class TimeLimitExceeded(Exception):
    """The work took longer than an attempt may."""


class HandedBack(Exception):
    """The worker must end: the work was stopped and its step can be given to another worker."""


@dataclass(frozen=True, slots=True)
class LeaseKeeper:
    """Runs work under leases. `heartbeat_s` is the time between renewals, `limit_s` the longest an attempt may take."""

    store: RenderStore
    shutdown: Shutdown
    lease: timedelta
    heartbeat_s: float
    limit_s: float
    monotonic: Callable[[], float] = time.monotonic

    async def hold(self, step_id: str, fence: int, claimed_at: float, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which is cancelled when it may not go on.

        `claimed_at` is the monotonic time just before the claim. Raises `LeaseLost`, `HandedBack`,
        `TimeLimitExceeded`, and whatever the work raises.
        """
        working = asyncio.ensure_future(self._limited(work))
        renewing = asyncio.ensure_future(self._renew(step_id, fence, claimed_at))
        stopping = asyncio.ensure_future(self.shutdown.wait())
        tasks: tuple[asyncio.Future[Any], ...] = (working, renewing, stopping)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            if renewing.done():
                renewing.result()
                raise LeaseLost(step_id, fence)
            raise HandedBack(step_id)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _limited(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            async with asyncio.timeout(self.limit_s) as limit:
                return await work
        except TimeoutError as exc:
            if limit.expired():
                raise TimeLimitExceeded(f"took longer than {self.limit_s:g} s") from exc
            raise

    async def _renew(self, step_id: str, fence: int, renewed_at: float) -> None:
        """Return when the lease is lost, or when it could not be renewed for almost as long as it lasts."""
        patience = self.lease.total_seconds() - _SAFETY_S
        pause = self.heartbeat_s
        while True:
            await asyncio.sleep(pause)
            asked_at = self.monotonic()
            left = renewed_at + patience - asked_at
            if left <= 0:
                return
            try:
                async with asyncio.timeout(left):
                    if not await self.store.renew(step_id, fence, self.lease):
                        return
            except Exception:  # the store is away: whoever it was, only the time left matters
                pause = _RENEW_AGAIN_S
            else:
                renewed_at, pause = asked_at, self.heartbeat_s

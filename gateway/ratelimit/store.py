"""Where budgets are counted: `limits` over Redis behind a circuit breaker, or in the memory of this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

import structlog
from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.storage.base import Storage
from limits.aio.strategies import MovingWindowRateLimiter, RateLimiter, SlidingWindowCounterRateLimiter
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.metrics import RATE_LIMIT_STORE_UP
from gateway.ratelimit.config import Budget

log = structlog.get_logger("gateway.ratelimit")

P = ParamSpec("P")
T = TypeVar("T")

_KEY_PREFIX = "t2m:limits"
_CONNECTIONS = 16
_PROBE_EVERY_S = 0.5
_STALLED = 1.5
_PROBE_ITEM = RateLimitItemPerSecond(1000)


class StoreAwayError(Exception):
    """The counters cannot be had at the moment."""


class LimitStore:
    """Counters of budgets. `state` says whether they can be had: `serving`, `unreachable`; `unused` without Redis."""

    state = "unused"

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._moving = MovingWindowRateLimiter(storage)
        self._sliding = SlidingWindowCounterRateLimiter(storage)

    async def take(self, budget: Budget, subject: str, cost: int) -> bool:
        """Whether `cost` calls were left, which then are taken; nothing is taken otherwise. Raises StoreAwayError."""
        strategy = self._strategy(budget)
        return await self._ask(strategy.hit, budget.item, budget.scope, budget.rate_class, subject, cost=cost)

    async def standing(self, budget: Budget, subject: str) -> tuple[int, float]:
        """Calls that are left, and the seconds until there are more. Raises StoreAwayError."""
        strategy = self._strategy(budget)
        stats = await self._ask(strategy.get_window_stats, budget.item, budget.scope, budget.rate_class, subject)
        return stats.remaining, max(0.0, stats.reset_time - time.time())

    async def close(self) -> None:
        """Nothing is taken any more."""

    def _strategy(self, budget: Budget) -> RateLimiter:
        return self._moving if budget.exact else self._sliding

    async def _ask(self, call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        return await call(*args, **kwargs)


def memory_store() -> LimitStore:
    """Counters of this process alone."""
    return LimitStore(MemoryStorage())


class RedisLimitStore(LimitStore):
    """Counters that all gateways share.

    The first call that Redis fails, or does not answer within `timeout_s`, opens the circuit: from then on every call
    is refused at once, and one probe at a time finds out when Redis takes writes again.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            # A connection that a restarted server has forgotten is made anew once; all else is the circuit's.
            retry=Retry(NoBackoff(), 1),
        )
        pool: Any = self._pool  # Options go to redis-py as they are, whatever their type says.
        super().__init__(
            RedisStorage(f"async+{url}", implementation="redispy", key_prefix=_KEY_PREFIX, connection_pool=pool)
        )
        self._timeout_s = timeout_s
        self.state = "serving"
        self._probe: asyncio.Task[None] | None = None
        RATE_LIMIT_STORE_UP.set(1)

    async def close(self) -> None:
        """Close the connections."""
        if self._probe is not None:
            self._probe.cancel()
        await self._pool.aclose()

    async def _ask(self, call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._probe is not None:
            raise StoreAwayError
        began = time.monotonic()
        try:
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await call(*args, **kwargs)
            except TimeoutError:
                if time.monotonic() - began < _STALLED * self._timeout_s:
                    raise
            # So late that this process was held up, not Redis: its answer may have been here all the time.
            async with asyncio.timeout(self._timeout_s):
                return await call(*args, **kwargs)
        except (RedisError, OSError, TimeoutError) as error:
            self._open_circuit(error)
            raise StoreAwayError from error

    def _open_circuit(self, error: Exception) -> None:
        if self._probe is None:
            RATE_LIMIT_STORE_UP.set(0)
            self.state = "unreachable"
            # The type only: messages of redis-py can hold the address with the password.
            log.warning("ratelimit.redis_away", error=type(error).__name__)
            self._probe = asyncio.create_task(self._until_back(), name="gateway-ratelimit-probe")

    async def _until_back(self) -> None:
        """Probe by a real hit, so that a server that only reads, or is full, does not count as back."""
        started = time.monotonic()
        while True:
            await asyncio.sleep(_PROBE_EVERY_S)
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._sliding.hit(_PROBE_ITEM, "probe")
                    # What was idle through the outage is as dead as what was in use.
                    await self._pool.disconnect(inuse_connections=False)
                break
            except (RedisError, OSError, TimeoutError):
                continue
        self._probe = None
        self.state = "serving"
        RATE_LIMIT_STORE_UP.set(1)
        log.info("ratelimit.redis_back", away_s=round(time.monotonic() - started, 1))

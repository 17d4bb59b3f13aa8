"""Concurrent calls that share one operation: a transaction with its commit (group commit), or an rpc.

What an operation costs by itself (round trips, the commit, the call) is then paid once for all who came while the
operation before it was under way. Who comes alone is served alone, at once; when many come, a group may linger for a
moment, which makes it larger and everything cheaper.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.runtime.errors import unavailable

T = TypeVar("T")
R = TypeVar("R")

_MOST = 64
_WAITING = 4096
_CROWD = 3
"""So many that come together are a sign of more …"""
_RECENT_S = 1.0
"""… for so long."""


def _never(_: Exception) -> bool:
    return False


@dataclass(slots=True)
class _Waiter(Generic[T, R]):
    item: T
    outcome: asyncio.Future[R]
    context: Context
    """Of the caller: what it alone asks for is done in its name."""


class Grouped(Generic[T, R]):
    """Serves items in groups, in the order in which they came, one group at a time."""

    def __init__(
        self,
        together: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]],
        *,
        apart: Callable[[Exception], bool] = _never,
        most: int = _MOST,
        waiting: int = _WAITING,
        linger_s: float = 0.0,
    ) -> None:
        """`together` serves a group and gives an outcome for each item: a result, or an exception to be raised.

        When it raises itself, everybody in the group gets that. But if `apart` says of the exception that nothing was
        done and that it may be the fault of one, then each is served alone, so that no one fails for another.
        `most`: items in a group. `waiting`: items that wait for their group; one more is refused. `linger_s`: how long
        a group waits for more, at a time when several come at once.
        """
        self._together = together
        self._apart = apart
        self._most = most
        self._limit = waiting
        self._linger_s = linger_s
        self._last = 0
        self._last_at = 0.0
        self._waiting: deque[_Waiter[T, R]] = deque()
        self._group: asyncio.Task[None] | None = None

    async def do(self, item: T) -> R:
        """The outcome of the item.

        Cancelled before its group is under way, it is not served; later, it is, and nobody hears of it. Raises what
        `together` raised or gave for it; ServiceError (UNAVAILABLE) when too many wait.
        """
        if len(self._waiting) >= self._limit:
            raise unavailable("too many calls wait for their turn")
        waiter: _Waiter[T, R] = _Waiter(item, asyncio.get_running_loop().create_future(), copy_context())
        self._waiting.append(waiter)
        if self._group is None:
            self._begin()
        return await waiter.outcome

    async def close(self) -> None:
        """Return when nobody waits any more."""
        while self._group is not None:
            await asyncio.wait({self._group})

    def _begin(self) -> None:
        """Its first step comes with the loop's next turn: who arrives until then goes with it."""
        self._group = asyncio.get_running_loop().create_task(self._serve(), context=Context())
        self._group.add_done_callback(self._go_on)

    def _go_on(self, done: asyncio.Task[None]) -> None:
        self._group = None
        if done.cancelled():  # the loop ends
            for waiter in self._waiting:
                waiter.outcome.cancel()
            self._waiting.clear()
        elif self._waiting:
            self._begin()

    def _take(self) -> list[_Waiter[T, R]]:
        group: list[_Waiter[T, R]] = []
        while self._waiting and len(group) < self._most:
            waiter = self._waiting.popleft()
            if not waiter.outcome.done():
                group.append(waiter)
        return group

    async def _serve(self) -> None:
        if self._linger_s and self._crowded():
            await asyncio.sleep(self._linger_s)
        group = self._take()
        self._last, self._last_at = len(group), asyncio.get_running_loop().time()
        try:
            if len(group) == 1:
                await self._alone(group[0])
            elif group:
                await self._all(group)
        finally:
            for waiter in group:
                waiter.outcome.cancel()  # without effect on those that have their outcome

    def _crowded(self) -> bool:
        recent = asyncio.get_running_loop().time() - self._last_at < _RECENT_S
        return max(self._last if recent else 0, len(self._waiting)) >= _CROWD

    async def _all(self, group: Sequence[_Waiter[T, R]]) -> None:
        try:
            outcomes = await self._together([waiter.item for waiter in group])
        except Exception as error:
            if not self._apart(error):
                for waiter in group:
                    _settle(waiter.outcome, error)
                return
        else:
            for waiter, outcome in zip(group, outcomes, strict=True):
                _settle(waiter.outcome, outcome)
            return
        for waiter in group:
            if not waiter.outcome.done():
                await self._alone(waiter)

    async def _alone(self, waiter: _Waiter[T, R]) -> None:
        served = asyncio.get_running_loop().create_task(self._one(waiter.item), context=waiter.context)
        _settle(waiter.outcome, await served)

    async def _one(self, item: T) -> R | Exception:
        try:
            [outcome] = await self._together([item])
        except Exception as error:
            return error
        return outcome


def _settle(future: asyncio.Future[R], outcome: R | Exception) -> None:
    if future.done():  # nobody waits for it any more
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)

"""Finds out that a server has gone without a word, while calls wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

KEEPALIVE_S = 30.0
"""After so long without a byte from the server it is asked."""
ANSWER_S = 10.0
"""When it then says nothing for so long, it is gone."""


class Keepalive:
    """Watches a connection from the first call on until there is none. `heard` is set by whoever reads."""

    __slots__ = ("_loop", "_ping", "_silent", "_timer", "heard")

    def __init__(self, loop: asyncio.AbstractEventLoop, ping: Callable[[], bool], silent: Callable[[], None]) -> None:
        """`ping` sends one, and is False when there is no need to; `silent` is told once that nothing came."""
        self._loop = loop
        self._ping = ping
        self._silent = silent
        self._timer: asyncio.TimerHandle | None = None
        self.heard = False

    def watch(self) -> None:
        """There is a call."""
        if self._timer is None:
            self._timer = self._loop.call_later(KEEPALIVE_S, self._look)

    def stop(self) -> None:
        """There is no connection any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self.heard:
            self.heard = False
            self.watch()
        elif self._ping():
            self._timer = self._loop.call_later(ANSWER_S, self._judge)

    def _judge(self) -> None:
        self._timer = None
        if self.heard:
            self.watch()
        else:
            self._silent()

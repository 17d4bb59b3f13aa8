"""Waking background loops: by an event of this process, by NOTIFY from another, or by the clock as a
backstop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import asyncpg
import structlog

from services.runtime.db import asyncpg_dsn

_log = structlog.get_logger(__name__)


class Wake:
    """A flag that one loop waits for; set while the loop is busy, it makes the next wait return at once."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Wake the loop."""
        self._event.set()

    async def wait(self, timeout_s: float) -> bool:
        """Wait until woken (True) or until the time is over (False), then reset."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        woken = self._event.is_set()
        self._event.clear()
        return woken


class PgListener:
    """One connection that LISTENs for all loops of a process; run it as a background task.

    A notification that is lost while the connection is down costs nothing but time: after every connect all
    callbacks are called once, and the loops sweep anyway.
    """

    def __init__(self, url: str, callbacks: Mapping[str, Callable[[], None]], *, reconnect_s: float = 1.0) -> None:
        self._dsn = asyncpg_dsn(url)
        self._callbacks = callbacks
        self._reconnect_s = reconnect_s

    async def run(self) -> None:
        """Listen until cancelled, over any number of connections."""
        while True:
            try:
                await self._listen()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
                _log.warning("not listening", error=f"{type(exc).__name__}: {exc}")
            await asyncio.sleep(self._reconnect_s)

    async def _listen(self) -> None:
        closed = asyncio.Event()
        connection = await asyncpg.connect(self._dsn, timeout=5.0)
        try:
            connection.add_termination_listener(lambda _: closed.set())
            for channel, callback in self._callbacks.items():
                await connection.add_listener(channel, _listener(callback))
                callback()
            await closed.wait()
        finally:
            connection.terminate()


def _listener(callback: Callable[[], None]) -> Callable[..., None]:
    def on_notify(*_: Any) -> None:
        callback()

    return on_notify

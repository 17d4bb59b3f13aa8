"""Copies committed events to Redis streams: `XADD <prefix><stream id> <seq>-0`.

Redis refuses a number that is not greater than the stream's last, so relaying twice, or by two processes at
once, does no harm: a refusal is a success. Whatever Redis loses, readers take from Postgres. So an event may also be
relayed from memory, as soon as its commit is known, and be marked in the log a little later.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from services.runtime.errors import is_dependency_away
from services.runtime.eventlog import Unrelayed
from services.runtime.wake import Wake

PAYLOAD_FIELD = b"d"
_MOST_OFFERED = 10_000
_MARK_AFTER_S = 0.1

_log = structlog.get_logger(__name__)


class Relay:
    """The background task that relays. `wake` it after a commit; a sweep finds what nobody announced."""

    def __init__(
        self,
        fetch_unrelayed: Callable[[int], Awaitable[Sequence[Unrelayed]]],
        mark_relayed: Callable[[Sequence[tuple[str, int]]], Awaitable[None]],
        redis: Redis,
        *,
        prefix: str,
        keep: int = 1000,
        keep_s: float = 3600.0,
        batch: int = 500,
        sweep_s: float = 1.0,
    ) -> None:
        """`keep` events per stream (about), for `keep_s` seconds after the last; `sweep_s` seconds between
        sweeps.
        """
        self._fetch = fetch_unrelayed
        self._mark = mark_relayed
        self._redis = redis
        self._prefix = prefix
        self._keep = keep
        self._keep_ms = int(keep_s * 1000)
        self._batch = batch
        self._sweep_s = sweep_s
        self._wake = Wake()
        self._offered: deque[Unrelayed] = deque()
        self._sent: list[tuple[str, int]] = []
        self._look = True

    def wake(self) -> None:
        """There are new events in the log."""
        self._look = True
        self._wake.set()

    def offer(self, events: Sequence[Unrelayed]) -> None:
        """These were just committed by this process: relay them without reading them from the log.

        What is offered while Redis is away, or faster than it takes events, is found by the sweep.
        """
        if len(self._offered) < _MOST_OFFERED:
            self._offered.extend(events)
        else:
            self._look = True
        self._wake.set()

    async def run(self) -> None:
        """Relay until cancelled. While Redis or Postgres is away it tries again at every sweep."""
        away = False
        sweep_at = 0.0
        while True:
            try:
                await self._send_offered()
                if self._look or time.monotonic() >= sweep_at:
                    self._look = False
                    await self._mark_sent()
                    while await self.relay_once():
                        pass
                    sweep_at = time.monotonic() + self._sweep_s
                if away:
                    _log.info("relaying again", prefix=self._prefix)
                away = False
            except Exception as exc:
                if not (isinstance(exc, RedisError) or is_dependency_away(exc)):
                    raise
                if not away:
                    _log.warning("not relaying", prefix=self._prefix, error=f"{type(exc).__name__}: {exc}")
                away, self._look = True, True
                self._offered.clear()
                self._sent.clear()
                await asyncio.sleep(self._sweep_s)
            # What was sent is marked when nothing comes for a moment, or with the sweep: one statement for many.
            if not await self._wake.wait(_MARK_AFTER_S if self._sent else self._sweep_s) and self._sent:
                self._look = True

    async def _send_offered(self) -> None:
        """Relay what was offered, until nothing is left. Raises RedisError."""
        while self._offered:
            events = [self._offered.popleft() for _ in range(min(len(self._offered), self._batch))]
            await self._send(events)
            self._sent += [(event.stream_id, event.seq) for event in events]
            if len(self._sent) >= self._batch:
                await self._mark_sent()

    async def _mark_sent(self) -> None:
        sent, self._sent = self._sent, []
        if sent:
            await self._mark(sent)

    async def relay_once(self) -> bool:
        """Relay one batch of the log; whether there may be more.

        Raises RedisError when Redis did not take it; the events then stay unrelayed.
        """
        events = await self._fetch(self._batch)
        if not events:
            return False
        await self._send(events)
        await self._mark([(event.stream_id, event.seq) for event in events])
        return len(events) == self._batch

    async def _send(self, events: Sequence[Unrelayed]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for stream_id, seq, payload in events:
            pipeline.xadd(self._prefix + stream_id, {PAYLOAD_FIELD: payload}, id=f"{seq}-0", maxlen=self._keep)
        for stream_id in {event.stream_id for event in events}:
            pipeline.pexpire(self._prefix + stream_id, self._keep_ms)
        for answer in await pipeline.execute(raise_on_error=False):
            _raise_unless_repeat(answer)


def _raise_unless_repeat(answer: Any) -> None:
    if not isinstance(answer, Exception):
        return
    if isinstance(answer, ResponseError) and "equal or smaller" in str(answer):
        return
    raise answer

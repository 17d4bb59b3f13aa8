"""Follows many event streams over one Redis connection, with Postgres behind it.

Redis is only the fast path. Every number is passed on once and in order; whenever Redis has a gap, was
flushed, or is away, the events come from Postgres. Four things send the reader there: a number that is not
the next one; a lost connection; a marker key that has vanished (a flush); and, as a backstop, a long silence.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing, suppress

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.runtime.background import end_tasks
from services.runtime.eventlog import Event
from services.runtime.identity import current_call
from services.runtime.redisreader import LINGER_S, StreamConnection
from services.runtime.subscription import END, Subscription, Watch, position_expired
from services.runtime.wake import Wake

__all__ = ["Event", "EventReader"]

PAGE = 500
_LOADS_AT_ONCE = 8
_log = structlog.get_logger(__name__)


class EventReader:
    """The event streams of one process. `run` it as a background task with `outlives_calls=True`."""

    def __init__(
        self,
        redis: Redis,
        load: Callable[[str, int, int], Awaitable[Sequence[Event]]],
        *,
        prefix: str,
        queue_limit: int = 256,
        poll_s: float = 1.0,
        recheck_s: float = 15.0,
    ) -> None:
        """`load(stream_id, after_seq, limit)` reads the log; `redis` must not decode responses.

        `queue_limit`: events that a reader may leave unread. `poll_s`: seconds between looks into Postgres
        while Redis is away; `recheck_s`: the same for a silent stream while Redis is there.
        """
        self._connection = StreamConnection(redis)
        self._load = load
        self._prefix = prefix
        self._queue_limit = queue_limit
        self._poll_s = poll_s
        self._recheck_s = recheck_s
        self._watches: dict[str, Watch] = {}
        self._by_key: dict[bytes, Watch] = {}
        self._stale = Wake()
        self._changed = Wake()
        self._connected = False
        self._ending = False
        self._loads = asyncio.Semaphore(_LOADS_AT_ONCE)
        self._pages: dict[tuple[str, int], asyncio.Future[Sequence[Event]]] = {}

    async def follow(self, stream_id: str, after_seq: int) -> AsyncIterator[Event]:
        """Every event after the position, in order, as it happens; ends when the server drains.

        Raises ServiceError: ABORTED (READER_TOO_SLOW) when too much was left unread, OUT_OF_RANGE
        (POSITION_EXPIRED) when events after the position are no longer kept.
        """
        async with aclosing(self.follow_with_heartbeat(stream_id, after_seq, None)) as events:
            async for event in events:
                if event is not None:
                    yield event

    async def follow_with_heartbeat(
        self, stream_id: str, after_seq: int, every_s: float | None
    ) -> AsyncGenerator[Event | None, None]:
        """As `follow`, with a None whenever there was no event for `every_s` seconds."""
        position = after_seq
        async for event in self._stored(stream_id, position, None):
            position = event.seq
            yield event
        # No await between the end of the log and joining: what is committed from here on comes to the watch.
        subscription, watch = self._join(stream_id, position)
        try:
            if watch.head > position:
                async for event in self._stored(stream_id, position, watch.head):
                    position = event.seq
                    yield event
            while (item := await subscription.next(every_s)) is not END:
                if item is None:
                    yield None
                elif item.seq > position:
                    position = item.seq
                    yield item
        finally:
            self._leave(subscription, watch)

    async def _stored(self, stream_id: str, after_seq: int, until: int | None) -> AsyncIterator[Event]:
        """Events from Postgres: up to `until`, or all there are."""
        position = after_seq
        while until is None or position < until:
            read = self._shared_page if until is None else self._page
            page = await read(stream_id, position)
            for event in page:
                if event.seq != position + 1:
                    raise position_expired(event.seq)
                position = event.seq
                yield event
            if len(page) < PAGE:
                return

    async def _page(self, stream_id: str, after_seq: int) -> Sequence[Event]:
        """Bounded, so that thousands of readers that come back together do not use up the database's
        connections.
        """
        async with self._loads:
            return await self._load(stream_id, after_seq, PAGE)

    async def _shared_page(self, stream_id: str, after_seq: int) -> Sequence[Event]:
        """One query for all readers that want the same page now. It may have begun a moment ago: joining
        makes up.
        """
        wanted = (stream_id, after_seq)
        running = self._pages.get(wanted)
        if running is None:
            running = self._pages[wanted] = asyncio.ensure_future(self._page(stream_id, after_seq))
            running.add_done_callback(lambda _: self._pages.pop(wanted, None))
        return await asyncio.shield(running)

    def _join(self, stream_id: str, position: int) -> tuple[Subscription, Watch]:
        watch = self._watches.get(stream_id)
        if watch is None:
            key = self._prefix + stream_id
            watch = Watch(stream_id, key, position, time.monotonic())
            self._watches[stream_id] = self._by_key[key.encode()] = watch
            self._change()
        subscription = Subscription(self._queue_limit)
        watch.subscriptions.add(subscription)
        if self._ending:
            subscription.end()
        return subscription, watch

    def _leave(self, subscription: Subscription, watch: Watch) -> None:
        watch.subscriptions.discard(subscription)
        if not watch.subscriptions and self._watches.get(watch.stream_id) is watch:
            del self._watches[watch.stream_id]
            del self._by_key[watch.key.encode()]

    def _change(self) -> None:
        """The set of streams to be read has grown: the blocked read must be issued anew."""
        self._changed.set()
        self._connection.interrupt()

    async def run(self) -> None:
        """Read until cancelled; the readers' streams end when the server drains, at the latest when this
        ends.
        """
        self._ending = False
        call = current_call()
        tasks = [asyncio.ensure_future(part) for part in (self._read_forever(), self._fill_forever())]
        if call is not None:
            tasks.append(asyncio.ensure_future(self._end_on(call.drain)))
        try:
            done, _ = await asyncio.wait(tasks[:2], return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            await end_tasks(tasks)
            self._end_all()
            with suppress(RedisError, OSError):
                await self._connection.close()

    async def _end_on(self, drain: asyncio.Event) -> None:
        await drain.wait()
        self._end_all()

    def _end_all(self) -> None:
        self._ending = True
        for watch in self._watches.values():
            watch.end()

    async def _read_forever(self) -> None:
        while True:
            try:
                await self._connection.open()
                self._connected = True
                self._make_stale(self._watches.values())
                await self._read_while_connected()
            except (RedisError, OSError, TimeoutError) as exc:
                if self._connected:
                    _log.warning("Redis away, following in Postgres", error=f"{type(exc).__name__}: {exc}")
                self._connected = False
                with suppress(RedisError, OSError):
                    await self._connection.close()
                await asyncio.sleep(self._poll_s)

    async def _read_while_connected(self) -> None:
        while True:
            positions = {watch.key: watch.head for watch in self._watches.values() if not watch.stale}
            if not positions:
                await self._changed.wait(self._poll_s)
                continue
            marked, streams = await self._connection.read(positions)
            if not marked:
                _log.warning("Redis was flushed, checking against Postgres")
                self._make_stale(self._watches.values())
            self._dispatch(streams)
            if streams:
                await asyncio.sleep(LINGER_S)

    def _dispatch(self, streams: Iterable[tuple[bytes, list[Event]]]) -> None:
        now = time.monotonic()
        for key, events in streams:
            watch = self._by_key.get(key)
            if watch is None:
                continue
            watch.checked_at = now
            if not all(watch.offer(event) for event in events):
                self._make_stale((watch,))

    def _make_stale(self, watches: Iterable[Watch]) -> None:
        for watch in watches:
            watch.stale = True
        self._stale.set()

    async def _fill_forever(self) -> None:
        while True:
            await self._stale.wait(self._poll_s)
            limit = time.monotonic() - (self._recheck_s if self._connected else self._poll_s)
            due = [watch for watch in self._watches.values() if watch.stale or watch.checked_at <= limit]
            results = await asyncio.gather(*(self._fill(watch) for watch in due), return_exceptions=True)
            failed = [result for result in results if isinstance(result, Exception)]
            if failed:
                _log.warning("log not read", error=f"{type(failed[0]).__name__}: {failed[0]}", streams=len(failed))
                await asyncio.sleep(self._poll_s)
            if due:
                self._change()

    async def _fill(self, watch: Watch) -> None:
        """Pass on what Postgres has after the watch's position; on failure the watch stays stale."""
        full = True
        while full:
            page = await self._page(watch.stream_id, watch.head)
            full = len(page) == PAGE
            for event in page:
                if not watch.offer(event):
                    watch.fail(position_expired(event.seq))
                    return
        watch.stale = False
        watch.checked_at = time.monotonic()

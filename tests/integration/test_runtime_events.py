"""Event log, relay and readers on a real Postgres and Redis: every number once, in order (J7, O4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.local.redis import EmbeddedRedis
from services.runtime.background import end_tasks
from services.runtime.db import create_engine
from services.runtime.errors import ServiceError
from services.runtime.eventlog import Event, EventStore, Unrelayed, event_table
from services.runtime.eventreader import EventReader
from services.runtime.identity import CallContext, bind_call
from services.runtime.relay import Relay
from services.runtime.wake import PgListener

METADATA = sa.MetaData()
TABLE = event_table(METADATA)
CHANNEL = "probe_events"


@dataclass
class Log:
    """A log with its relay and reader running; `loads` counts reads of Postgres by stream."""

    engine: AsyncEngine
    redis: Redis
    store: EventStore
    relay: Relay
    reader: EventReader
    loads: list[str]

    async def write(self, stream: str, first: int, last: int) -> None:
        """Commit the events `first` … `last`."""
        async with self.engine.begin() as connection:
            events = [Event(seq, str(seq).encode()) for seq in range(first, last + 1)]
            await self.store.append(connection, stream, events)
        self.relay.wake()

    async def relayed(self) -> None:
        """Wait until everything has been relayed."""
        async with asyncio.timeout(10):
            while await self.store.fetch_unrelayed(1):  # noqa: ASYNC110 - the database has no event for it
                await asyncio.sleep(0.01)

    async def take(self, stream: str, after: int, until: int) -> list[int]:
        """The numbers that a reader sees, up to and with `until`."""
        seen: list[int] = []
        async with asyncio.timeout(15):
            async for event in self.reader.follow(stream, after):
                assert event.payload == str(event.seq).encode()
                seen.append(event.seq)
                if event.seq == until:
                    break
        return seen


@asynccontextmanager
async def log_on(postgres_url: str, redis_url: str, **options: float) -> AsyncIterator[Log]:
    engine = create_engine(postgres_url)
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    redis = Redis.from_url(redis_url)
    store = EventStore(engine, TABLE)
    loads: list[str] = []

    async def load(stream_id: str, after_seq: int, limit: int) -> list[Event]:
        loads.append(stream_id)
        return list(await store.load(stream_id, after_seq, limit))

    relay = Relay(store.fetch_unrelayed, store.mark_relayed, redis, prefix="probe:", sweep_s=0.1)
    reader = EventReader(redis, load, prefix="probe:", poll_s=0.1, **options)  # type: ignore[arg-type]
    tasks = [asyncio.create_task(relay.run()), asyncio.create_task(reader.run())]
    try:
        yield Log(engine, redis, store, relay, reader, loads)
    finally:
        await end_tasks(tasks)
        await redis.aclose()
        await engine.dispose()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Redis that a test may flush and kill."""
    server = EmbeddedRedis(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def log(postgres: Callable[[], str], own_redis: EmbeddedRedis) -> AsyncIterator[Log]:
    async with log_on(postgres(), own_redis.url) as started:
        yield started


def numbers(first: int, last: int) -> list[int]:
    return list(range(first, last + 1))


async def test_from_the_beginning_and_live(log: Log) -> None:
    await log.write("a", 1, 5)
    reader = asyncio.create_task(log.take("a", 0, 20))
    for seq in range(6, 21):
        await log.write("a", seq, seq)
    assert await reader == numbers(1, 20)


async def test_live_events_come_over_redis_not_postgres(log: Log) -> None:
    await log.write("a", 1, 1)
    await log.relayed()
    stream = log.reader.follow("a", 0)
    assert (await anext(stream)).seq == 1
    upcoming = asyncio.ensure_future(anext(stream))
    await _until(lambda: "a" in log.reader._watches and not log.reader._watches["a"].stale)
    before = len(log.loads)
    await log.write("a", 2, 2)
    assert (await upcoming).seq == 2
    assert len(log.loads) == before


async def test_positions_older_than_redis_come_from_postgres(log: Log) -> None:
    await log.write("a", 1, 1200)
    await log.relayed()
    await log.redis.xtrim("probe:a", maxlen=10, approximate=False)
    assert await log.take("a", 3, 1200) == numbers(4, 1200)


async def test_many_readers_at_different_positions(log: Log) -> None:
    await log.write("a", 1, 50)
    readers = [asyncio.create_task(log.take("a", after, 100)) for after in (0, 10, 49, 50)]
    for seq in range(51, 101):
        await log.write("a", seq, seq)
    results = await asyncio.gather(*readers)
    assert results == [numbers(after + 1, 100) for after in (0, 10, 49, 50)]


async def test_many_readers_that_come_together_share_a_query(log: Log) -> None:
    await log.write("a", 1, 20)
    results = await asyncio.gather(*(log.take("a", 0, 20) for _ in range(300)))
    assert results == [numbers(1, 20)] * 300
    assert len(log.loads) < 30


async def test_offered_events_are_relayed_without_being_read_and_marked_later(log: Log) -> None:
    """P3: what this process has committed needs no way through Postgres; the log learns of it soon."""
    reader = asyncio.create_task(log.take("a", 0, 30))
    for seq in range(1, 31):
        async with log.engine.begin() as connection:
            await log.store.append(connection, "a", [Event(seq, b"%d" % seq)])
        log.relay.offer([Unrelayed("a", seq, b"%d" % seq)])
    assert await reader == numbers(1, 30)
    await log.relayed()
    log.relay.offer([Unrelayed("b", 1, b"never stored")])
    async with asyncio.timeout(10):
        while not await log.redis.xlen("probe:b"):
            pass


async def test_what_is_offered_while_redis_is_away_comes_from_the_log(log: Log, own_redis: EmbeddedRedis) -> None:
    """O4: it is unrelayed there, and the sweep finds it."""
    await log.write("a", 1, 1)
    await log.relayed()
    own_redis.kill()
    for seq in (2, 3):
        async with log.engine.begin() as connection:
            await log.store.append(connection, "a", [Event(seq, b"%d" % seq)])
        log.relay.offer([Unrelayed("a", seq, b"%d" % seq)])
    own_redis.start()
    await log.relayed()
    assert await log.take("a", 0, 3) == numbers(1, 3)


async def test_relaying_twice_does_no_harm(log: Log) -> None:
    await log.write("a", 1, 10)
    await log.relayed()
    async with log.engine.begin() as connection:
        await connection.execute(sa.update(TABLE).values(relayed=False))
    log.relay.wake()
    await log.relayed()
    await log.write("a", 11, 12)
    await log.relayed()
    assert await log.redis.xlen("probe:a") == 12
    assert await log.take("a", 0, 12) == numbers(1, 12)


async def test_a_flush_of_redis_loses_nothing(log: Log) -> None:
    """Also the last event, after which nothing would show the gap."""
    await log.write("a", 1, 3)
    reader = asyncio.create_task(log.take("a", 0, 9))
    await log.relayed()
    await _until(lambda: "a" in log.reader._watches)
    # Committed and marked as relayed, but not in Redis: what a flush right after the XADD leaves.
    async with log.engine.begin() as connection:
        await log.store.append(connection, "a", [Event(seq, str(seq).encode()) for seq in range(4, 10)])
        await connection.execute(sa.update(TABLE).values(relayed=True))
    await log.redis.flushall()
    assert await reader == numbers(1, 9)


async def test_a_gap_in_redis_is_filled(log: Log) -> None:
    await log.write("a", 1, 1)
    reader = asyncio.create_task(log.take("a", 0, 4))
    await _until(lambda: "a" in log.reader._watches)
    async with log.engine.begin() as connection:
        events = [Event(seq, str(seq).encode()) for seq in (2, 3)]
        await log.store.append(connection, "a", events)
        await connection.execute(sa.update(TABLE).values(relayed=True))
    await log.write("a", 4, 4)
    assert await reader == numbers(1, 4)


async def test_redis_killed_and_back(log: Log, own_redis: EmbeddedRedis) -> None:
    await log.write("a", 1, 2)
    reader = asyncio.create_task(log.take("a", 0, 8))
    await _until(lambda: "a" in log.reader._watches and log.reader._watches["a"].head == 2)
    await asyncio.to_thread(own_redis.kill)
    await log.write("a", 3, 5)
    await _until(lambda: log.reader._watches["a"].head == 5)
    await asyncio.to_thread(own_redis.start)
    await log.write("a", 6, 8)
    assert await reader == numbers(1, 8)
    await log.relayed()
    entries: Any = await log.redis.xrange("probe:a")
    assert [entry_id for entry_id, _ in entries][-3:] == [b"6-0", b"7-0", b"8-0"]


async def test_a_slow_reader_is_cut_off_and_resumes(postgres: Callable[[], str], redis_server: str) -> None:
    async with log_on(postgres(), redis_server, queue_limit=5) as log:
        stream = f"slow-{id(log)}"
        await log.write(stream, 1, 1)
        slow = log.reader.follow(stream, 0)
        assert (await anext(slow)).seq == 1
        waiting = asyncio.ensure_future(anext(slow))
        await _until(lambda: stream in log.reader._watches)
        await log.write(stream, 2, 2)
        assert (await waiting).seq == 2
        await log.write(stream, 3, 30)
        await _until(lambda: log.reader._watches[stream].head == 30)
        with pytest.raises(ServiceError, match="too slowly"):
            await anext(slow)
        assert await log.take(stream, 2, 30) == numbers(3, 30)


async def test_events_that_are_no_longer_kept(log: Log) -> None:
    await log.write("a", 1, 10)
    async with log.engine.begin() as connection:
        await connection.execute(sa.delete(TABLE).where(TABLE.c.seq < 6))
    with pytest.raises(ServiceError, match="no longer kept") as caught:
        await log.take("a", 2, 10)
    assert caught.value.metadata == {"oldest": "6"}
    assert await log.take("a", 5, 10) == numbers(6, 10)


async def test_heartbeats_between_events(log: Log) -> None:
    stream = log.reader.follow_with_heartbeat("quiet", 0, 0.05)
    async with asyncio.timeout(5):
        assert await anext(stream) is None
        assert await anext(stream) is None
        await log.write("quiet", 1, 1)
        event = await anext(stream)
        while event is None:
            event = await anext(stream)
    assert event.seq == 1
    await stream.aclose()
    assert not log.reader._watches


async def test_the_end_of_the_reader_ends_its_streams(postgres: Callable[[], str], redis_server: str) -> None:
    async with log_on(postgres(), redis_server) as log:
        stream = log.reader.follow("ending", 0)
        waiting = asyncio.ensure_future(anext(stream))
        await _until(lambda: "ending" in log.reader._watches)
    with pytest.raises(StopAsyncIteration):
        await waiting


async def test_a_draining_server_ends_the_streams_of_its_reader(postgres: Callable[[], str], redis_server: str) -> None:
    call = CallContext("background", "")
    bound = bind_call(call)
    try:
        async with log_on(postgres(), redis_server) as log, asyncio.timeout(5):
            stream = log.reader.follow("draining", 0)
            await log.write("draining", 1, 1)
            assert (await anext(stream)).seq == 1
            waiting = asyncio.ensure_future(anext(stream))
            await _until(lambda: "draining" in log.reader._watches)
            call.drain.set()
            with pytest.raises(StopAsyncIteration):
                await waiting
    finally:
        bound.var.reset(bound)


async def test_a_notification_wakes_the_relay_of_another_process(
    postgres: Callable[[], str], redis_server: str
) -> None:
    url = postgres()
    async with log_on(url, redis_server) as log:
        woken = asyncio.Event()
        listener = asyncio.create_task(PgListener(url, {CHANNEL: woken.set}).run())
        async with asyncio.timeout(5):
            await woken.wait()  # once when connected
            woken.clear()
            store = EventStore(log.engine, TABLE, notify_channel=CHANNEL)
            async with log.engine.begin() as connection:
                await store.append(connection, "n", [Event(1, b"1")])
            await woken.wait()
        listener.cancel()
        with suppress(asyncio.CancelledError):
            await listener


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the condition has no event of its own
            await asyncio.sleep(0.005)

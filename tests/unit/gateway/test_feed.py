"""Shared streams without a network: ring, cursors, slow readers, reconnects (J7)."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.protocol import State
from websockets.uri import parse_uri

from gateway.auth import Caller, Credential
from gateway.errors import ApiError
from gateway.feed import Ending, Feed, Subscription
from gateway.frames import SSE, Frame
from gateway.hub import Follower


class Line:
    """A connection that takes everything, or nothing while it is paused."""

    def __init__(self) -> None:
        self.paused = False
        self.answers = True
        self.aborted = False
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def beat(self) -> bool:
        return self.answers

    def abort(self) -> None:
        self.aborted = True


def subscription_of(user: str, line: Line) -> Subscription:
    """A subscription that is not attached yet. Its request is what asks."""
    caller = Caller(f"internal-{user}", user, Credential("api_key", user, user.encode()))
    task = asyncio.current_task()
    assert task is not None
    return Subscription(caller, line, SSE, task, 0)


def subscriber(feed: Feed, position: int, user: str = "alice", *, paused: bool = False) -> Subscription:
    """An attached subscription."""
    line = Line()
    line.paused = paused
    subscription = subscription_of(user, line)
    feed.attach(subscription, position)
    return subscription


def frame(seq: int) -> Frame:
    """An event."""
    return Frame(seq, "progress", b"{}")


def line_of(subscription: Subscription) -> Line:
    """Its connection."""
    assert isinstance(subscription.wire, Line)
    return subscription.wire


def seqs(subscription: Subscription) -> list[int]:
    """What has come since the last look."""
    line = line_of(subscription)
    written, line.written = line.written, b""
    return [int(found) for found in re.findall(rb"id: (\d+)\n", written)]


def pause(subscription: Subscription) -> None:
    """The client does not read."""
    line_of(subscription).paused = True


def resume(subscription: Subscription) -> None:
    """The client reads on."""
    line_of(subscription).paused = False
    subscription.resumed()


def test_J7_the_frame_of_an_event() -> None:
    """J7: id, event, data; an event without a position has no id."""
    assert Frame(7, "status", b'{"a":1}').sse == b'id: 7\nevent: status\ndata: {"a":1}\n\n'
    assert Frame(0, "", b"{}").sse == b"data: {}\n\n"
    assert Frame(7, "status", b'{"a":1}').ndjson == b'{"a":1}\n'
    assert Frame(7, "status", b'{"a":1}').message == b'{"seq":7,"event":"status","data":{"a":1}}'


@pytest.mark.parametrize("size", [0, 100, 125, 126, 5000, 65535, 65536])
def test_J7_each_form_goes_over_the_connection_whole(size: int) -> None:
    """J7: as a chunk, and as a frame that a client of another make reads."""
    one = Frame(1, "e", b'"%s"' % (b"x" * size))
    length, _, rest = one.sse_chunk.partition(b"\r\n")
    assert (int(length, 16), rest) == (len(one.sse), one.sse + b"\r\n")
    reader = ClientProtocol(parse_uri("ws://t/"), state=State.OPEN)
    reader.receive_data(one.message_frame * 2)
    assert [event.data for event in reader.events_received()] == [one.message, one.message]  # type: ignore[union-attr]


async def test_J7_who_is_behind_gets_the_rest_and_then_the_end() -> None:
    """J7: the feed has ended meanwhile; nothing of it is lost, and nobody who is level waits."""
    feed = Feed(b"key", 0, 200)
    behind, level = subscriber(feed, 0, paused=True), subscriber(feed, 0)
    for seq in range(1, 101):
        feed.publish(frame(seq))
    feed.end(Ending.COMPLETE)
    assert (behind.ending, level.ending) == (None, Ending.COMPLETE)
    resume(behind)
    assert (seqs(behind), behind.ending) == (list(range(1, 101)), Ending.COMPLETE)
    await asyncio.wait_for(behind.over(), 5)


async def test_J7_who_owes_a_sign_of_life_is_given_up() -> None:
    """J7: a WebSocket whose last ping was not answered; one that answers gets the next heartbeat."""
    feed = Feed(b"key", 0, 8)
    alive, dead = subscriber(feed, 0), subscriber(feed, 0)
    line_of(dead).answers = False
    for one in (alive, dead):
        one.beat(1.0)
    assert (line_of(alive).written, alive.ending) == (SSE.heartbeat, None)
    assert (line_of(dead).aborted, dead.ending) == (True, Ending.GONE)


async def test_J7_everybody_goes_on_from_where_they_are() -> None:
    """J7: behind the feed's start is not covered; ahead of it is, and waits."""
    feed = Feed(b"key", 10, 8)
    assert [feed.covers(position) for position in (9, 10, 11, 99)] == [False, True, True, True]
    for seq in (11, 12, 13):
        feed.publish(frame(seq))
    behind, level, ahead = subscriber(feed, 10), subscriber(feed, 13), subscriber(feed, 14)
    assert [seqs(one) for one in (behind, level, ahead)] == [[11, 12, 13], [], []]
    for seq in (14, 15):
        feed.publish(frame(seq))
    assert [seqs(one) for one in (behind, level, ahead)] == [[14, 15], [14, 15], [15]]


async def test_J7_repeats_after_a_reconnect_are_dropped() -> None:
    """J7: exactly once."""
    feed = Feed(b"key", 0, 8)
    one = subscriber(feed, 0)
    for seq in (1, 2, 1, 2, 3, 3):
        feed.publish(frame(seq))
    assert seqs(one) == [1, 2, 3]


async def test_J7_who_falls_out_of_the_ring_is_cut_off() -> None:
    """J7: alone; and the position it had is no longer covered."""
    feed = Feed(b"key", 0, 3)
    slow, fast = subscriber(feed, 0, paused=True), subscriber(feed, 0)
    for seq in range(1, 5):
        feed.publish(frame(seq))
        assert seqs(fast) == [seq]
    assert slow.ending is Ending.SLOW
    assert line_of(slow).aborted
    assert line_of(slow).written == b""
    assert feed.subscribers == {fast}
    assert not feed.covers(0)
    assert feed.covers(1)


@given(
    ring=st.integers(1, 5),
    script=st.lists(st.one_of(st.just("publish"), st.integers(0, 3)), max_size=60),
    positions=st.lists(st.integers(0, 12), min_size=4, max_size=4),
)
def test_J7_every_subscriber_sees_every_seq_once_or_is_cut(ring: int, script: list[Any], positions: list[int]) -> None:
    """J7: over any order of publishing, pausing and reading on, from any covered position."""

    async def play() -> None:
        feed = Feed(b"key", 0, ring)
        subscriptions: list[Subscription | None] = [None] * len(positions)
        last = 0
        for step in script:
            if step == "publish":
                last += 1
                feed.publish(frame(last))
            elif (one := subscriptions[step]) is None:
                if feed.covers(positions[step]):
                    subscriptions[step] = subscriber(feed, positions[step], paused=bool(last % 2))
            elif line_of(one).paused:
                resume(one)
            else:
                pause(one)
        for position, one in zip(positions, subscriptions, strict=True):
            if one is None:
                continue
            if one.ending is None:
                resume(one)
            got, expected = seqs(one), list(range(position + 1, last + 1))
            assert got == (expected if one.ending is None else expected[: len(got)])

    asyncio.run(play())


async def test_J7_the_only_reader_is_waited_for() -> None:
    """J7: its upstream feels its pace; a second reader ends the consideration."""
    feed = Feed(b"key", 0, 4)
    only = subscriber(feed, 0, paused=True)
    feed.publish(frame(1))
    await feed.room()
    feed.publish(frame(2))
    waiting = asyncio.create_task(feed.room())
    assert await asyncio.wait([waiting], timeout=0.01) == (set(), {waiting})
    resume(only)
    await asyncio.wait_for(waiting, 5)
    pause(only)
    feed.publish(frame(3))
    feed.publish(frame(4))
    waiting = asyncio.create_task(feed.room())
    subscriber(feed, 0)
    await asyncio.wait_for(waiting, 5)


class Scripted:
    """An upstream that plays messages and ends with an error, or with OK after None."""

    def __init__(self, *script: int | ApiError | None) -> None:
        self._script = list(script)
        self.cancelled = False

    async def read(self) -> bytes | None:
        item = self._script.pop(0)
        if isinstance(item, ApiError):
            raise item
        return None if item is None else str(item).encode()

    def cancel(self) -> None:
        self.cancelled = True


class Codec:
    """Messages are their seq."""

    def frame(self, raw: bytes) -> Frame:
        return frame(int(raw))


AWAY = ApiError(503, "SERVICE_UNAVAILABLE", "", "UNAVAILABLE")
SLOW = ApiError(409, "CONFLICT", "", "READER_TOO_SLOW")
GONE = ApiError(404, "NOT_FOUND", "", "NOT_FOUND")
EXPIRED = ApiError(410, "POSITION_EXPIRED", "", "POSITION_EXPIRED")


async def follow(feed: Feed, *upstreams: Scripted | ApiError, reconnect_s: float = 30) -> list[tuple[str, int | None]]:
    """Run a follower over these upstreams, one after the other; who opened each, and where."""
    opened: list[tuple[str, int | None]] = []
    left = list(upstreams)

    async def open_again(caller: Caller | None, position: int | None) -> Any:
        opened.append((caller.user_id if caller else "", position))
        following = left.pop(0)
        if isinstance(following, ApiError):
            raise following
        return following

    first = left.pop(0)
    caller = next(iter(feed.subscribers)).caller
    follower = Follower(feed, Codec(), open_again, caller)  # type: ignore[arg-type]
    async with asyncio.timeout(10):
        await follower.run(first, reconnect_s)  # type: ignore[arg-type]
    assert feed.ended
    return opened


@pytest.mark.parametrize("broken", [AWAY, SLOW])
async def test_J7_a_broken_upstream_is_opened_again_after_the_last_seq(broken: ApiError) -> None:
    """J7: away, away while reopening, and back."""
    feed = Feed(b"key", 0, 16)
    one = subscriber(feed, 0)
    opened = await follow(feed, Scripted(1, 2, broken), AWAY, Scripted(2, 3, broken), Scripted(4, None))
    assert opened == [("alice", 2), ("alice", 2), ("alice", 3)]
    assert seqs(one) == [1, 2, 3, 4]


async def test_J7_an_upstream_that_stays_away_ends_the_feed() -> None:
    """J7: after the time for it; the clients then resume."""
    feed = Feed(b"key", 0, 16)
    subscriber(feed, 0)
    assert await follow(feed, Scripted(1, AWAY), reconnect_s=-1) == []


async def test_J7_an_expired_position_ends_the_feed_at_once() -> None:
    """J7: each client is told 410 when it resumes."""
    feed = Feed(b"key", 0, 16)
    subscriber(feed, 0)
    assert await follow(feed, Scripted(1, EXPIRED)) == []


async def test_A5_J7_who_lost_access_is_dropped_and_another_takes_over() -> None:
    """A5, J7: the feed reopens under the next subscriber."""
    feed = Feed(b"key", 0, 16)
    first = subscriber(feed, 0, "alice")
    same = subscriber(feed, 0, "alice")
    assert await follow(feed, Scripted(1, GONE)) == []
    assert (first.ending, same.ending) == (Ending.LOST, Ending.LOST)
    feed = Feed(b"key", 0, 16)
    both = {subscriber(feed, 0, "alice"), subscriber(feed, 0, "bob")}
    opened = await follow(feed, Scripted(1, GONE), Scripted(2, None))
    (dropped,) = [one for one in both if one.ending is Ending.LOST]
    (kept,) = both - {dropped}
    assert kept.caller is not None
    assert opened == [(kept.caller.user_id, 1)]
    assert seqs(kept) == [1, 2]

"""Shared streams without a network: ring, cursors, slow readers, reconnects (J7)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth import Caller, Credential
from gateway.errors import ApiError
from gateway.feed import Feed, Subscription
from gateway.frames import Frame
from gateway.hub import Follower


class Task:
    """Stands for a request's task."""

    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


def subscriber(feed: Feed, position: int, user: str = "alice") -> Subscription:
    """An attached subscription."""
    caller = Caller(f"internal-{user}", user, Credential("api_key", user, user.encode()))
    subscription = Subscription(caller, Task(), 0)  # type: ignore[arg-type]
    feed.attach(subscription, position)
    return subscription


def frame(seq: int) -> Frame:
    """An event."""
    return Frame(seq, "progress", b"{}")


def seqs(subscription: Subscription) -> list[int]:
    """What it takes now."""
    return [taken.seq for taken in subscription.take()]


def test_J7_the_frame_of_an_event() -> None:
    """J7: id, event, data; an event without a position has no id."""
    assert Frame(7, "status", b'{"a":1}').sse == b'id: 7\nevent: status\ndata: {"a":1}\n\n'
    assert Frame(0, "", b"{}").sse == b"data: {}\n\n"
    assert Frame(7, "status", b'{"a":1}').ndjson == b'{"a":1}\n'


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
    slow, fast = subscriber(feed, 0), subscriber(feed, 0)
    for seq in range(1, 5):
        feed.publish(frame(seq))
        assert seqs(fast) == [seq]
    assert slow.cut
    assert slow.task.cancelled  # type: ignore[truthy-function]
    assert feed.subscribers == {fast}
    assert not feed.covers(0)
    assert feed.covers(1)


@given(
    ring=st.integers(1, 5),
    script=st.lists(st.one_of(st.just("publish"), st.integers(0, 3)), max_size=60),
    positions=st.lists(st.integers(0, 12), min_size=4, max_size=4),
)
def test_J7_every_subscriber_sees_every_seq_once_or_is_cut(ring: int, script: list[Any], positions: list[int]) -> None:
    """J7: over any order of publishing and reading, from any covered position."""
    feed = Feed(b"key", 0, ring)
    seen: list[list[int]] = [[] for _ in positions]
    subscriptions: list[Subscription | None] = [None] * len(positions)
    last = 0
    for step in [*script, 0, 1, 2, 3]:
        if step == "publish":
            last += 1
            feed.publish(frame(last))
            continue
        one = subscriptions[step]
        if one is None:
            if feed.covers(positions[step]):
                subscriptions[step] = subscriber(feed, positions[step])
        elif not one.cut:
            seen[step] += seqs(one)
    for position, one, got in zip(positions, subscriptions, seen, strict=True):
        expected = list(range(position + 1, last + 1))
        if one is None or one.cut:
            assert got == expected[: len(got)]
        else:
            assert got + seqs(one) == expected


async def test_J7_the_only_reader_is_waited_for() -> None:
    """J7: its upstream feels its pace; a second reader ends the consideration."""
    feed = Feed(b"key", 0, 4)
    only = subscriber(feed, 0)
    feed.publish(frame(1))
    await feed.room()
    feed.publish(frame(2))
    waiting = asyncio.create_task(feed.room())
    assert await asyncio.wait([waiting], timeout=0.01) == (set(), {waiting})
    only.take()
    await asyncio.wait_for(waiting, 5)
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
    assert first.ending
    assert same.ending
    feed = Feed(b"key", 0, 16)
    both = {subscriber(feed, 0, "alice"), subscriber(feed, 0, "bob")}
    opened = await follow(feed, Scripted(1, GONE), Scripted(2, None))
    (dropped,) = [one for one in both if one.ending]
    (kept,) = both - {dropped}
    assert kept.caller is not None
    assert opened == [(kept.caller.user_id, 1)]
    assert seqs(kept) == [1, 2]

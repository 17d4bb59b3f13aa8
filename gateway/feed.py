"""A shared stream inside the gateway: the newest frames of one resource, and the clients that follow it.

A frame is written to every client's connection in the moment it is published, without a task in between. Who does not
read keeps a cursor into the ring and goes on from there once its connection takes bytes again. Knows no gRPC, no HTTP.
"""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum
from itertools import islice
from typing import Protocol

from gateway.auth import Caller
from gateway.frames import Frame, Skin
from gateway.metrics import STREAM_CUTS

_BATCH_FRAMES = 32
"""How many frames a client that is behind gets in one write."""


class Ending(Enum):
    """Why a client's stream ends."""

    COMPLETE = "complete"
    """There is nothing more to come."""
    LOST = "upstream_lost"
    """The service is away, or refuses to go on: the client learns which when it resumes."""
    DRAINING = "draining"
    """This gateway stops."""
    AGED = "max_age"
    """The stream is as old as one may be."""
    REVOKED = "revoked"
    """The caller's credential has ended."""
    SLOW = "slow_reader"
    """The client does not read."""
    GONE = "gone"
    """The client has left."""
    UNASKED = "unasked_message"
    """The client said something where it has nothing to say."""


class Wire(Protocol):
    """The connection of a client."""

    paused: bool
    """Whether its buffer is full: nothing is to be written now."""

    def write(self, data: bytes) -> None:
        """Write bytes as they are. Never blocks."""
        ...

    def beat(self) -> bool:
        """Ask for a sign of life where the protocol has one; False when the last one is still owed."""
        ...

    def abort(self) -> None:
        """Break the connection off; what was not sent is dropped."""
        ...


class Subscription:
    """One client of a feed: a connection, a cursor and a position.

    Until it is attached to a feed its request's `task` does the work, and an end cancels that; from then on the task
    waits in `over`. `position` is the seq of the last frame written, -1 for none. Times are those of the event loop.
    """

    __slots__ = (
        "_over",
        "_room",
        "active_at",
        "caller",
        "cursor",
        "ending",
        "feed",
        "heartbeat",
        "position",
        "render",
        "stalled_at",
        "started_at",
        "task",
        "wire",
    )

    def __init__(
        self,
        caller: Caller | None,
        wire: Wire,
        skin: Skin,
        task: asyncio.Task[object],
        now: float,
    ) -> None:
        self.caller = caller
        self.wire = wire
        self.render = skin.render
        self.heartbeat = skin.heartbeat
        self.task = task
        self.feed: Feed | None = None
        self.cursor = 0
        self.position = -1
        self.started_at = self.active_at = now
        self.stalled_at: float | None = None
        self.ending: Ending | None = None
        self._over: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None

    async def over(self) -> None:
        """Wait for the end, `ending` says which."""
        if self.ending is None:
            self._over = asyncio.get_running_loop().create_future()
            await self._over

    def finish(self, ending: Ending) -> None:
        """End the stream; the first ending counts."""
        if self.ending is not None:
            return
        self.ending = ending
        if self.feed is None:
            self.task.cancel()
        elif self._over is not None and not self._over.done():
            self._over.set_result(None)

    def dismiss(self) -> None:
        """End a client that may not go on, now: also one that does not read."""
        self.finish(Ending.REVOKED)
        if self.wire.paused:
            self.wire.abort()

    def cut_off(self) -> None:
        """Break off a client that does not read; it resumes after the last frame it got."""
        if self.ending is not Ending.SLOW:
            STREAM_CUTS.inc()
        self.finish(Ending.SLOW)
        self.wire.abort()

    def gone(self) -> None:
        """The connection is no more."""
        self.finish(Ending.GONE)

    def spoke(self) -> None:
        """The client sent something."""
        self.finish(Ending.UNASKED)

    def resumed(self) -> None:
        """The connection takes bytes again."""
        self.stalled_at = None
        if self.feed is not None:
            self.flush(asyncio.get_running_loop().time())
        elif self._room is not None and not self._room.done():
            self._room.set_result(None)

    def beat(self, now: float) -> None:
        """Let a quiet client know that the stream lives; give one up that shows no sign of life itself."""
        self.active_at = now
        if self.wire.beat():
            self.wire.write(self.heartbeat)
        else:
            self.finish(Ending.GONE)
            self.wire.abort()

    async def send(self, frame: Frame) -> None:
        """Write a frame that comes from elsewhere than the feed, and wait while the connection is full."""
        self.position = frame.seq
        self.wire.write(self.render(frame))
        while self.wire.paused:
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    def offer(self, frame: Frame, end: int, now: float) -> None:
        """Write the newest frame, the last before index `end`, to a client that has all others."""
        if self.wire.paused or self.cursor != end - 1 or self.ending is not None:
            return
        self.cursor = end
        if frame.seq and frame.seq <= self.position:
            return  # The client came from further ahead than the feed was at that time.
        self.position = frame.seq
        self.active_at = now
        self.wire.write(self.render(frame))

    def flush(self, now: float) -> None:
        """Write what the client has not seen, as far as its connection takes it; after the feed's end, end."""
        feed, wire = self.feed, self.wire
        assert feed is not None
        while self.ending is None and not wire.paused:
            frames = feed.frames_from(self.cursor)
            if not frames:
                if feed.ending is not None:
                    self.finish(feed.ending)
                return
            self.cursor += len(frames)
            feed.taken()
            unseen = [frame for frame in frames if not frame.seq or frame.seq > self.position]
            if unseen:
                self.position = unseen[-1].seq
                self.active_at = now
                wire.write(b"".join(map(self.render, unseen)))


class Feed:
    """The newest frames of one upstream stream, and who reads them.

    `position` is where the upstream was opened: the feed holds every later frame until the ring overflows. A
    stream that cannot be resumed has no positions (None), and a single subscriber. Who asks for the same `key`
    may share the feed; None for nobody.
    """

    def __init__(self, key: bytes | None, position: int | None, ring_frames: int) -> None:
        self.key = key
        self._ring: deque[Frame] = deque()
        self._ring_frames = ring_frames
        self._base = 0  # Index of the ring's first frame, counted over the feed's life.
        self._floor = position  # Every frame after this position is in the ring.
        self._room = asyncio.Event()
        self._clock = asyncio.get_running_loop().time
        self.last = position
        self.ending: Ending | None = None
        self.subscribers: set[Subscription] = set()

    @property
    def ended(self) -> bool:
        """Whether no frame will follow."""
        return self.ending is not None

    def covers(self, position: int) -> bool:
        """Whether a client at this position can be served from here on without a gap."""
        return not self.ended and self._floor is not None and position >= self._floor

    def attach(self, subscription: Subscription, position: int | None) -> None:
        """Add a client that has seen everything up to `position` (None: nothing); it gets the rest at once."""
        subscription.feed = self
        subscription.position = -1 if position is None else position
        unseen = 0
        for frame in reversed(self._ring):
            if position is not None and frame.seq <= position:
                break
            unseen += 1
        subscription.cursor = self._base + len(self._ring) - unseen
        self.subscribers.add(subscription)
        self._room.set()
        subscription.flush(self._clock())

    def detach(self, subscription: Subscription) -> None:
        """Forget a client; harmless when it is not attached."""
        self.subscribers.discard(subscription)
        self._room.set()

    def frames_from(self, cursor: int) -> list[Frame]:
        """The next frames from an index on."""
        start = cursor - self._base
        return list(islice(self._ring, start, start + _BATCH_FRAMES))

    def publish(self, frame: Frame) -> None:
        """Write a frame to everybody; repeats after a reconnect are dropped. Cuts off who falls out of the ring."""
        if self.last is not None:
            if frame.seq <= self.last:
                return
            self.last = frame.seq
        self._ring.append(frame)
        if len(self._ring) > self._ring_frames:
            self._floor = self._ring.popleft().seq
            self._base += 1
            for subscription in [one for one in self.subscribers if one.cursor < self._base]:
                self.detach(subscription)
                subscription.cut_off()
        end, now = self._base + len(self._ring), self._clock()
        for subscription in self.subscribers:
            subscription.offer(frame, end, now)

    def taken(self) -> None:
        """A subscriber that was behind has moved on."""
        self._room.set()

    async def room(self) -> None:
        """Wait while the only subscriber is half a ring behind, so that its upstream feels its pace.

        With more than one, waiting for the slowest would hold up the others; then the ring decides.
        """
        while len(self.subscribers) == 1:
            (only,) = self.subscribers
            if self._base + len(self._ring) - only.cursor < max(1, self._ring_frames // 2):
                return
            self._room.clear()
            await self._room.wait()

    def expel(self, caller: Caller | None) -> None:
        """End the clients of a caller that is no longer allowed to watch."""
        key = caller and caller.credential.key
        for one in list(self.subscribers):
            if (one.caller and one.caller.credential.key) == key:
                self.detach(one)
                one.finish(Ending.LOST)

    def end(self, ending: Ending) -> None:
        """No frame will follow. Who is behind gets what there is, then ends."""
        if self.ending is None:
            self.ending = ending
        now = self._clock()
        for subscription in list(self.subscribers):
            subscription.flush(now)

"""A ring of frames and cursors into it: what all subscribers of one watched resource share. Knows no gRPC,
no HTTP.
"""

from __future__ import annotations

import asyncio
from collections import deque

from gateway.auth import Caller
from gateway.frames import Frame
from gateway.metrics import STREAM_CUTS


class Subscription:
    """One client of a feed: a cursor, a position and an event that wakes its request task.

    `task` is cancelled when the client is cut off; `position` is the seq of the last frame taken, -1 for
    none.
    """

    __slots__ = (
        "active_at",
        "caller",
        "cursor",
        "cut",
        "ending",
        "feed",
        "heartbeat_due",
        "position",
        "sending",
        "started_at",
        "task",
        "wake",
    )

    def __init__(self, caller: Caller | None, task: asyncio.Task[object], now: float) -> None:
        self.caller = caller
        self.task = task
        self.feed: Feed | None = None
        self.cursor = 0
        self.position = -1
        self.wake = asyncio.Event()
        self.started_at = self.active_at = now
        self.sending = self.heartbeat_due = self.ending = self.cut = False

    def end(self) -> None:
        """Ask the request to finish its answer properly."""
        self.ending = True
        self.wake.set()

    def dismiss(self) -> None:
        """End a client that may not go on, now: also one that waits for its first frame, or does not read."""
        if self.feed is None or self.sending:
            self.task.cancel()
            self.cut = True
        else:
            self.end()

    def cut_off(self) -> None:
        """Break off a client that does not read; it resumes after the last frame it got."""
        if not self.cut:
            self.cut = True
            STREAM_CUTS.inc()
            self.task.cancel()

    def take(self) -> list[Frame]:
        """Frames that are new to this client. Moves the cursor."""
        assert self.feed is not None
        frames = self.feed.frames_from(self.cursor)
        if not frames:
            return frames
        self.cursor += len(frames)
        self.feed.taken()
        if frames[0].seq and frames[0].seq <= self.position:
            # The client came from further ahead than the feed was at that time.
            frames = [frame for frame in frames if frame.seq > self.position]
        if frames and frames[-1].seq:
            self.position = frames[-1].seq
        return frames


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
        self.last = position
        self.ended = False
        self.subscribers: set[Subscription] = set()

    def covers(self, position: int) -> bool:
        """Whether a client at this position can be served from here on without a gap."""
        return not self.ended and self._floor is not None and position >= self._floor

    def attach(self, subscription: Subscription, position: int | None) -> None:
        """Add a client that has seen everything up to `position`; None for a client that has seen nothing."""
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

    def detach(self, subscription: Subscription) -> None:
        """Forget a client; harmless when it is not attached."""
        self.subscribers.discard(subscription)
        self._room.set()

    def frames_from(self, cursor: int) -> list[Frame]:
        """Frames from an index on."""
        unseen = self._base + len(self._ring) - cursor
        if unseen <= 0:
            return []
        return [self._ring[-1]] if unseen == 1 else list(self._ring)[-unseen:]

    def publish(self, frame: Frame) -> None:
        """Add a frame and wake everybody; repeats after a reconnect are dropped. Cuts off who falls out of
        the ring.
        """
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
        for subscription in self.subscribers:
            subscription.wake.set()

    def taken(self) -> None:
        """A subscriber has moved on."""
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
                one.end()

    def end(self) -> None:
        """No frame will follow."""
        self.ended = True
        for subscription in self.subscribers:
            subscription.wake.set()

"""Bounds of the gateway's unary calls that no real socket shows in a short time (P1)."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from gateway.h2 import frames as f
from gateway.h2.connection import Connection
from gateway.h2.deadlines import Deadlines


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


class Owner:
    """A channel that takes note of nothing."""

    def begun(self, connection: Connection) -> None: ...
    def freed(self) -> None: ...
    def ended(self, connection: Connection) -> None: ...
    def lost(self, connection: Connection) -> None: ...


async def test_p1_a_server_that_asks_and_does_not_read_is_left() -> None:
    connection, transport = Connection(asyncio.get_running_loop(), cast(Any, Owner())), Transport()
    connection.connection_made(cast(Any, transport))
    connection.data_received(f.settings({}))
    connection.pause_writing()
    ping = f.frame(f.PING, 0, 0, bytes(8))
    connection.data_received(ping * 900)
    assert not transport.closed
    connection.data_received(ping * 200)
    assert transport.closed
    reason = "the server broke the protocol: the server asks and does not read the answers"
    assert transport.written.endswith(f.go_away(f.ErrorCode.ENHANCE_YOUR_CALM, reason))


class Clock:
    """A loop's clock and its timers, which a test sets off."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Any, tuple[Any, ...]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Any, *args: Any) -> Any:
        self.timers.append((self.now + delay, call, args))
        return self

    def cancel(self) -> None:
        self.timers.clear()

    def advance(self, to: float) -> None:
        while due := sorted(timer for timer in self.timers if timer[0] <= to):
            self.timers.remove(due[0])
            self.now = due[0][0]
            due[0][1](*due[0][2])
        self.now = to


class Timed:
    """Takes note of when its time was up."""

    def __init__(self, clock: Clock, duration_s: float, deadlines: Deadlines) -> None:
        self._clock = clock
        self.deadline = clock.now + duration_s
        self.expired_at: float | None = None
        self.queue = deadlines.add(self, duration_s)

    def expire(self) -> None:
        self.expired_at = self._clock.now


def test_p1_one_timer_ends_each_call_in_its_time() -> None:
    clock = Clock()
    deadlines = Deadlines(cast(Any, clock))
    first = Timed(clock, 15.0, deadlines)
    clock.advance(1.0)
    second, answered, short = (Timed(clock, seconds, deadlines) for seconds in (15.0, 15.0, 0.5))
    assert len(clock.timers) == 2
    answered.queue.pop(answered)
    clock.advance(100.0)
    assert (first.expired_at, second.expired_at, short.expired_at) == (15.0, 16.0, 1.5)
    assert answered.expired_at is None
    assert clock.timers == []


def test_p1_durations_that_clients_choose_are_forgotten() -> None:
    clock = Clock()
    deadlines = Deadlines(cast(Any, clock))
    late = [Timed(clock, 1 + number / 1000, deadlines) for number in range(500)]
    clock.advance(10.0)
    assert all(each.expired_at == each.deadline for each in late)
    Timed(clock, 99.0, deadlines)
    assert len(deadlines._by_duration) == 1

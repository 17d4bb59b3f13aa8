"""Following a resource: every event once and in order, whatever happens to the connection."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from httpx_sse import ServerSentEvent

from gateway.client.core.calls import Flow, Session, authorised
from gateway.client.core.effects import Close, Emit, Open, Pause, Program, Read, Request
from gateway.client.core.retries import Patience, Repeat
from gateway.client.errors import T2MError

QUIET_S = 45.0
"""Three heartbeats without a byte: the connection is dead."""
_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: its position, its kind (`snapshot`, `status`, `progress` …), the whole event."""

    seq: int
    kind: str
    data: dict[str, Any]

    @property
    def body(self) -> dict[str, Any]:
        """What the event says, without its envelope."""
        body: dict[str, Any] = self.data.get(self.kind) or {}
        return body


class Position:
    """Where a reader stands in a stream. Knows repeats, and what to resume with."""

    def __init__(self, after: int | None) -> None:
        self.seq = after

    def headers(self) -> dict[str, str]:
        """`Last-Event-ID`, once there is a position."""
        return {} if self.seq is None else {"Last-Event-ID": str(self.seq)}

    def take(self, message: ServerSentEvent) -> Event | None:
        """The event of a message; None for a heartbeat, a field on its own, and what was there before."""
        if not message.data:
            return None
        seq = int(message.id) if message.id.isdigit() else 0
        if self.seq is not None and 0 < seq <= self.seq:
            return None
        if seq:
            self.seq = seq
        return Event(seq, message.event, json.loads(message.data))


def followed(path: str, after: int | None, ended: Callable[[Event], bool] | None = None) -> Flow[Event]:
    """Every event of `path` after a position; a snapshot first without one. Ends when the server has no more (204),
    or after an event that is the last one.

    T2MError, also when the stream cannot be had for as long as the patience lasts.
    """

    def steps(session: Session) -> Program[None]:
        position = Position(after)
        patience = Patience(session.policy)
        while True:
            before = position.seq
            headers = {"Accept": "text/event-stream", "Cache-Control": "no-store", **position.headers()}
            try:
                request = Request("GET", path, headers=headers, timeout_s=QUIET_S)
                answer = yield from authorised(request, session, lambda request: Open(request, events=True))
                if answer.status == 204:
                    return
                while (message := (yield Read())) is not None:
                    event = position.take(message)
                    if event is not None:
                        patience.renew()
                        yield Emit(event)
                        if ended is not None and ended(event):
                            return
                # A stream that just ends is resumed as well: 204 says when there is nothing more.
                pause_s = _PAUSE_S if position.seq == before else 0.0
            except T2MError as error:
                pause_s = patience.pause_s(error, Repeat.SAFE)
            yield Close()
            if pause_s:
                yield Pause(pause_s)

    return Flow(steps)

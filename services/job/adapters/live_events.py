"""A log as it grows: Redis streams in front of Postgres, by the runtime's reader."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from services.job.application.ports import LiveEvent
from services.runtime.eventreader import EventReader
from t2m.job.v1 import job_pb2

_TERMINAL = frozenset({job_pb2.JOB_STATUS_COMPLETED, job_pb2.JOB_STATUS_FAILED, job_pb2.JOB_STATUS_CANCELLED})


class LiveEvents:
    """The `EventSource` over an `EventReader`; `is_last` tells from a payload whether no event can follow it."""

    def __init__(self, reader: EventReader, is_last: Callable[[bytes], bool]) -> None:
        self._reader = reader
        self._is_last = is_last

    async def follow(self, stream_id: str, after_seq: int) -> AsyncGenerator[LiveEvent]:
        """Every event after the position."""
        async with aclosing(self._reader.follow(stream_id, after_seq)) as events:  # type: ignore[type-var]
            async for seq, payload in events:
                yield LiveEvent(seq, payload, self._is_last(payload))


def is_terminal(payload: bytes) -> bool:
    """Whether the event is the last that a job can have."""
    event = job_pb2.JobEvent.FromString(payload)
    return event.WhichOneof("event") == "status" and event.status.status in _TERMINAL

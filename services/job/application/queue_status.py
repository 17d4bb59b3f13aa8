"""What users may know of the queue (O1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from services.job.application.estimates import Estimates
from services.job.application.ports import Clock, Viewer
from services.job.application.queueing import Queue
from services.job.domain.job import Job
from services.job.domain.order import Order
from services.job.domain.values import Priority, Quality


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a job of a priority would meet that the viewer ordered now."""

    priority: Priority
    waiting: int
    position: int
    wait: timedelta | None
    """None when unknown."""


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """The queue as a viewer sees it."""

    paused: bool
    processing: int
    slots: int
    outlooks: tuple[Outlook, ...]


class QueueReports:
    """Looks at the queue with a viewer's eyes: users take turns, so a job's place depends on whose it is."""

    def __init__(self, queue: Queue, estimates: Estimates, clock: Clock, new_id: Callable[[], str], slots: int) -> None:
        self._queue = queue
        self._estimates = estimates
        self._clock = clock
        self._new_id = new_id
        self._slots = max(slots, 1)

    async def status(self, viewer: Viewer) -> QueueStatus:
        """The queue now, and the place that a job of each priority would have."""
        now = self._clock.now()
        state = await self._queue.state(now)
        paused = state.drained_at is not None
        pace = None if paused else await self._estimates.pace(Quality.MEDIUM)
        outlooks = []
        for depth in state.depths:
            order = Order(viewer.subject, topic="", context="", priority=depth.priority)
            position = await self._queue.position(Job.accept(self._new_id(), order, now))
            wait = None if pace is None else turn_after(position, state.processing, self._slots, pace.total)
            outlooks.append(Outlook(depth.priority, depth.ready + depth.delayed, position, wait))
        return QueueStatus(paused, state.processing, self._slots, tuple(outlooks))


def turn_after(position: int, processing: int, slots: int, attempt: timedelta) -> timedelta:
    """When a slot is free for the job at this position, with `slots` jobs ending in the time of each attempt."""
    endings = position + 1 - max(slots - processing, 0)
    return attempt * max(endings, 0) / slots

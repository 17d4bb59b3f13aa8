"""Deliver to other services what stored changes asked for: at least once, in order within a job and lane."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Protocol

import structlog

from services.job.application.neighbours import NeighbourAway
from services.job.application.ports import Clock, Delivery, Outbox
from services.job.application.ticking import Wakeup, delay_s
from services.job.domain.events import Lane

_log = structlog.get_logger(__name__)
_LEASE = timedelta(seconds=8)
"""Longer than a call may take; a crashed process' commands are taken over after it."""


class DeliverAgain(Exception):
    """The command was carried out, and is to be once more after a while."""

    def __init__(self, after: timedelta) -> None:
        super().__init__(f"again in {after}")
        self.after = after


class Handler(Protocol):
    """Tells one service."""

    async def handle(self, delivery: Delivery) -> None:
        """Carry the command out; twice is once. Raises NeighbourAway or DeliverAgain to have it offered again."""
        ...


class Courier:
    """Serves one lane of the outbox."""

    def __init__(
        self, lane: Lane, outbox: Outbox, handler: Handler, clock: Clock, wakeup: Wakeup, at_once: int = 16
    ) -> None:
        self._lane = lane
        self._outbox = outbox
        self._handler = handler
        self._clock = clock
        self._wakeup = wakeup
        self._at_once = at_once

    async def run(self) -> None:
        """Deliver for as long as the process lives."""
        while True:
            while await self.deliver():
                pass
            await self._wakeup.wait()

    async def deliver(self) -> int:
        """One round: take what is due, send it; how many commands were taken."""
        deliveries = await self._outbox.claim(self._lane, self._clock.now(), _LEASE, self._at_once)
        results = await asyncio.gather(*(self._one(delivery) for delivery in deliveries), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):  # The database, most likely: the leases bring the commands back.
                raise result
        return len(deliveries)

    async def _one(self, delivery: Delivery) -> None:
        try:
            await self._handler.handle(delivery)
        except NeighbourAway as away:
            wait = timedelta(seconds=delay_s(delivery.attempts - 1, 0.25, 10.0))
            _log.warning("neighbour is away", lane=self._lane, job_id=delivery.command.job_id, reason=str(away))
            await self._outbox.postpone(delivery, self._clock.now() + wait, faulty=away.faulty)
        except DeliverAgain as again:
            await self._outbox.postpone(delivery, self._clock.now() + again.after)
        except asyncio.CancelledError:
            # The next process need not wait for the lease to end.
            await self._outbox.postpone(delivery, self._clock.now())
            raise
        else:
            await self._outbox.done(delivery)

"""Send what is due, at least once, so that no receiver holds up another (J8)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from services.job.application.ports import Clock
from services.job.application.ticking import Wakeup
from services.job.application.webhooks.ports import (
    Answer,
    Claim,
    Deliveries,
    DeliveryQueue,
    Messenger,
    Observer,
    Room,
    Seal,
    SecretUnreadable,
)
from services.job.application.webhooks.signing import signed_headers
from services.job.domain.webhooks import KEPT_FOR, Attempt, DeliveryStatus, RetrySchedule, settle

_log = structlog.get_logger(__name__)
_MAX_ERROR = 300
_PURGE_EVERY_S = 3600.0
_PURGE_BATCH = 1000


@dataclass(frozen=True, slots=True)
class SenderRules:
    """How much is sent at once by one process, and when again."""

    at_once: int = 32
    per_endpoint: int = 2
    schedule: RetrySchedule = field(default_factory=RetrySchedule)
    draw: Callable[[], float] = random.random

    @property
    def struggling_at_once(self) -> int:
        """The share of endpoints at which the last attempt failed: these wait for each other, not others for them."""
        return max(self.at_once // 2, 1)


class Sender:
    """The one task of a process that talks to receivers.

    What a process that dies was sending is claimed by another when its lease ends, and sent again under the same id:
    the receiver drops what it has.
    """

    def __init__(
        self,
        queue: DeliveryQueue,
        messenger: Messenger,
        seal: Seal,
        clock: Clock,
        rules: SenderRules,
        wakeup: Wakeup,
        observer: Observer,
    ) -> None:
        self._queue = queue
        self._messenger = messenger
        self._seal = seal
        self._clock = clock
        self._rules = rules
        self._wakeup = wakeup
        self._observer = observer
        self._flying: dict[asyncio.Task[None], Claim] = {}

    async def run(self) -> None:
        """Send for as long as the process lives. What is being sent when it ends is given back."""
        try:
            while True:
                if not await self.begin():
                    await self._wakeup.wait()
        finally:
            for task in self._flying:
                task.cancel()
            await asyncio.gather(*self._flying, return_exceptions=True)

    async def begin(self) -> int:
        """Begin to send what is due, as far as there is room; how much that was."""
        room = self._room()
        claims = await self._queue.claim(self._clock.now(), room) if room.in_all else []
        for claim in claims:
            task = asyncio.create_task(self._one(claim), name=f"webhook {claim.delivery_id}")
            self._flying[task] = claim
            task.add_done_callback(self._landed)
        return len(claims)

    async def settled(self) -> None:
        """Return when nothing is in flight."""
        while self._flying:
            await asyncio.wait(self._flying)

    def _room(self) -> Room:
        struggling = sum(claim.struggling for claim in self._flying.values())
        return Room(
            max(self._rules.at_once - len(self._flying), 0),
            max(self._rules.struggling_at_once - struggling, 0),
            self._rules.per_endpoint,
        )

    def _landed(self, task: asyncio.Task[None]) -> None:
        claim = self._flying.pop(task)
        if not task.cancelled() and (error := task.exception()):
            # The database, most likely. The lease brings the delivery back; the receiver drops it if it has it.
            _log.warning(
                "delivery not recorded", delivery_id=claim.delivery_id, error=f"{type(error).__name__}: {error}"
            )
        self._wakeup.set()

    async def _one(self, claim: Claim) -> None:
        started = self._clock.now()
        try:
            answer = await self._send(claim)
        except asyncio.CancelledError:
            # The next process need not wait for the lease to end.
            with suppress(Exception):
                await self._queue.release(claim)
            raise
        attempt = Attempt(started, answer.http_status, answer.error[:_MAX_ERROR], round(answer.duration_s * 1000))
        async with self._queue.settling(claim) as found:
            if found is None:
                return
            endpoint, delivery = found
            draw, now = self._rules.draw(), self._clock.now()
            settle(endpoint, delivery, attempt, now, self._rules.schedule, draw, answer.retry_after)
        self._observer.attempted(_result(attempt, delivery.status), answer.duration_s)
        if endpoint.disabled and endpoint.disabled_reason and delivery.status is DeliveryStatus.FAILED:
            _log.warning("endpoint disabled", endpoint_id=endpoint.endpoint_id, reason=endpoint.disabled_reason)

    async def _send(self, claim: Claim) -> Answer:
        sealed = [claim.secret, *([claim.previous_secret] if claim.previous_secret else [])]
        try:
            keys = [self._seal.open(secret, claim.endpoint_id) for secret in sealed]
        except SecretUnreadable:
            return Answer(0, "the secret cannot be read any more; rotate it", 0.0)
        body = claim.payload.encode()
        headers = signed_headers(claim.delivery_id, self._clock.now(), body, keys)
        try:
            return await self._messenger.post(claim.url, {"content-type": "application/json", **headers}, body)
        except Exception as error:
            # Whatever it is, it must count as an attempt: else the lease would bring it back again and again.
            _log.exception("webhook could not be posted", delivery_id=claim.delivery_id)
            return Answer(0, f"could not be sent: {type(error).__name__}", 0.0)


def _result(attempt: Attempt, status: DeliveryStatus) -> str:
    if attempt.succeeded:
        return "delivered"
    if attempt.http_status == 410:
        return "gone"
    return "failed" if status is DeliveryStatus.FAILED else "retried"


async def forget_old_deliveries(deliveries: Deliveries, clock: Clock, every: timedelta = KEPT_FOR) -> None:
    """Keep the log short, for as long as the process lives."""
    while True:
        while await deliveries.purge(clock.now() - every, _PURGE_BATCH) == _PURGE_BATCH:
            pass
        await asyncio.sleep(_PURGE_EVERY_S)

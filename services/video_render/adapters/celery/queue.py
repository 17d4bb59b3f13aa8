"""`TaskQueue` on Celery. Its client blocks, so every call runs in a thread; one at a time, since they are short."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog
from celery import Celery
from kombu.exceptions import OperationalError

from services.video_render.adapters.celery.app import RUN_STEP
from services.video_render.application.ports import Delivery, QueueUnavailable
from services.video_render.domain.request import Priority

T = TypeVar("T")
_log = structlog.get_logger(__name__)
_REVOKE_TIMEOUT_S = 2.0
"""A caller who cancels does not wait longer for a broker that is away."""


class CeleryQueue:
    """Publishes, revokes and measures; see the port `TaskQueue`."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._turn = asyncio.Lock()

    async def publish(self, delivery: Delivery) -> None:
        """Enqueue; raises `QueueUnavailable`."""
        await self._blocking(lambda: self._publish(delivery))

    async def revoke(self, task_ids: Sequence[str]) -> None:
        """Kill what runs these deliveries, on whichever worker; only logs when the broker is away."""
        try:
            async with asyncio.timeout(_REVOKE_TIMEOUT_S):
                await self._blocking(lambda: self._app.control.revoke(list(task_ids), terminate=True, signal="SIGKILL"))
        except (QueueUnavailable, TimeoutError) as exc:
            _log.warning("revocation not sent, heartbeats will notice", reason=str(exc))

    async def depth(self, queue: Priority) -> int | None:
        """Deliveries waiting in the queue; None when the broker is away."""
        try:
            return await self._blocking(lambda: self._depth(queue))
        except QueueUnavailable:
            return None

    async def _blocking(self, call: Callable[[], T]) -> T:
        async with self._turn:
            try:
                return await asyncio.to_thread(call)
            except (OperationalError, OSError, *self._app.connection_for_write().connection_errors) as exc:
                raise QueueUnavailable(str(exc)) from exc

    def _publish(self, delivery: Delivery) -> None:
        self._app.send_task(
            RUN_STEP,
            args=[delivery.step_id],
            task_id=delivery.task_id,
            queue=delivery.priority.value,
            retry=False,
        )

    def _depth(self, queue: Priority) -> int:
        with self._app.connection_or_acquire() as connection, connection.channel() as channel:
            try:
                return int(channel.queue_declare(queue.value, passive=True).message_count)
            except connection.channel_errors:
                return 0  # Redis has no key for an empty queue

"""Finds what the queue or a worker has lost, and offers it to workers again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from services.video_render.application.ports import Change, Liveness, RenderStore, StoreUnavailable, TaskQueue
from services.video_render.domain.request import Priority
from services.video_render.domain.steps import LeasePolicy, render_id_of

_BATCH = 100
_MOST_HELD = 1000


@dataclass(frozen=True, slots=True)
class SweepPolicy:
    """When a step that nobody has claimed counts as lost by the queue."""

    empty_queue: timedelta = timedelta(seconds=3)
    """With an empty queue: nothing waits there, so a step offered this long ago is not in it."""
    busy_queue: timedelta = timedelta(minutes=10)
    """With a queue that is not empty, or cannot be measured: the step may well be in it still."""


@dataclass(frozen=True, slots=True)
class Sweeper:
    """One pass over the steps; safe to run in several processes at once, because every find is checked under the
    render's lock.
    """

    store: RenderStore
    queue: TaskQueue
    lease: LeasePolicy
    policy: SweepPolicy
    liveness: Liveness

    async def sweep(self) -> int:
        """Take back expired steps and offer lost ones again; how many."""
        return await self._orphaned() + await self._expired() + sum([await self._lost(queue) for queue in Priority])

    async def _orphaned(self) -> int:
        """Steps whose holders ran on this machine and are gone: nobody need wait for their leases."""
        dead = {
            step_id: holder
            for step_id, holder in await self.store.held(_MOST_HELD)
            if self.liveness.provably_dead(holder)
        }
        return await self._each(
            list(dead), lambda change, step_id: change.render.orphaned(step_id, dead[step_id], change.now, self.lease)
        )

    async def _expired(self) -> int:
        steps = await self.store.expired(_BATCH)
        return await self._each(steps, lambda change, step_id: change.render.expire(step_id, change.now, self.lease))

    async def _lost(self, queue: Priority) -> int:
        steps = await self.store.unclaimed(queue, self.policy.empty_queue, _BATCH)
        if steps and await self.queue.depth(queue) != 0:
            steps = await self.store.unclaimed(queue, self.policy.busy_queue, _BATCH)
        return await self._each(steps, lambda change, step_id: change.render.republish(step_id, change.now))

    async def _each(self, steps: Sequence[str], act: Callable[[Change, str], bool]) -> int:
        """Do something to each step; a render that cannot be locked now does not hold up the others."""
        count = 0
        for step_id in steps:
            try:
                async with self.store.change(render_id_of(step_id)) as change:
                    count += act(change, step_id)
            except StoreUnavailable:
                continue
        return count

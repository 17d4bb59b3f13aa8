"""What users may know of the queue (O1)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.job.application.queue_status import QueueReports, turn_after
from services.job.domain.values import Priority
from services.runtime.ids import new_id
from tests.unit.job.world import ADA, BOB, World

MINUTE = timedelta(minutes=1)


def reports(world: World, slots: int = 2) -> QueueReports:
    """As `bootstrap` builds it."""
    return QueueReports(world.queue, world.estimates, world.clock, new_id, slots)


@pytest.mark.parametrize(
    ("position", "processing", "slots", "expected"),
    [
        (0, 0, 4, 0 * MINUTE),
        (3, 0, 4, 0 * MINUTE),
        (4, 0, 4, MINUTE / 4),
        (0, 4, 4, MINUTE / 4),
        (7, 4, 4, 2 * MINUTE),
        (0, 9, 4, MINUTE / 4),
    ],
)
def test_O1_a_turn_comes_when_enough_slots_have_become_free(
    position: int, processing: int, slots: int, expected: timedelta
) -> None:
    """O1: with free slots at once; `slots` jobs end in the time of each attempt."""
    assert turn_after(position, processing, slots, MINUTE) == expected


async def test_O1_the_queue_is_counted_and_users_take_turns() -> None:
    """O1: depths of all, the place of one's own next job, and no estimate before anything has completed."""
    world = World()
    for _ in range(3):
        await world.create()
    of_ada = await reports(world).status(ADA)
    of_bob = await reports(world).status(BOB)
    assert (of_ada.paused, of_ada.processing, of_ada.slots) == (False, 0, 2)
    assert {each.priority: each.waiting for each in of_ada.outlooks} == {
        Priority.HIGH: 0, Priority.DEFAULT: 3, Priority.LOW: 0,
    }  # fmt: skip
    by_ada = {each.priority: each.position for each in of_ada.outlooks}
    by_bob = {each.priority: each.position for each in of_bob.outlooks}
    assert by_ada[Priority.DEFAULT] == 3
    assert by_bob[Priority.DEFAULT] == 1, "Bob has had no turn yet"
    assert all(each.wait is None for each in of_ada.outlooks)


async def test_O1_a_paused_queue_promises_nothing() -> None:
    """O1: it says that it is paused instead."""
    world = World()
    assert await world.queue.drain("root", datetime.now(UTC))
    status = await reports(world).status(ADA)
    assert status.paused
    assert all(each.wait is None for each in status.outlooks)

"""Credits over a job's life: set aside once, spent or given back once (A6, J3)."""

from __future__ import annotations

import pytest

from services.job.application.couriers import Courier
from services.job.domain.errors import CreditsExhausted, CreditsUnavailable, IdempotencyConflict
from services.job.domain.job import Job
from services.job.domain.render import Failure, RenderState, StateFact
from services.job.domain.values import JobStage, Quality
from tests.contract.test_job_ports import VIDEO
from tests.unit.job.world import ADA, World

PRICES = {Quality.LOW: 1, Quality.MEDIUM: 2}


@pytest.fixture
def world() -> World:
    return World(prices=PRICES)


async def deliver(courier: Courier) -> None:
    """Everything that is due."""
    while await courier.deliver():
        pass


async def end(world: World, job: Job, fact: StateFact) -> None:
    """What happens to its render."""
    async with world.jobs.change(job.job_id) as locked:
        assert locked is not None
        locked.apply(locked.render_id, [fact], world.clock.now(), world.rules.retry, 0.5)


async def test_A6_a_completed_job_is_paid_once(world: World) -> None:
    """A6: reserved at acceptance, confirmed once stored, spent at the end; retries cost nothing more."""
    job = await world.processing()
    assert (job.order.credit_cost, world.credits.held) == (2, {job.job_id: 2})
    await deliver(world.settling)
    assert world.credits.confirmed == {job.job_id}
    broken = Failure("C", "M", retryable=True)
    await end(world, job, StateFact(1, RenderState.FAILED, JobStage.RENDERING, 5.0, failure=broken))
    world.clock.advance(hours=1)
    await world.dispatcher.admit()
    await end(world, job, StateFact(1, RenderState.SUCCEEDED, JobStage.PUBLISHING, 100.0, video=VIDEO))
    await deliver(world.settling)
    assert (world.credits.settled, world.credits.held) == ({job.job_id: 2}, {})


@pytest.mark.parametrize("running", [False, True], ids=["queued", "running"])
async def test_J3_A6_a_cancelled_job_frees_its_credits_once(world: World, running: bool) -> None:
    """J3, A6."""
    world.credits.left = 10
    job = await (world.processing() if running else world.create())
    for _ in range(2):
        await world.orders.cancel(ADA, job.job_id)
        await deliver(world.settling)
    assert (world.credits.left, world.credits.held, world.credits.settled) == (10, {}, {})


async def test_A6_a_failed_job_frees_its_credits(world: World) -> None:
    """A6: no credit is kept for it."""
    world.credits.left = 10
    job = await world.processing()
    broken = Failure("STORYBOARD_INVALID", "M")
    await end(world, job, StateFact(1, RenderState.FAILED, JobStage.PLANNING, 0.0, failure=broken))
    await deliver(world.settling)
    assert (world.credits.left, world.credits.released) == (10, {job.job_id})


async def test_A6_what_the_credits_do_not_cover_is_refused(world: World) -> None:
    """A6: nothing is stored; the message says the price."""
    world.credits.left = 1
    with pytest.raises(CreditsExhausted, match="costs 2 credits, 1 are left"):
        await world.create()
    assert world.db.jobs == {}
    assert (await world.create(quality=Quality.LOW)).order.credit_cost == 1


async def test_A6_a_repeat_costs_nothing(world: World) -> None:
    """A6: neither while credits are left, nor when none are; a different body is still a conflict."""
    world.credits.left = 4
    first = await world.create(request_id="once")
    assert (await world.create(request_id="once")).job_id == first.job_id
    assert (world.credits.left, world.credits.held) == (2, {first.job_id: 2})
    await world.create()
    assert (await world.create(request_id="once")).job_id == first.job_id
    with pytest.raises(IdempotencyConflict):
        await world.create(request_id="once", topic="Else")
    with pytest.raises(CreditsExhausted):
        await world.create(request_id="another")
    assert world.credits.left == 0


async def test_A6_nothing_is_accepted_while_nobody_can_say(world: World) -> None:
    """A6: UNAVAILABLE with a delay; what has ended meanwhile is settled when auth is back."""
    job = await world.processing()
    world.credits.away = True
    with pytest.raises(CreditsUnavailable):
        await world.create()
    await world.orders.cancel(ADA, job.job_id)
    for _ in range(5):
        await world.settling.deliver()
        world.clock.advance(seconds=15)
    assert job.job_id in world.credits.held
    world.credits.away = False
    world.clock.advance(seconds=15)
    await deliver(world.settling)
    assert world.credits.held == {}


async def test_A6_a_quality_without_a_price_asks_nobody(world: World) -> None:
    """A6."""
    world.credits.away = True
    assert (await world.create(quality=Quality.HIGH)).order.credit_cost == 0


async def test_A6_commands_that_are_refused_are_not_repeated_for_ever(world: World) -> None:
    """A6: the ledger disagrees: logged, and the next command goes on."""
    job = await world.create()
    world.credits.held.clear()
    await deliver(world.settling)
    await world.orders.cancel(ADA, job.job_id)
    await deliver(world.settling)
    assert [row for row in world.db.outbox if row.command.job_id == job.job_id] == []

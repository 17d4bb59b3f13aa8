"""What every `RenderStore` must do: the same tests over Postgres and over the fake that unit tests use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from services.runtime.eventlog import EventStore
from services.video_render.adapters.postgres import tables
from services.video_render.adapters.postgres.engine import create_render_engine
from services.video_render.adapters.postgres.store import PostgresRenderStore
from services.video_render.api import codec
from services.video_render.application.ports import RenderStore, StoreUnavailable
from services.video_render.domain.errors import LeaseLost, RenderNotFound
from services.video_render.domain.outcomes import (
    Chapter,
    RenderedScene,
    RenderedVideo,
    Rendition,
    Segment,
    Stage,
    StepFailure,
    StoredFile,
)
from services.video_render.domain.render import Plan, PlannedScene, Render
from services.video_render.domain.request import Priority, Quality, RenderRequest
from services.video_render.domain.steps import LeasePolicy, Step, StepState
from tests import stack
from tests.fakes.video_render import ManualClock, MemoryRenderStore

POLICY = LeasePolicy(timedelta(seconds=15), 4)
BRIEF = timedelta(milliseconds=1)
SEGMENT = StoredFile("o1", "ab" * 32, 1000, "video/mp4")
POSTER = StoredFile("o2", "cd" * 32, 10, "image/png")
SCENE = RenderedScene((Segment("720p", SEGMENT, 30, 10, (500, 490), 15),), POSTER, 30, 1.0, ("small text",))
VIDEO = RenderedVideo(
    SEGMENT,
    POSTER,
    SEGMENT,
    "T",
    2.0,
    854,
    480,
    15.0,
    "h264",
    30,
    (Chapter(0, "S", "title", 0.0, 2.0),),
    (Rendition("480p", SEGMENT, 854, 480, 15.0, "avc1.42c01e", 9000, 4000),),
)


class Bench(Protocol):
    """A store under test, and a look behind it."""

    store: RenderStore

    async def pass_time(self, seconds: float) -> None:
        """Let the store's clock move on."""
        ...

    async def events(self, render_id: str) -> int:
        """How many events are stored."""
        ...

    async def pending(self) -> list[tuple[str, Priority]]:
        """Take what waits in the outbox."""
        ...


class MemoryBench:
    """The fake."""

    def __init__(self) -> None:
        self._clock = ManualClock()
        self._memory = MemoryRenderStore(self._clock.now)
        self.store: RenderStore = self._memory

    async def pass_time(self, seconds: float) -> None:
        """At once."""
        self._clock.advance(seconds)

    async def events(self, render_id: str) -> int:
        """How many events are stored."""
        return len(self._memory.events[render_id])

    async def pending(self) -> list[tuple[str, Priority]]:
        """Take what waits."""
        return [(delivery.step_id, delivery.priority) for delivery in self._memory.take_pending()]


class PostgresBench:
    """The real one. Its clock cannot be moved, so leases and offers are moved into the past instead."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._events = EventStore(engine, tables.events, notify_channel=tables.EVENTS_CHANNEL)
        self.store: RenderStore = PostgresRenderStore(engine, self._events, codec.encode_event)

    async def pass_time(self, seconds: float) -> None:
        """Everything stored becomes older."""
        by = timedelta(seconds=seconds)
        async with self._engine.begin() as connection:
            await connection.execute(
                sa.update(tables.steps).values(
                    lease_until=tables.steps.c.lease_until - by, queued_at=tables.steps.c.queued_at - by
                )
            )
            cache = tables.scene_cache
            await connection.execute(sa.update(cache).values(used_at=cache.c.used_at - by))

    async def events(self, render_id: str) -> int:
        """How many events are stored; their numbers must have no gap."""
        stored = await self._events.load(render_id, 0, 1000)
        assert [event.seq for event in stored] == list(range(1, len(stored) + 1))
        assert [codec.decode_event(event.payload).seq for event in stored] == [event.seq for event in stored]
        return len(stored)

    async def pending(self) -> list[tuple[str, Priority]]:
        """Take what waits."""
        async with self._engine.begin() as connection:
            rows = (await connection.execute(sa.select(tables.outbox).order_by(tables.outbox.c.id))).all()
            await connection.execute(sa.delete(tables.outbox))
        return [(row.step_id, Priority(row.queue)) for row in rows]


@pytest.fixture(params=["memory", "postgres"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """Each store in turn."""
    if request.param == "memory":
        yield MemoryBench()
        return
    url: str = request.getfixturevalue("postgres")()
    await stack.migrate("video_render", url)
    engine = create_render_engine(url, application_name="test")
    try:
        yield PostgresBench(engine)
    finally:
        await engine.dispose()


def order(render_id: str = "r1", **fields: object) -> RenderRequest:
    """A request with every field set."""
    values: dict[str, object] = {
        "quality": Quality.LOW,
        "priority": Priority.HIGH,
        "configuration": {"theme": "light", "n": 1.5},
        "topic": "topic",
        **fields,
    }
    return RenderRequest(render_id, "u1", "j1", context="context", **values)  # type: ignore[arg-type]


async def add(store: RenderStore, request: RenderRequest) -> tuple[Render, bool]:
    """Start a render."""

    def make(now: datetime) -> Render:
        return Render.start(request, now)

    return await store.add(make, request.render_id)


async def claim(store: RenderStore, step_id: str, task_id: str = "t1") -> Step:
    """Claim a step; it must be free."""
    async with store.change(step_id.partition(".")[0]) as change:
        step = change.render.claim(step_id, task_id, change.now, POLICY)
    assert step is not None
    return step


async def plan(store: RenderStore, *hashes: str, cached: RenderedScene | None = None) -> None:
    """Plan r1 with a scene per hash."""
    step = await claim(store, "r1.plan")
    scenes = tuple(PlannedScene(f"S {key}", "title", key, 60, cached) for key in hashes)
    async with store.change("r1") as change:
        change.render.planned(step.step_id, step.fence, Plan("T", {"title": "T"}, scenes), change.now)


async def finish_scene(store: RenderStore, step: Step) -> None:
    """A scene is done and remembered."""
    async with store.change("r1") as change:
        change.render.scene_rendered(step.step_id, step.fence, SCENE, change.now)
        change.remember(step.content_hash, SCENE)


async def test_a_render_comes_back_as_it_was_stored(bench: Bench) -> None:
    """Every field survives, at every stage of a whole life."""
    made, created = await add(bench.store, order())
    assert created
    assert await bench.store.get("r1") == made
    await plan(bench.store, "a")
    step = await claim(bench.store, "r1.scene.0", "t2")
    async with bench.store.change("r1") as change:
        change.render.progressed(step.step_id, step.fence, 10, 60)
    assert (await bench.store.get("r1")).steps[step.step_id].frames_done == 10
    await finish_scene(bench.store, step)
    assembly = await claim(bench.store, "r1.assemble", "t3")
    async with bench.store.change("r1") as change:
        change.render.publishing(assembly.step_id, assembly.fence, change.now)
        change.render.published(assembly.step_id, assembly.fence, VIDEO, change.now)
        saved = change.render
    found = await bench.store.get("r1")
    assert found == saved
    assert found.video == VIDEO
    assert found.scenes[0].result == SCENE
    assert found.seq == await bench.events("r1")
    assert found.request == order()


async def test_an_id_is_stored_once(bench: Bench) -> None:
    """V1: the second start finds the first, also when both come at once."""
    results = await asyncio.gather(*(add(bench.store, order(topic=f"t{number}")) for number in range(5)))
    assert sum(created for _, created in results) == 1
    [winner] = {render.request.topic for render, created in results if created}
    assert {render.request.topic for render, _ in results} == {winner}
    assert await bench.pending() == [("r1.plan", Priority.HIGH)]


async def test_an_unknown_render_is_not_found(bench: Bench) -> None:
    """By every way in."""
    with pytest.raises(RenderNotFound):
        await bench.store.get("nope")
    with pytest.raises(RenderNotFound):
        async with bench.store.change("nope"):
            pytest.fail("an unknown render was locked")
    assert not await bench.store.renew("nope.plan", 1, POLICY.lease)


async def test_an_exception_undoes_the_transition(bench: Bench) -> None:
    """State, events, outbox and cache: all or nothing."""
    before, _ = await add(bench.store, order())
    events, _ = await bench.events("r1"), await bench.pending()

    async def half_a_transition() -> None:
        async with bench.store.change("r1") as change:
            change.render.claim("r1.plan", "t1", change.now, POLICY)
            change.remember("h", SCENE)
            change.render.hand_back("r1.plan", 99, change.now)

    with pytest.raises(LeaseLost):
        await half_a_transition()
    assert await bench.store.get("r1") == before
    assert await bench.events("r1") == events
    assert await bench.pending() == []
    assert await bench.store.cached_scenes("u1", ["h"]) == {}


async def test_only_one_of_many_claims_wins(bench: Bench) -> None:
    """DESIGN §3: a step has one holder, however often it was delivered."""
    await add(bench.store, order())

    async def attempt(number: int) -> bool:
        async with bench.store.change("r1") as change:
            return change.render.claim("r1.plan", f"t{number}", change.now, POLICY) is not None

    won = await asyncio.gather(*(attempt(number) for number in range(8)))
    assert sum(won) == 1
    assert (await bench.store.get("r1")).steps["r1.plan"].fence == 1


async def test_a_lease_is_renewed_only_under_its_fence(bench: Bench) -> None:
    """DESIGN §3: heartbeats of the holder keep the step, those of a former holder do not."""
    await add(bench.store, order())
    step = await claim(bench.store, "r1.plan")
    await bench.pass_time(20)
    assert await bench.store.expired(10) == ["r1.plan"]
    assert await bench.store.renew("r1.plan", step.fence, POLICY.lease)
    assert await bench.store.expired(10) == []
    assert not await bench.store.renew("r1.plan", step.fence + 1, POLICY.lease)
    await bench.pass_time(20)
    again = await claim(bench.store, "r1.plan", "t2")
    assert again.fence == step.fence + 1
    assert not await bench.store.renew("r1.plan", step.fence, POLICY.lease)
    assert await bench.store.expired(10) == []


async def test_a_transition_keeps_a_renewal_that_came_in_between(bench: Bench) -> None:
    """A heartbeat does not wait for the render's lock, and progress must not shorten what it gave."""
    await add(bench.store, order())
    await plan(bench.store, "a")
    step = await claim(bench.store, "r1.scene.0")
    await bench.pass_time(14)
    if isinstance(bench, PostgresBench):
        async with bench.store.change("r1") as change:
            assert await bench.store.renew(step.step_id, step.fence, POLICY.lease)
            change.render.progressed(step.step_id, step.fence, 5, 60)
        await bench.pass_time(10)
        assert await bench.store.expired(10) == []


async def test_a_process_that_freezes_in_a_transition_does_not_keep_the_lock(postgres: Callable[[], str]) -> None:
    """DESIGN §3: it would block its own successor; Postgres ends its transaction, and it learns of it."""
    url = postgres()
    await stack.migrate("video_render", url)
    engine = create_render_engine(url, application_name="test")
    store = PostgresBench(engine).store
    await add(store, order())
    locked, thaw = asyncio.Event(), asyncio.Event()

    async def frozen() -> None:
        async with store.change("r1") as change:
            change.render.cancel(change.now)
            locked.set()
            await thaw.wait()

    freezing = asyncio.ensure_future(frozen())
    await locked.wait()
    async with asyncio.timeout(14):
        await claim(store, "r1.plan")
    thaw.set()
    with pytest.raises(StoreUnavailable):
        await freezing
    assert (await store.get("r1")).steps["r1.plan"].state is StepState.RUNNING
    await engine.dispose()


async def test_a_cancelled_step_is_not_renewed(bench: Bench) -> None:
    """J3: that is how a heartbeat learns of a cancel."""
    await add(bench.store, order())
    step = await claim(bench.store, "r1.plan")
    async with bench.store.change("r1") as change:
        assert change.render.cancel(change.now) == ["t1"]
    assert not await bench.store.renew("r1.plan", step.fence, POLICY.lease)
    assert (await bench.store.get("r1")).steps["r1.plan"].state is StepState.CANCELLED


async def test_unclaimed_steps_are_those_that_left_the_outbox_long_ago(bench: Bench) -> None:
    """DESIGN §3: the sweeper's view of what the queue may have lost."""
    await add(bench.store, order())
    await bench.pass_time(5)
    assert await bench.store.unclaimed(Priority.HIGH, BRIEF, 10) == [], "it is still in the outbox"
    await bench.pending()
    assert await bench.store.unclaimed(Priority.HIGH, BRIEF, 10) == ["r1.plan"]
    assert await bench.store.unclaimed(Priority.LOW, BRIEF, 10) == []
    assert await bench.store.unclaimed(Priority.HIGH, timedelta(minutes=1), 10) == []
    async with bench.store.change("r1") as change:
        change.render.republish("r1.plan", change.now)
    assert await bench.pending() == [("r1.plan", Priority.HIGH)]
    assert await bench.store.unclaimed(Priority.HIGH, timedelta(seconds=4), 10) == [], "it was just offered again"


async def test_scenes_are_remembered_per_owner(bench: Bench) -> None:
    """V10: a content address is known to its owner only, and forgotten when its files are gone."""
    await add(bench.store, order())
    await plan(bench.store, "a", "b")
    await finish_scene(bench.store, await claim(bench.store, "r1.scene.0"))
    assert await bench.store.cached_scenes("u1", ["a", "b"]) == {"a": SCENE}
    assert await bench.store.cached_scenes("u2", ["a", "b"]) == {}
    assert await bench.store.cached_scenes("u1", []) == {}
    async with bench.store.change("r1") as change:
        change.forget(["a"])
    assert await bench.store.cached_scenes("u1", ["a"]) == {}


async def test_V10_remembered_scenes_are_forgotten_by_age_and_size(bench: Bench) -> None:
    """V10: what was of use lately stays; each owner has so many bytes."""
    await add(bench.store, order())
    await plan(bench.store, "a", "b", "c")
    for index in range(3):
        await finish_scene(bench.store, await claim(bench.store, f"r1.scene.{index}"))
        await bench.pass_time(3 * 3600)
    assert await bench.store.evict_scenes(timedelta(days=1), 3 * SCENE.size_bytes) == 0
    assert set(await bench.store.cached_scenes("u1", ["a"])) == {"a"}, "which is use"
    assert await bench.store.evict_scenes(timedelta(days=1), 2 * SCENE.size_bytes) == 1
    assert set(await bench.store.cached_scenes("u1", ["b"])) == set(), "the one that was not used for longest"
    assert await bench.store.evict_scenes(timedelta(hours=2), 2 * SCENE.size_bytes) == 1
    assert set(await bench.store.cached_scenes("u1", ["a", "b", "c"])) == {"a"}


async def test_V10_a_failed_step_waits_before_it_is_tried_again(bench: Bench) -> None:
    """V10: it is offered when its time has come, and nobody takes it before."""
    await add(bench.store, order())
    await plan(bench.store, "a")
    await bench.pending()
    step = await claim(bench.store, "r1.scene.0")
    patient = replace(POLICY, retry_pause=timedelta(seconds=60))
    async with bench.store.change("r1") as change:
        failure = StepFailure("ENCODE_FAILED", "no room", retryable=True)
        change.render.step_failed(step.step_id, step.fence, failure, change.now, patient)
    async with bench.store.change("r1") as change:
        assert change.render.claim("r1.scene.0", "early", change.now, POLICY) is None
    await bench.pass_time(61)
    async with bench.store.change("r1") as change:
        assert change.render.claim("r1.scene.0", "in time", change.now, POLICY) is not None


async def test_a_failure_is_stored_with_its_place(bench: Bench) -> None:
    """V3: code, stage, scene, retryable."""
    await add(bench.store, order())
    await plan(bench.store, "a", "b")
    step = await claim(bench.store, "r1.scene.1")
    async with bench.store.change("r1") as change:
        failure = StepFailure("TYPESETTING_FAILED", "bad", retryable=False)
        change.render.step_failed(step.step_id, step.fence, failure, change.now, POLICY)
    error = (await bench.store.get("r1")).error
    assert error
    assert (error.code, error.stage, error.scene_index, error.retryable) == (
        "TYPESETTING_FAILED",
        Stage.RENDERING,
        1,
        False,
    )


async def test_J10_a_job_is_forgotten_with_what_is_its_own(bench: Bench) -> None:
    """J10: its renders, steps, events, deliveries and the scenes it drew; nothing of other jobs."""
    await add(bench.store, order())
    await add(bench.store, order("r2"))
    other = RenderRequest("r3", "u1", "j2", topic="t", context="c", quality=Quality.LOW, priority=Priority.HIGH)
    await add(bench.store, other)
    await bench.pending()
    await plan(bench.store, "a", "b")
    await finish_scene(bench.store, await claim(bench.store, "r1.scene.0"))
    assert set(await bench.store.of_job("u1", "j1")) == {"r1", "r2"}
    assert await bench.store.of_job("u2", "j1") == []
    assert await bench.store.forget_job("u2", "j1") == 0
    assert await bench.store.forget_job("u1", "j1") == 2
    assert await bench.store.forget_job("u1", "j1") == 0
    for render_id in ("r1", "r2"):
        with pytest.raises(RenderNotFound):
            await bench.store.get(render_id)
    assert await bench.store.cached_scenes("u1", ["a"]) == {}
    assert await bench.pending() == []
    assert (await bench.store.get("r3")).request == other
    assert not await bench.store.renew("r1.scene.1", 1, timedelta(seconds=1))

"""Orders, queries, watches and videos over the fakes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from services.job.application.estimates import Estimates
from services.job.application.neighbours import Artifact
from services.job.application.ports import JobQuery, LiveEvent
from services.job.application.queries import PageWish
from services.job.application.videos import filename_of
from services.job.application.watch import Snapshot
from services.job.domain.errors import (
    ArtifactNotFound,
    IdempotencyConflict,
    JobNotFound,
    PositionBeyondEnd,
    PositionExpired,
    StateConflict,
    Unsupported,
)
from services.job.domain.job import Job
from services.job.domain.render import PlannedFact, ProgressFact, RenderState, Scene, StateFact, Video
from services.job.domain.values import JobStage, JobStatus
from tests.fakes.job import START
from tests.unit.job.world import ADA, ADMIN, BOB, World

VIDEO = Video("v", "t", "s", "Half ½: a/b", 4, "a" * 64, 1.0, 1280, 720, 30.0, "h264", 30)


@pytest.fixture
def world() -> World:
    return World()


async def complete(world: World, job: Job, video: Video = VIDEO) -> None:
    async with world.jobs.change(job.job_id) as locked:
        assert locked is not None
        fact = StateFact(locked.render_cursor + 1, RenderState.SUCCEEDED, JobStage.PUBLISHING, 100.0, video=video)
        locked.apply(locked.render_id, [fact], world.clock.now(), world.rules.retry, 0.5)


async def test_v1_repeat_gets_the_first_answer(world: World) -> None:
    """V1: also after the job has moved on; nothing is created."""
    first = await world.create(request_id="r")
    await world.dispatcher.admit()
    world.clock.advance(hours=1)
    again = await world.create(request_id="r")
    assert (again.job_id, again.status, again.revision) == (first.job_id, JobStatus.QUEUED, 1)
    assert (again.created_at, again.updated_at) == (START, START)
    assert len(world.db.jobs) == 1


async def test_v1_other_body_conflicts(world: World) -> None:
    await world.create(request_id="r")
    with pytest.raises(IdempotencyConflict):
        await world.create(request_id="r", topic="U")
    await world.create(BOB, request_id="r", topic="U")
    world.clock.advance(hours=24)
    await world.create(request_id="r", topic="U")
    assert len(world.db.jobs) == 3


async def test_v1_without_a_request_id_a_repeat_is_another_order(world: World) -> None:
    assert (await world.create()).job_id != (await world.create()).job_id
    assert world.queued.times == 2


async def test_v1_refused_order_stores_nothing(world: World) -> None:
    with pytest.raises(Unsupported):
        await world.create(request_id="r", use_rag=True)
    assert not world.db.jobs
    assert not world.db.requests


async def test_a5_others_jobs_are_not_found(world: World) -> None:
    job = await world.create()
    for call in (
        world.queries.get(BOB, job.job_id),
        world.queries.progress(BOB, job.job_id),
        world.queries.history(BOB, job.job_id, "", 10),
        world.orders.cancel(BOB, job.job_id),
        world.orders.delete(BOB, job.job_id),
        world.watch.open(BOB, job.job_id, None),
        world.videos.download(BOB, job.job_id, ""),
        world.videos.get(BOB, job.job_id),
        world.videos.thumbnail(BOB, job.job_id),
    ):
        with pytest.raises(JobNotFound):
            await call
    assert (await world.queries.get(ADMIN, job.job_id)).job.job_id == job.job_id
    assert (await world.job(job.job_id)).status is JobStatus.QUEUED


async def test_j3_delete_twice_is_not_found(world: World) -> None:
    job = await world.create()
    await world.orders.delete(ADA, job.job_id)
    with pytest.raises(JobNotFound):
        await world.orders.delete(ADA, job.job_id)
    with pytest.raises(JobNotFound):
        await world.queries.get(ADMIN, job.job_id)
    assert (await world.job(job.job_id)).status is JobStatus.CANCELLED


async def test_j3_cancel_wakes_the_delivery_only_when_something_runs(world: World) -> None:
    running, queued = await world.processing(), await world.create()
    before = world.commanded.times
    for job in (queued, running, running):
        await world.orders.cancel(ADA, job.job_id)
    assert world.commanded.times == before + 1
    with pytest.raises(JobNotFound):
        await world.orders.cancel(ADA, "none")


async def test_v3_estimates(world: World) -> None:
    """V3: from recent durations, then from the job's own pace."""
    job = await world.processing()
    assert (await world.queries.progress(ADA, job.job_id)).estimated_completion is None
    world.clock.advance(seconds=60)
    await complete(world, job)
    assert (await world.queries.progress(ADA, job.job_id)).estimated_completion is None
    world.clock.advance(seconds=60)
    now = world.clock.now()
    queued = await world.create()
    assert queued.first_estimate == now + timedelta(seconds=60)
    waiting = await world.queries.progress(ADA, queued.job_id)
    assert (waiting.queue_position, waiting.estimated_completion) == (0, now + timedelta(seconds=60))
    await world.dispatcher.admit()
    world.clock.advance(seconds=10)
    assert (await world.queries.get(ADA, queued.job_id)).estimated_completion == now + timedelta(seconds=60)
    async with world.jobs.change(queued.job_id) as locked:
        assert locked is not None
        rendering = StateFact(1, RenderState.RUNNING, JobStage.RENDERING, 1.0)
        plan = PlannedFact(2, "Title", (Scene(0, frames_total=60), Scene(1, frames_total=40)))
        locked.apply(locked.render_id, [rendering, plan], world.clock.now(), world.rules.retry, 0.5)
    world.clock.advance(seconds=10)
    async with world.jobs.change(queued.job_id) as locked:
        assert locked is not None
        locked.apply(locked.render_id, [ProgressFact(3, 20.0, 0, 20, 60)], world.clock.now(), world.rules.retry, 0.5)
    view = await world.queries.progress(ADA, queued.job_id)
    assert (view.queue_position, view.estimated_completion) == (None, world.clock.now() + timedelta(seconds=40))


async def test_v3_the_first_promise_includes_the_wait(world: World) -> None:
    """V3: accepted behind two full rounds of the slots, an order is promised for after them."""
    job = await world.processing()
    world.clock.advance(seconds=60)
    await complete(world, job)
    estimates = Estimates(world.queue, world.clock, slots=2)
    for _ in range(5):
        await world.create()
    waiting = Job.accept("last", job.order, world.clock.now())
    assert await estimates.promise(waiting) == world.clock.now() + 3 * timedelta(seconds=60)


async def test_v3_a_place_is_looked_up_once_for_many_orders(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """V3, P2: a user's next orders are promised to come one after the other; after ten seconds it is looked again."""
    job = await world.processing()
    world.clock.advance(seconds=60)
    await complete(world, job)
    for _ in range(3):
        await world.create()
    looked: list[str] = []
    position = world.queue.position

    async def counted(asked: Job) -> int:
        looked.append(asked.order.owner_id)
        return await position(asked)

    monkeypatch.setattr(world.queue, "position", counted)
    estimates = Estimates(world.queue, world.clock, slots=2)

    async def waves(owner_id: str) -> int:
        order = replace(job.order, owner_id=owner_id)
        promised = await estimates.promise(Job.accept("last", order, world.clock.now()))
        assert promised is not None
        return (promised - world.clock.now()) // timedelta(seconds=60)

    owner = job.order.owner_id
    assert [await waves(owner) for _ in range(4)] == [2, 3, 3, 4]
    assert await waves("somebody else") in (1, 2)
    assert looked == [owner, "somebody else"]
    world.clock.advance(seconds=10)
    assert await waves(owner) == 2
    assert len(looked) == 3


async def test_v3_queue_position_counts_waves(world: World) -> None:
    jobs = [await world.create() for _ in range(3)]
    views = [await world.queries.progress(ADA, job.job_id) for job in jobs]
    assert [view.queue_position for view in views] == [0, 1, 2]


async def test_j2_list_pages_are_stable_while_rows_are_inserted(world: World) -> None:
    jobs = []
    for _ in range(5):
        world.clock.advance(seconds=1)
        jobs.append((await world.create()).job_id)
    query = JobQuery("ada")
    first = await world.queries.page(query, PageWish(2, with_total=True))
    assert first.total == 5
    world.clock.advance(seconds=1)
    await world.create()
    second = await world.queries.page(query, PageWish(2, first.next_page_token))
    third = await world.queries.page(query, PageWish(2, second.next_page_token))
    seen = [view.job.job_id for page in (first, second, third) for view in page.views]
    assert seen == jobs[::-1]
    assert (third.next_page_token, third.total) == ("", None)


async def test_j1_history_pages(world: World) -> None:
    job = await world.processing()
    await world.orders.cancel(ADA, job.job_id)
    first, token = await world.queries.history(ADA, job.job_id, "", 2)
    rest, last = await world.queries.history(ADA, job.job_id, token, 2)
    assert ([event.seq for event in first + rest], last) == ([1, 2, 3], "")


async def collect(opened: AsyncIterator[Snapshot | LiveEvent]) -> list[int | str]:
    async with asyncio.timeout(5):
        return [
            f"snapshot {item.view.job.revision}" if isinstance(item, Snapshot) else item.seq async for item in opened
        ]


async def test_j7_watch_positions(world: World) -> None:
    """J7: a snapshot at S then S+1 …; after a position everything behind it; the terminal event is last."""
    job = await world.processing()
    opened = [await world.watch.open(ADA, job.job_id, after) for after in (None, 0, 1, 2)]
    await complete(world, job)
    assert [await collect(stream) for stream in opened] == [["snapshot 2", 3], [1, 2, 3], [2, 3], [3]]
    assert await collect(await world.watch.open(ADA, job.job_id, None)) == ["snapshot 3"]
    assert await collect(await world.watch.open(ADA, job.job_id, 3)) == []
    with pytest.raises(PositionBeyondEnd):
        await world.watch.open(ADA, job.job_id, 4)


async def test_j7_position_that_is_not_kept_has_expired(world: World) -> None:
    job = await world.processing()
    del world.db.events[job.job_id][0]
    with pytest.raises(PositionExpired):
        await world.watch.open(ADA, job.job_id, 0)


async def test_j7_item_knows_that_it_is_the_last(world: World) -> None:
    job = await world.create()
    await world.orders.cancel(ADA, job.job_id)
    items = [item async for item in await world.watch.open(ADA, job.job_id, 0)]
    assert [item.terminal for item in items if isinstance(item, LiveEvent)] == [False, True]


async def test_v4_v6_v7_locations(world: World) -> None:
    """V4, V6, V7: through storage, in the owner's name."""
    job = await world.processing()
    with pytest.raises(StateConflict):
        await world.videos.download(ADA, job.job_id, "")
    await complete(world, job)
    with pytest.raises(ArtifactNotFound):
        await world.videos.download(ADA, job.job_id, "")
    world.objects.owners |= {"v": "ada", "t": "ada"}
    world.objects.kept[job.job_id].append(Artifact("video", "v", "key", 4))
    location = await world.videos.download(ADMIN, job.job_id, "720p")
    assert (location.object_id, location.filename, location.inline) == ("v", "Half-½-a-b.mp4", False)
    with pytest.raises(ArtifactNotFound):
        await world.videos.download(ADA, job.job_id, "1080p")
    poster = await world.videos.thumbnail(ADA, job.job_id)
    assert (poster.object_id, poster.inline, "max-age" in poster.cache_control) == ("t", True, True)
    view = await world.videos.get(ADA, job.job_id)
    assert (view.thumbnail, [artifact.key for artifact in view.artifacts]) == (poster, ["key"])


async def test_v7_no_thumbnail_when_none_was_asked_for(world: World) -> None:
    job = await world.processing(thumbnails=False)
    await complete(world, job)
    world.objects.owners |= {"v": "ada", "t": "ada"}
    with pytest.raises(ArtifactNotFound):
        await world.videos.thumbnail(ADA, job.job_id)
    assert (await world.videos.get(ADA, job.job_id)).thumbnail is None


async def test_v6_metadata_without_its_poster(world: World) -> None:
    job = await world.processing()
    await complete(world, job, replace(VIDEO, thumbnail_object_id="gone"))
    world.objects.owners["v"] = "ada"
    assert (await world.videos.get(ADA, job.job_id)).thumbnail is None


@pytest.mark.parametrize(
    ("title", "name"),
    [("A title", "A-title.mp4"), ("../../etc", "etc.mp4"), ('"\r\n', "id.mp4"), ("Größe 2½", "Größe-2½.mp4")],
)
def test_v4_filename_is_harmless(title: str, name: str) -> None:
    assert filename_of(title, "id") == name

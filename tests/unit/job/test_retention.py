"""Retention, pins and the removal of files, with an injected clock (J10, J3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from services.job.application.couriers import Courier
from services.job.application.neighbours import Artifact
from services.job.application.orders import Pins
from services.job.application.retention import FileCommands, Retention
from services.job.application.ticking import Wakeup
from services.job.domain import retention
from services.job.domain.errors import ArtifactNotFound, JobNotFound, QuotaExhausted, StateConflict
from services.job.domain.events import Lane
from services.job.domain.job import Job
from services.job.domain.order import Order
from services.job.domain.plan import Kept, Plan, Plans
from services.job.domain.render import RenderState, StateFact
from services.job.domain.values import JobStage, JobStatus
from tests.contract.test_job_ports import VIDEO
from tests.fakes.job import START
from tests.fakes.job_retention import FakeAudit, FakeRetention
from tests.unit.job.world import ADA, BOB, World

DAY = timedelta(days=1)
PLAN = Plan(pinned=2, retention={Kept.JOB: 365 * DAY, Kept.VIDEO: 90 * DAY, Kept.SEGMENT: 7 * DAY})


@dataclass
class Keeping:
    """The job service's use cases with retention."""

    world: World = field(default_factory=World)

    def __post_init__(self) -> None:
        world = self.world
        plans = Plans({"free": PLAN})
        self.audit = FakeAudit(world.db)
        self.pins = Pins(world.jobs, plans, world.clock)
        self.sweep = Retention(
            FakeRetention(world.db), world.jobs, world.renders, world.objects, plans, world.clock
        ).sweep
        handler = FileCommands(world.jobs, world.renders, world.objects, world.clock)
        self.files = Courier(Lane.FILES, world.outbox, handler, world.clock, Wakeup(60))

    async def completed(self) -> Job:
        """A job with a video, a segment, and its times."""
        job = await self.world.processing()
        async with self.world.jobs.change(job.job_id) as locked:
            assert locked is not None
            done = StateFact(1, RenderState.SUCCEEDED, JobStage.PUBLISHING, 100.0, video=VIDEO)
            locked.apply(locked.render_id, [done], self.world.clock.now(), self.world.rules.retry, 0.5)
            retention.schedule(locked, PLAN)
        for kind, name in (("video", "v"), ("segment", "s")):
            self.world.objects.owners[name] = "ada"
            self.world.objects.kept[job.job_id].append(Artifact(kind, name, f"key/{name}", 10))
        return await self.world.job(job.job_id)

    async def actions(self, job: Job) -> list[str]:
        """What was audited, oldest first."""
        return [entry.note.action for entry in reversed(await self.audit.entries(job.job_id, None, 100))]

    def kept(self, job: Job) -> list[str]:
        """What storage has of the job."""
        return [artifact.kind for artifact in self.world.objects.kept[job.job_id]]


@pytest.fixture
def keeping() -> Keeping:
    return Keeping()


async def test_J10_segments_then_the_video_then_the_job(keeping: Keeping) -> None:
    """J10: each has its time after the end; a video that expired is a 404 that says so; the audit has it all."""
    job, clock = await keeping.completed(), keeping.world.clock
    end = clock.now()
    assert (job.segments_expire_at, job.expires_at, job.purge_at) == (end + 7 * DAY, end + 90 * DAY, end + 365 * DAY)
    assert await keeping.sweep() == 0
    clock.advance(days=7)
    assert await keeping.sweep() == 1
    assert keeping.kept(job) == ["video"]
    assert keeping.world.renders.renders == {}
    clock.advance(days=83)
    assert await keeping.sweep() == 1
    assert keeping.kept(job) == []
    expired = await keeping.world.job(job.job_id)
    assert (expired.status, expired.expired_at, expired.expires_at) == (JobStatus.COMPLETED, clock.now(), None)
    with pytest.raises(ArtifactNotFound, match="expired on 2026-04-02"):
        await keeping.world.videos.download(ADA, job.job_id, "")
    clock.advance(days=275)
    assert await keeping.sweep() == 1
    assert await keeping.world.jobs.get(job.job_id) is None
    assert await keeping.actions(job) == ["files.removed", "job.expired"]
    assert await keeping.sweep() == 0


async def test_J10_a_pinned_job_is_kept_whole(keeping: Keeping) -> None:
    """J10: for ever; unpinned after its time, it stays for a day."""
    job, clock = await keeping.completed(), keeping.world.clock
    pinned = await keeping.pins.pin(ADA, job.job_id)
    assert (pinned.expires_at, pinned.purge_at, pinned.retention_at) == (None, None, None)
    assert (await keeping.pins.pin(ADA, job.job_id)).pinned_at == pinned.pinned_at
    clock.advance(days=1000)
    assert await keeping.sweep() == 0
    free = await keeping.pins.unpin(ADA, job.job_id)
    assert (free.pinned_at, free.expires_at, free.purge_at) == (None, clock.now() + DAY, clock.now() + DAY)
    assert await keeping.sweep() == 0
    clock.advance(days=1)
    assert await keeping.sweep() == 1
    assert await keeping.actions(job) == ["job.pinned", "job.unpinned", "job.expired"]


async def test_J10_pins_have_their_limits(keeping: Keeping) -> None:
    """J10: as many as the plan allows; not what has expired; nobody else's."""
    jobs = [await keeping.completed() for _ in range(3)]
    for job in jobs[:2]:
        await keeping.pins.pin(ADA, job.job_id)
    with pytest.raises(QuotaExhausted, match="2 pinned jobs"):
        await keeping.pins.pin(ADA, jobs[2].job_id)
    with pytest.raises(JobNotFound):
        await keeping.pins.pin(BOB, jobs[2].job_id)
    await keeping.pins.unpin(ADA, jobs[0].job_id)
    keeping.world.clock.advance(days=90)
    await keeping.sweep()
    with pytest.raises(StateConflict, match="expired"):
        await keeping.pins.pin(ADA, jobs[2].job_id)


async def test_J10_nothing_is_lost_track_of_while_a_neighbour_is_away(keeping: Keeping) -> None:
    """J10: tried again after the lease, until it works."""
    job, clock = await keeping.completed(), keeping.world.clock
    clock.advance(days=400)
    keeping.world.objects.away = True
    assert await keeping.sweep() == 0
    assert await keeping.world.jobs.get(job.job_id) is not None
    keeping.world.objects.away = False
    assert await keeping.sweep() == 0
    clock.advance(seconds=60)
    assert await keeping.sweep() == 1
    assert await keeping.world.jobs.get(job.job_id) is None
    assert keeping.kept(job) == []


async def test_J10_J3_a_deleted_job_goes_within_minutes_pinned_or_not(keeping: Keeping) -> None:
    """J10, J3."""
    job, clock = await keeping.completed(), keeping.world.clock
    await keeping.pins.pin(ADA, job.job_id)
    await keeping.world.orders.delete(ADA, job.job_id)
    async with keeping.world.jobs.change(job.job_id) as locked:
        assert locked is not None
        retention.schedule(locked, PLAN)
    clock.advance(seconds=59)
    assert await keeping.sweep() == 0
    clock.advance(seconds=1)
    assert await keeping.sweep() == 1
    assert await keeping.world.jobs.get(job.job_id) is None
    assert await keeping.actions(job) == ["job.pinned", "job.deleted", "job.purged"]


async def test_J3_the_files_of_a_cancelled_job_go_at_once_and_once_more(keeping: Keeping) -> None:
    """J3: what an upload that was under way stores after the cancel goes a minute later; both are audited."""
    world = keeping.world
    job = await world.processing()
    world.objects.owners["s"] = "ada"
    world.objects.kept[job.job_id].append(Artifact("segment", "s", "key/s", 10))
    await world.orders.cancel(ADA, job.job_id)
    assert await keeping.files.deliver() == 1
    assert keeping.kept(job) == []
    assert world.renders.renders == {}
    world.objects.owners["late"] = "ada"
    world.objects.kept[job.job_id].append(Artifact("segment", "late", "key/late", 5))
    assert await keeping.files.deliver() == 0
    world.clock.advance(seconds=60)
    assert await keeping.files.deliver() == 1
    assert keeping.kept(job) == []
    assert await keeping.files.deliver() == 0
    assert await keeping.actions(job) == ["files.removed", "files.removed"]


async def test_J3_files_are_removed_when_storage_is_back(keeping: Keeping) -> None:
    """J3."""
    world = keeping.world
    job = await world.processing()
    world.objects.owners["s"] = "ada"
    world.objects.kept[job.job_id].append(Artifact("segment", "s", "key/s", 10))
    await world.orders.cancel(ADA, job.job_id)
    world.objects.away = True
    for _ in range(5):
        await keeping.files.deliver()
        world.clock.advance(seconds=15)
    assert keeping.kept(job) == ["segment"]
    world.objects.away = False
    assert await keeping.files.deliver() == 1
    assert keeping.kept(job) == []
    assert await keeping.actions(job) == ["files.removed"]


def test_J10_kept_for_ever_has_no_time() -> None:
    """J10: a plan may keep things for ever."""
    job = Job.accept("id", Order("ada", "T", "C"), START)
    job.cancel(START)
    retention.schedule(job, Plan())
    assert job.retention_at is None

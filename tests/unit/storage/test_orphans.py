"""The orphan sweep and the end of temp objects (S6)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.runtime.ids import new_id
from services.storage.application.expiry import TEMP_LIFETIME, ExpireTemp
from services.storage.application.orphans import Finding, FindingKind, OrphanPolicy, OrphanReport, OrphanSweep
from services.storage.domain.errors import StorageUnavailable
from services.storage.domain.keys import is_own_key, make_key
from services.storage.domain.objects import ArtifactKind, BlobAddress, BlobReceipt, Bucket, Placement, StoredObject
from tests.fakes.storage import ManualClock, MemoryBlobStore, MemoryObjectRepository
from tests.fakes.storage_inventory import MemoryInventory, MemoryLedger

HOUR = timedelta(hours=1)
DATA = b"bytes"


class World:
    """The sweep over fakes."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.objects = MemoryObjectRepository()
        self.blobs = MemoryBlobStore()
        self.inventory = MemoryInventory(self.blobs)
        self.ledger = MemoryLedger(self.objects)
        self.sweep = OrphanSweep(self.objects, self.ledger, self.blobs, self.inventory, self.clock)
        self.findings: list[Finding] = []

    def row(self, bucket: Bucket = Bucket.VIDEOS) -> StoredObject:
        placement, object_id = Placement("u1", "j1", bucket, ArtifactKind.VIDEO), new_id()
        key = make_key(placement, object_id, "video/mp4", self.clock.now())
        return StoredObject(object_id, object_id, placement, key, "video/mp4", "film.mp4", self.clock.now())

    def bytes_of(self, row: StoredObject, age: timedelta = 2 * HOUR) -> StoredObject:
        self.blobs.blobs[row.address] = DATA
        self.blobs.modified[row.address] = self.clock.now() - age
        return row

    async def committed(self, bucket: Bucket = Bucket.VIDEOS) -> StoredObject:
        row = self.bytes_of(self.row(bucket))
        await self.objects.add(row)
        done = row.commit(BlobReceipt(len(DATA), "ab" * 32), self.clock.now())
        assert await self.objects.commit(done)
        return done

    async def run(self, *, dry_run: bool = False, mark_lost: bool = False, limit: int = 100) -> OrphanReport:
        self.findings = []
        return await self.sweep(OrphanPolicy(HOUR, limit, dry_run, mark_lost), self.findings.append)

    def kinds(self) -> list[tuple[FindingKind, bool]]:
        return sorted((each.kind, each.repaired) for each in self.findings)


async def test_S6_bytes_without_a_row_go_and_no_others() -> None:
    world = World()
    kept = await world.committed()
    waiting = world.bytes_of(world.row())
    await world.objects.add(waiting)
    young = world.bytes_of(world.row(), age=HOUR / 2)
    orphan = world.bytes_of(world.row())
    report = await world.run()
    assert world.findings == [Finding(FindingKind.ORPHAN, Bucket.VIDEOS, orphan.key, repaired=True)]
    assert set(world.blobs.blobs) == {kept.address, waiting.address, young.address}
    assert (report.blobs, report.repaired, report.failed, report.limited) == (4, 1, 0, False)


async def test_S6_a_dry_run_only_reports() -> None:
    world = World()
    orphan, lost = world.bytes_of(world.row()), await world.committed()
    await world.committed()
    del world.blobs.blobs[lost.address]
    world.inventory.begun[world.row().address] = world.clock.now() - 2 * HOUR
    world.clock.advance(2 * HOUR)
    await world.run(dry_run=True, mark_lost=True)
    assert world.kinds() == [(FindingKind.LOST, False), (FindingKind.ORPHAN, False), (FindingKind.UNFINISHED, False)]
    assert orphan.address in world.blobs.blobs
    assert world.inventory.begun
    assert await world.objects.find(lost.object_id, "u1") == lost


async def test_S6_a_foreign_key_is_reported_and_stays() -> None:
    world = World()
    foreign = [
        "readme.txt",
        "users/u1/notes.mp4",
        "users/u1/jobs/j1/video/000000-x.mp4",
        f"other/{world.row().key}",
        "users/../etc/passwd",
    ]
    for key in foreign:
        world.blobs.blobs[BlobAddress(Bucket.VIDEOS, key)] = DATA
    report = await world.run()
    assert report.found == {FindingKind.FOREIGN: len(foreign)}
    assert len(world.blobs.blobs) == len(foreign)


async def test_S6_a_row_without_bytes_is_reported_and_by_choice_deleted() -> None:
    world = World()
    kept, lost = await world.committed(), await world.committed()
    del world.blobs.blobs[lost.address]
    world.clock.advance(2 * HOUR)
    await world.run()
    assert world.findings == [Finding(FindingKind.LOST, Bucket.VIDEOS, lost.key, lost.object_id)]
    assert await world.objects.find(lost.object_id, "u1") == lost
    await world.run(mark_lost=True)
    assert world.kinds() == [(FindingKind.LOST, True)]
    assert await world.objects.find(lost.object_id, "u1") is None
    assert await world.objects.find(kept.object_id, "u1") == kept
    await world.run(mark_lost=True)
    assert not world.findings


async def test_S6_a_young_row_is_not_looked_at() -> None:
    world = World()
    lost = await world.committed()
    del world.blobs.blobs[lost.address]
    assert (await world.run()).rows == 0
    assert not world.findings


async def test_S6_an_empty_bucket_is_no_reason_to_forget_its_rows() -> None:
    """A disk that is not mounted looks like one that lost everything."""
    world = World()
    lost = await world.committed()
    world.blobs.blobs.clear()
    world.clock.advance(2 * HOUR)
    await world.run(mark_lost=True)
    assert world.kinds() == [(FindingKind.LOST, False)]
    assert await world.objects.find(lost.object_id, "u1") == lost


async def test_S6_bytes_of_another_length_are_reported() -> None:
    world = World()
    damaged = await world.committed()
    world.blobs.blobs[damaged.address] = DATA[:-1]
    world.clock.advance(2 * HOUR)
    await world.run(mark_lost=True)
    assert world.kinds() == [(FindingKind.DAMAGED, False)]


async def test_S6_unfinished_uploads_go_unless_their_write_still_waits() -> None:
    world = World()
    waiting, orphan, young = world.row(), world.row(), world.row()
    kept = await world.committed()
    await world.objects.add(waiting)
    for row, age in ((waiting, 2 * HOUR), (orphan, 2 * HOUR), (young, HOUR / 2), (kept, 2 * HOUR)):
        world.inventory.begun[row.address] = world.clock.now() - age
    await world.run()
    assert world.kinds() == [(FindingKind.UNFINISHED, True)] * 2
    assert set(world.inventory.begun) == {waiting.address, young.address}
    assert kept.address in world.blobs.blobs


async def test_S6_a_run_ends_at_its_limit_and_the_next_goes_on() -> None:
    world = World()
    for _ in range(5):
        world.bytes_of(world.row())
    for expected, limited in ((2, True), (2, True), (1, False)):
        report = await world.run(limit=2)
        assert (report.repaired, report.limited) == (expected, limited)
    lost = [await world.committed() for _ in range(3)]
    await world.committed()
    for row in lost:
        del world.blobs.blobs[row.address]
    world.clock.advance(2 * HOUR)
    assert [(await world.run(limit=2, mark_lost=True)).repaired for _ in range(3)] == [2, 1, 0]


async def test_S6_what_resists_is_left_to_the_next_run(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    orphan = world.bytes_of(world.row())

    async def resists(_: BlobAddress) -> None:
        raise StorageUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(world.blobs, "delete", resists)
        report = await world.run()
    assert (report.failed, report.repaired) == (1, 0)
    assert world.kinds() == [(FindingKind.ORPHAN, False)]
    await world.run()
    assert orphan.address not in world.blobs.blobs


async def test_S6_temp_objects_end_after_seven_days() -> None:
    world = World()
    old, kept = await world.committed(Bucket.TEMP), await world.committed()
    expire = ExpireTemp(world.ledger, world.clock)
    world.clock.advance(TEMP_LIFETIME)
    assert await expire() == 0
    world.clock.advance(timedelta(seconds=1))
    young = await world.committed(Bucket.TEMP)
    assert await expire() == 1
    assert await world.objects.find(old.object_id, "u1") is None
    assert await world.objects.find(young.object_id, "u1") == young
    assert await world.objects.find(kept.object_id, "u1") == kept


@pytest.mark.parametrize("bucket", Bucket)
@pytest.mark.parametrize("job", ["", "j-1_"])
@pytest.mark.parametrize("scene", [None, 0, 9999])
@pytest.mark.parametrize("media_type", ["video/mp4", "application/x-subrip", "application/x-sh"])
def test_S6_every_key_that_is_made_is_known_as_ours(
    bucket: Bucket, job: str, scene: int | None, media_type: str
) -> None:
    for kind in ArtifactKind:
        placement = Placement("u1", job, bucket, kind, scene, fence=2**63 - 1)
        key = make_key(placement, new_id(), media_type, ManualClock().now())
        assert is_own_key(bucket, key)
        assert not is_own_key(bucket, f"{key}x/y")
        assert not is_own_key(Bucket.TEMP if bucket is not Bucket.TEMP else Bucket.CODE, key)

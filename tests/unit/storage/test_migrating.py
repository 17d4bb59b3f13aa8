"""Moving objects from one store to another (S7)."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import pytest

from services.runtime.ids import new_id
from services.storage.application.migrating import MigrateFiles, MigrationPlan, MigrationReport, Outcome
from services.storage.domain.errors import StorageUnavailable
from services.storage.domain.objects import ArtifactKind, BlobAddress, BlobReceipt, Bucket, Placement, StoredObject
from tests.fakes.storage import ManualClock, MemoryBlobStore, MemoryObjectRepository
from tests.fakes.storage_inventory import MemoryCopyJournal, MemoryLedger


class CountingStore(MemoryBlobStore):
    """Counts what is written and read."""

    def __init__(self) -> None:
        super().__init__()
        self.puts: list[BlobAddress] = []
        self.away: set[BlobAddress] = set()

    async def put(self, address: BlobAddress, chunks: AsyncIterator[bytes], *, content_type: str) -> BlobReceipt:
        if address in self.away:
            raise StorageUnavailable("away")
        self.puts.append(address)
        return await super().put(address, chunks, content_type=content_type)


class World:
    """A migration over fakes."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.objects = MemoryObjectRepository()
        self.source, self.target = MemoryBlobStore(), CountingStore()
        self.journal = MemoryCopyJournal(self.objects)
        self.told: dict[str, Outcome] = {}
        self.move = MigrateFiles(
            self.objects, MemoryLedger(self.objects), self.journal, self.source, self.target, self.clock
        )

    async def add(self, data: bytes = b"bytes") -> StoredObject:
        object_id = new_id()
        place = Placement("u1", "j1", Bucket.VIDEOS, ArtifactKind.VIDEO)
        row = StoredObject(object_id, object_id, place, f"users/{object_id}", "video/mp4", "", self.clock.now())
        await self.objects.add(row)
        self.source.blobs[row.address] = data
        done = row.commit(BlobReceipt(len(data), hashlib.sha256(data).hexdigest()), self.clock.now())
        assert await self.objects.commit(done)
        return done

    async def run(self, *, dry_run: bool = False, verify_only: bool = False) -> MigrationReport:
        self.told = {}

        def tell(row: StoredObject, outcome: Outcome, why: str) -> None:
            self.told[row.object_id] = outcome

        return await self.move(MigrationPlan("t", 3, dry_run, verify_only), tell)


async def test_S7_everything_is_copied_once() -> None:
    world = World()
    for number in range(450):  # beyond one page
        await world.add(b"%d" % number)
    report = await world.run()
    assert (report.outcomes, report.complete) == ({Outcome.COPIED: 450}, True)
    assert world.target.blobs == world.source.blobs
    added = await world.add(b"since then")
    report = await world.run()
    assert report.outcomes == {Outcome.PRESENT: 450, Outcome.COPIED: 1}
    assert report.copied_bytes == len(b"since then")
    assert world.target.puts.count(added.address) == 1
    assert len(world.target.puts) == 451


async def test_S7_a_dry_run_writes_nothing_and_checks_the_source() -> None:
    world = World()
    right, wrong = await world.add(), await world.add()
    world.source.blobs[wrong.address] = b"BYTES"
    report = await world.run(dry_run=True)
    assert world.told == {right.object_id: Outcome.TO_COPY, wrong.object_id: Outcome.DAMAGED}
    assert not report.complete
    assert not world.target.blobs
    assert not world.journal.known


async def test_S7_what_is_wrong_is_named_and_the_rest_is_done() -> None:
    world = World()
    right, missing, damaged, away = [await world.add() for _ in range(4)]
    del world.source.blobs[missing.address]
    world.source.blobs[damaged.address] = b"BYTES"
    world.target.away.add(away.address)
    report = await world.run()
    assert world.told == {
        right.object_id: Outcome.COPIED,
        missing.object_id: Outcome.MISSING,
        damaged.object_id: Outcome.DAMAGED,
        away.object_id: Outcome.FAILED,
    }
    assert not report.complete
    assert set(world.target.blobs) == {right.address}
    world.target.away.clear()
    assert (await world.run()).outcomes[Outcome.COPIED] == 1


async def test_S7_what_a_killed_run_left_in_the_target_is_read_before_it_is_believed() -> None:
    world = World()
    whole, broken = await world.add(), await world.add()
    world.target.blobs[whole.address] = b"bytes"
    world.target.blobs[broken.address] = b"BYTES"
    await world.run()
    assert world.told == {whole.object_id: Outcome.PRESENT, broken.object_id: Outcome.COPIED}
    assert world.target.blobs[broken.address] == b"bytes"
    assert world.journal.known == {("t", whole.object_id), ("t", broken.object_id)}


async def test_S7_a_copy_that_vanished_is_made_again() -> None:
    world = World()
    row = await world.add()
    await world.run()
    del world.target.blobs[row.address]
    assert (await world.run()).outcomes == {Outcome.COPIED: 1}


async def test_S7_verifying_reads_every_copy_and_repairs_none() -> None:
    world = World()
    right, damaged, missing = [await world.add() for _ in range(3)]
    await world.run()
    world.target.blobs[damaged.address] = b"BYTES"
    del world.target.blobs[missing.address]
    report = await world.run(verify_only=True)
    assert world.told == {
        right.object_id: Outcome.PRESENT,
        damaged.object_id: Outcome.DAMAGED,
        missing.object_id: Outcome.MISSING,
    }
    assert not report.complete
    assert world.target.blobs[damaged.address] == b"BYTES"


@pytest.mark.parametrize("bytes_remain", [True, False])
async def test_S7_an_object_deleted_while_it_is_copied_leaves_no_copy(
    bytes_remain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    row = await world.add()
    head = world.target.head

    async def deleted_meanwhile(address: BlobAddress) -> int | None:
        await world.objects.mark_deleted(row.object_id, "u1", world.clock.now())
        if not bytes_remain:
            world.source.blobs.pop(address, None)
        return await head(address)

    monkeypatch.setattr(world.target, "head", deleted_meanwhile)
    report = await world.run()
    assert (report.outcomes, report.complete) == ({Outcome.DELETED: 1}, True)
    assert not world.target.blobs

"""Everything of an owner goes, from every bucket and in whatever state it is (A8): on Postgres and the fake."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import services.storage
from services.runtime.db import create_engine, run_migrations
from services.runtime.ids import new_id
from services.storage.adapters.postgres import PostgresObjectRepository, PostgresOwnedObjects
from services.storage.application.erasing import LATE, EraseOwner
from services.storage.domain.errors import StorageUnavailable, WriteSuperseded
from services.storage.domain.objects import ArtifactKind, BlobReceipt, Bucket, Placement, StoredObject
from tests.fakes.storage import ManualClock, MemoryBlobStore, MemoryObjectRepository
from tests.fakes.storage_owned import MemoryOwnedObjects

NOW = datetime(2030, 1, 2, tzinfo=UTC)


class World:
    """Rows of one make, bytes in memory."""

    def __init__(self, objects: Any, owned: Any) -> None:
        self.objects, self.owned, self.blobs = objects, owned, MemoryBlobStore()
        self.clock = ManualClock(NOW)
        self.erase = EraseOwner(owned, objects, self.blobs, self.clock)

    async def add(self, owner: str, bucket: Bucket, *, commits: bool = True) -> StoredObject:
        """An object with its bytes; without `commits` its write is still under way."""
        object_id = new_id()
        place = Placement(owner, "job", bucket, ArtifactKind.SEGMENT, scene_index=None, fence=1)
        row = StoredObject(object_id, object_id, place, f"users/{owner}/{object_id}", "text/plain", "a.txt", NOW)
        await self.objects.add(row)
        self.blobs.blobs[row.address] = b"bytes"
        if commits:
            row = row.commit(BlobReceipt(5, "ab" * 32), NOW)
            assert await self.objects.commit(row)
        return row

    def places(self) -> set[str]:
        """Keys of all bytes."""
        return {address.key for address in self.blobs.blobs}


@pytest.fixture(params=["postgres", "memory"])
async def world(request: pytest.FixtureRequest, postgres: Callable[[], str]) -> AsyncIterator[World]:
    if request.param == "memory":
        objects = MemoryObjectRepository()
        yield World(objects, MemoryOwnedObjects(objects))
        return
    url = postgres()
    await run_migrations(Path(services.storage.__file__).parent, url)
    engine = create_engine(url, pool_size=2)
    yield World(PostgresObjectRepository(engine), PostgresOwnedObjects(engine))
    await engine.dispose()


async def test_A8_nothing_is_left_of_an_owner_and_everything_of_others(world: World) -> None:
    for bucket in Bucket:
        await world.add("ada", bucket)
        await world.add("ada", bucket, commits=False)
    others = [await world.add("eve", Bucket.VIDEOS), await world.add("eve", Bucket.TEMP, commits=False)]
    assert await world.erase("ada")
    assert world.places() == {row.key for row in others}
    assert await world.owned.condemned("ada", None, 10) == []
    assert await world.objects.find(others[0].object_id, "eve") == others[0]
    assert await world.erase("ada")


async def test_A8_a_write_that_was_under_way_cannot_be_committed_any_more(world: World) -> None:
    row = await world.add("ada", Bucket.VIDEOS, commits=False)
    await world.erase("ada")
    with pytest.raises(WriteSuperseded):
        await world.objects.commit(row.commit(BlobReceipt(5, "ab" * 32), NOW))


async def test_A8_what_is_interrupted_anywhere_is_done_again(world: World) -> None:
    """Every row is found again until its bytes are gone: killed after any step, the next call ends it."""
    rows = [await world.add("ada", Bucket.VIDEOS) for _ in range(3)]
    await world.owned.condemn("ada", NOW, 2)  # killed between two batches
    await world.blobs.delete(rows[0].address)  # killed between the bytes and their row
    world.blobs.failing = StorageUnavailable("away")
    assert not await world.erase("ada")
    assert len(await world.owned.condemned("ada", None, 10)) == 3
    world.blobs.failing = None
    assert await world.erase("ada")
    assert (world.places(), await world.owned.condemned("ada", None, 10)) == (set(), [])


async def test_A8_many_go_in_batches(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.storage.application.erasing._BATCH", 2)
    rows = [await world.add("ada", Bucket.VIDEOS) for _ in range(5)]
    assert await world.owned.condemn("ada", NOW, 2) == 2
    page = await world.owned.condemned("ada", None, 1)
    assert page[0].object_id in {row.object_id for row in rows}
    assert await world.erase("ada")
    assert world.places() == set()


async def test_A8_what_arrives_within_a_week_goes_too(world: World) -> None:
    """A worker that had spooled its work brings it when storage is back."""
    await world.erase("ada")
    late, other = await world.add("ada", Bucket.VIDEOS), await world.add("eve", Bucket.VIDEOS)
    world.clock.advance(LATE - timedelta(hours=1))
    await world.erase.again()
    assert world.places() == {other.key}
    world.clock.advance(timedelta(hours=2))
    assert late.key not in world.places()
    await world.erase.again()
    assert await world.owned.erased(NOW) == []

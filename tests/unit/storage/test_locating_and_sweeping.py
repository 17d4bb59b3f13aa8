"""Locations of objects (S3), deletion, and the sweep (S6)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.runtime.ids import new_id
from services.storage.adapters.tickets import HmacTicketOffice
from services.storage.application.locating import LocateObject
from services.storage.application.ports import Presentation
from services.storage.application.reading import DeleteObject
from services.storage.application.sweeping import Sweep, Swept
from services.storage.domain.errors import InvalidInput, ObjectNotFound, StorageUnavailable
from services.storage.domain.objects import (
    ArtifactKind,
    BlobReceipt,
    Bucket,
    ObjectState,
    Placement,
    StoredObject,
)
from tests.fakes.storage import ManualClock, MemoryBlobStore, MemoryObjectRepository

GRACE = timedelta(hours=1)


class World:
    """Use cases over fakes."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.objects = MemoryObjectRepository()
        self.blobs = MemoryBlobStore()
        tickets = HmacTicketOffice([b"k" * 32])
        self.locate = LocateObject(self.objects, self.blobs, tickets, self.clock, "https://t2m.example/")
        self.delete = DeleteObject(self.objects, self.blobs, self.clock)
        self.sweep = Sweep(self.objects, self.blobs, self.clock, GRACE)

    async def pending(self, request_id: str = "r1") -> StoredObject:
        object_id = new_id()
        row = StoredObject(
            object_id=object_id,
            request_id=request_id,
            placement=Placement("u1", "j1", Bucket.VIDEOS, ArtifactKind.VIDEO),
            key=f"users/u1/{object_id}",
            content_type="video/mp4",
            filename="film.mp4",
            created_at=self.clock.now(),
        )
        await self.objects.add(row)
        self.blobs.blobs[row.address] = b"bytes"
        return row

    async def committed(self, request_id: str = "r1") -> StoredObject:
        row = await self.pending(request_id)
        done = row.commit(BlobReceipt(5, "ab" * 32), self.clock.now())
        assert await self.objects.commit(done)
        return done


async def test_a_location_on_the_file_system_is_served_here() -> None:
    world = World()
    stored = await world.committed()
    location = await world.locate.create(stored.object_id, "u1", None, Presentation(inline=True))
    assert location.url == f"https://t2m.example/api/v1/objects/{location.ticket}"
    assert not location.redirect
    assert location.expires_at == world.clock.now() + timedelta(hours=1)
    assert await world.locate.resolve(location.ticket) == location


async def test_a_location_of_a_store_that_serves_clients_is_a_redirect() -> None:
    world = World()
    world.blobs.presigned = "https://s3.example/signed"
    stored = await world.committed()
    location = await world.locate.create(stored.object_id, "u1", None, Presentation())
    assert (location.url, location.redirect) == ("https://s3.example/signed", True)
    assert (await world.locate.resolve(location.ticket)).redirect


async def test_a_location_ends_at_a_whole_second() -> None:
    world = World()
    world.clock.advance(timedelta(microseconds=1))
    stored = await world.committed()
    location = await world.locate.create(stored.object_id, "u1", timedelta(seconds=2), Presentation())
    assert location.expires_at.microsecond == 0
    assert timedelta(seconds=2) <= location.expires_at - world.clock.now() < timedelta(seconds=3)


async def test_V5_the_same_end_has_the_same_url() -> None:
    """V5: a playlist that is asked for again must not have other URLs."""
    world = World()
    stored = await world.committed()
    end = world.clock.now() + timedelta(hours=2, microseconds=7)
    first = await world.locate.create(stored.object_id, "u1", None, Presentation(), end)
    world.clock.advance(timedelta(minutes=59))
    again = await world.locate.create(stored.object_id, "u1", None, Presentation(), end)
    assert first == again
    assert timedelta(0) <= first.expires_at - end < timedelta(seconds=1)
    world.clock.advance(timedelta(hours=2))
    with pytest.raises(InvalidInput, match="expires_at"):
        await world.locate.create(stored.object_id, "u1", None, Presentation(), end)


@pytest.mark.parametrize("lifetime", [timedelta(hours=24, seconds=1), timedelta(0), timedelta(days=-1)])
async def test_lifetimes_out_of_bounds(lifetime: timedelta) -> None:
    world = World()
    stored = await world.committed()
    with pytest.raises(InvalidInput):
        await world.locate.create(stored.object_id, "u1", lifetime, Presentation())


async def test_the_ticket_of_a_deleted_object_leads_nowhere() -> None:
    world = World()
    stored = await world.committed()
    location = await world.locate.create(stored.object_id, "u1", None, Presentation())
    await world.delete(stored.object_id, "u1")
    with pytest.raises(ObjectNotFound):
        await world.locate.resolve(location.ticket)
    assert not world.objects.rows
    assert not world.blobs.blobs


async def test_the_sweep_takes_only_what_is_due() -> None:
    world = World()
    old = await world.pending("old")
    kept = await world.committed("kept")
    world.clock.advance(GRACE)
    assert await world.sweep() == Swept(0, 0, 0)
    world.clock.advance(timedelta(seconds=1))
    young = await world.pending("young")
    assert await world.sweep() == Swept(1, 1, 0)
    assert set(world.objects.rows) == {kept.object_id, young.object_id}
    assert old.address not in world.blobs.blobs


async def test_the_sweep_goes_beyond_one_batch() -> None:
    world = World()
    for number in range(450):
        await world.pending(f"r{number}")
    world.clock.advance(GRACE * 2)
    assert await world.sweep() == Swept(450, 450, 0)
    assert not world.blobs.blobs


async def test_an_interrupted_deletion_is_finished_by_the_sweep() -> None:
    world = World()
    stored = await world.committed()
    world.blobs.failing = StorageUnavailable("away")
    with pytest.raises(StorageUnavailable):
        await world.delete(stored.object_id, "u1")
    assert await world.objects.find(stored.object_id, "u1") is None
    assert await world.sweep() == Swept(0, 0, 1)
    assert [row.state for row in world.objects.rows.values()] == [ObjectState.DELETED]
    world.blobs.failing = None
    assert await world.sweep() == Swept(0, 1, 0)
    assert not world.blobs.blobs


async def test_committing_twice_is_a_bug() -> None:
    world = World()
    stored = await world.committed()
    with pytest.raises(ValueError, match="committed"):
        stored.commit(BlobReceipt(5, "ab" * 32), world.clock.now())

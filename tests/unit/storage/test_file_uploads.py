"""Uploads in parts when other things happen at the same time (S5)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from services.storage.application.attempts import Attempts
from services.storage.application.expiry import ExpireUploads
from services.storage.application.file_intake import AnnouncedFile, FileIntake
from services.storage.application.file_uploads import FileUploads, UploadTimes
from services.storage.application.reading import DeleteJobObjects
from services.storage.application.sweeping import Sweep
from services.storage.application.writing import WriteObject
from services.storage.domain.errors import (
    FileQuotaExceeded,
    ObjectNotFound,
    ScannerUnavailable,
    StorageUnavailable,
    UploadIncomplete,
)
from services.storage.domain.files import FilePlan, FileUsage
from services.storage.domain.objects import ObjectState
from tests.fakes.storage import ManualClock, MemoryBlobStore, MemoryObjectRepository
from tests.fakes.storage_files import FirstBytesInspector, MemoryFileLedger, MemoryScanner

PLAN = FilePlan(max_files=1)
DATA = b"a text"
LIFETIME = timedelta(hours=1)


@dataclass
class World:
    """Everything in memory, and a user."""

    objects: MemoryObjectRepository = field(default_factory=MemoryObjectRepository)
    blobs: MemoryBlobStore = field(default_factory=MemoryBlobStore)
    scanner: MemoryScanner = field(default_factory=MemoryScanner)
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        ids = (f"01890000-0000-7000-8000-{number:012}" for number in itertools.count())
        attempts = Attempts(self.objects, self.blobs, self.clock, lambda: next(ids), 1000)
        writer = WriteObject(attempts, self.objects, self.blobs, 60)
        self.ledger = MemoryFileLedger(self.objects)
        intake = FileIntake(
            attempts, self.objects, self.blobs, writer, self.ledger, FirstBytesInspector(), self.scanner
        )
        delete = DeleteJobObjects(self.objects, self.blobs, self.clock)
        times = UploadTimes(LIFETIME, LIFETIME)
        self.uploads = FileUploads(
            intake, attempts, self.objects, self.blobs, writer, self.ledger, None, delete, self.clock, times
        )

    async def begun(self) -> str:
        """An upload of DATA with all of its bytes."""
        upload = await self.uploads.create(AnnouncedFile("u1", "a.txt", len(DATA)), PLAN)
        await self.uploads.put_part("u1", upload.upload_id, 0, len(DATA), chunks())
        return upload.upload_id

    async def used(self) -> FileUsage:
        """Of the quota."""
        return await self.ledger.usage("u1")

    def committed(self) -> int:
        """Rows, of parts and files."""
        return sum(row.state is ObjectState.COMMITTED for row in self.objects.rows.values())


async def chunks() -> AsyncIterator[bytes]:
    yield DATA


async def test_S5_many_completions_make_one_file() -> None:
    """S5: they agree on it, and nothing else is left."""
    world = World()
    upload_id = await world.begun()
    files = await asyncio.gather(*[world.uploads.complete("u1", upload_id) for _ in range(8)])
    assert len({file.object_id for file in files}) == 1
    assert (len(world.objects.rows), len(world.blobs.blobs)) == (1, 1)
    assert await world.used() == FileUsage(1, len(DATA))


@pytest.mark.parametrize("after", range(0, 40, 3))
async def test_S5_an_abort_at_any_moment_of_a_completion(after: int) -> None:
    """S5: there is a whole file, or there is nothing; the quota knows which."""
    world = World()
    upload_id = await world.begun()
    task = asyncio.create_task(world.uploads.complete("u1", upload_id))
    for _ in range(after):
        await asyncio.sleep(0)
    await world.uploads.abort("u1", upload_id)
    try:
        file = await task
    except (ObjectNotFound, UploadIncomplete):
        assert not world.blobs.blobs
        assert await world.used() == FileUsage(0, 0)
    else:
        assert world.blobs.blobs == {file.address: DATA}
        assert await world.used() == FileUsage(1, len(DATA))


@pytest.mark.parametrize("after", range(0, 30, 3))
async def test_S5_a_completion_whose_caller_leaves(after: int) -> None:
    """S5: the upload is as it was, and can be completed."""
    world = World()
    upload_id = await world.begun()
    task = asyncio.create_task(world.uploads.complete("u1", upload_id))
    for _ in range(after):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    file = await world.uploads.complete("u1", upload_id)
    assert world.blobs.blobs[file.address] == DATA
    assert await world.used() == FileUsage(1, len(DATA))


async def test_S5_what_is_away_comes_back() -> None:
    """S5: scanner and store; the upload waits, and its room with it."""
    world = World()
    upload_id = await world.begun()
    world.scanner.away = True
    with pytest.raises(ScannerUnavailable):
        await world.uploads.complete("u1", upload_id)
    world.scanner.away, world.blobs.failing = False, StorageUnavailable("away")
    with pytest.raises(StorageUnavailable):
        await world.uploads.complete("u1", upload_id)
    world.blobs.failing = None
    assert (await world.uploads.get("u1", upload_id)).offset_bytes == len(DATA)
    with pytest.raises(FileQuotaExceeded):
        await world.uploads.create(AnnouncedFile("u1", "b.txt", 1), PLAN)
    assert (await world.uploads.complete("u1", upload_id)).filename == "a.txt"


async def test_S5_an_upload_ends_in_time() -> None:
    """S5: at once for its user, then the sweep takes room and bytes; another may begin."""
    world = World()
    upload_id = await world.begun()
    world.clock.advance(LIFETIME)
    with pytest.raises(ObjectNotFound):
        await world.uploads.complete("u1", upload_id)
    world.clock.advance(timedelta(seconds=1))
    assert await ExpireUploads(world.ledger, world.clock, LIFETIME)() == 2
    await Sweep(world.objects, world.blobs, world.clock, LIFETIME)()
    assert (world.objects.rows, world.blobs.blobs) == ({}, {})
    await world.begun()

"""WriteObject: row first, bytes second, committed last; and what every failure leaves behind: nothing."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from services.storage.application.attempts import Attempts, WriteCommand
from services.storage.application.writing import WriteObject
from services.storage.domain.errors import (
    BytesMismatch,
    InvalidInput,
    ObjectTooLarge,
    StorageFull,
    WriteConflict,
    WriteSuperseded,
    WriteTooSlow,
)
from services.storage.domain.objects import (
    ArtifactKind,
    BlobAddress,
    BlobReceipt,
    Bucket,
    ObjectState,
    Placement,
    StoredObject,
)
from tests.fakes.storage import ManualClock, MemoryBlobStore, MemoryObjectRepository

COMMAND = WriteCommand(
    request_id="r1",
    placement=Placement("u1", "j1", Bucket.VIDEOS, ArtifactKind.SEGMENT, scene_index=1, fence=3),
    content_type="video/mp4",
    filename="../../etc/passwd",
    size_bytes=6,
)


def writer(
    objects: MemoryObjectRepository, blobs: MemoryBlobStore, new_id: Callable[[], str], timeout_s: float = 60.0
) -> WriteObject:
    """The use case over fakes."""
    return WriteObject(Attempts(objects, blobs, ManualClock(), new_id, 10), objects, blobs, timeout_s)


class World:
    """A use case over fakes."""

    def __init__(self, *, timeout_s: float = 60.0) -> None:
        self.objects = MemoryObjectRepository()
        self.blobs = MemoryBlobStore()
        numbers = itertools.count()
        self.write = writer(self.objects, self.blobs, lambda: f"object-{next(numbers)}", timeout_s)

    def is_empty(self) -> bool:
        return not self.objects.rows and not self.blobs.blobs


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_the_row_is_pending_while_the_bytes_flow() -> None:
    world = World()
    states: list[ObjectState] = []

    async def watched() -> AsyncIterator[bytes]:
        yield b"abc"
        states.extend(row.state for row in world.objects.rows.values())
        yield b"def"

    stored = await world.write(COMMAND, watched())
    assert states == [ObjectState.PENDING]
    assert stored.state is ObjectState.COMMITTED
    assert world.objects.rows == {stored.object_id: stored}
    assert world.blobs.blobs == {stored.address: b"abcdef"}
    assert "etc" not in stored.key


@pytest.mark.parametrize(
    ("change", "parts", "error"),
    [
        ({"size_bytes": 7}, [b"abcdef"], BytesMismatch),
        ({"size_bytes": 5}, [b"abc", b"def"], BytesMismatch),
        ({"sha256": "00" * 32}, [b"abcdef"], BytesMismatch),
        ({"size_bytes": 11}, [], ObjectTooLarge),
        ({"size_bytes": None, "sha256": "00" * 32}, [b"abcdef", b"ghijk"], ObjectTooLarge),
        ({"size_bytes": None}, [b"abcdef"], InvalidInput),
        ({"placement": replace(COMMAND.placement, owner_id="..")}, [b"abcdef"], InvalidInput),
    ],
)
async def test_refused_writes_leave_nothing(
    change: dict[str, object], parts: list[bytes], error: type[Exception]
) -> None:
    world = World()
    with pytest.raises(error):
        await world.write(replace(COMMAND, **change), chunks(*parts))  # type: ignore[arg-type]
    assert world.is_empty()


async def test_a_writer_that_goes_away_leaves_nothing() -> None:
    world = World()

    async def broken() -> AsyncIterator[bytes]:
        yield b"abc"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await world.write(COMMAND, broken())
    assert world.is_empty()


async def test_a_cancelled_write_leaves_nothing() -> None:
    world = World()
    flowing = asyncio.Event()

    async def stalled() -> AsyncIterator[bytes]:
        flowing.set()
        await asyncio.Event().wait()
        yield b""

    task = asyncio.ensure_future(world.write(COMMAND, stalled()))
    await flowing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.is_empty()


async def test_a_writer_that_stalls_is_given_up() -> None:
    world = World(timeout_s=0.01)

    async def stalled() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    with pytest.raises(WriteTooSlow):
        await world.write(COMMAND, stalled())
    assert world.is_empty()


async def test_a_timeout_of_another_part_is_not_taken_for_a_slow_writer() -> None:
    world = World()
    world.blobs.failing = TimeoutError("the store")
    with pytest.raises(TimeoutError, match="the store"):
        await world.write(COMMAND, chunks(b"abcdef"))


async def test_a_full_disk_leaves_the_row_to_the_sweep_when_even_cleaning_fails() -> None:
    world = World()
    world.blobs.failing = StorageFull("no room")
    with pytest.raises(StorageFull):
        await world.write(COMMAND, chunks(b"abcdef"))
    assert [row.state for row in world.objects.rows.values()] == [ObjectState.DELETED]


async def test_a_repeat_returns_the_first_object_without_reading() -> None:
    world = World()
    first = await world.write(COMMAND, chunks(b"abcdef"))

    async def untouched() -> AsyncIterator[bytes]:
        pytest.fail("a repeat must not read the stream")
        yield b""

    assert await world.write(COMMAND, untouched()) == first
    assert await world.write(replace(COMMAND, sha256=first.sha256), untouched()) == first


@pytest.mark.parametrize(
    "change",
    [
        {"placement": replace(COMMAND.placement, fence=4)},
        {"sha256": "00" * 32},
        {"size_bytes": 7},
    ],
)
async def test_a_request_id_names_one_write(change: dict[str, object]) -> None:
    world = World()
    await world.write(COMMAND, chunks(b"abcdef"))
    with pytest.raises(WriteConflict):
        await world.write(replace(COMMAND, **change), chunks(b"abcdef"))  # type: ignore[arg-type]


async def test_concurrent_repeats_agree_on_one_object() -> None:
    world = World()
    stored = await asyncio.gather(*(world.write(COMMAND, chunks(b"abc", b"def")) for _ in range(5)))
    assert len({item.object_id for item in stored}) == 1
    assert list(world.blobs.blobs) == [stored[0].address]
    assert list(world.objects.rows) == [stored[0].object_id]


async def test_a_crashed_attempt_does_not_stand_in_the_way() -> None:
    world = World()
    leftover = StoredObject(
        "crashed", "r1", COMMAND.placement, "users/u1/crashed", "video/mp4", "x", ManualClock().now()
    )
    await world.objects.add(leftover)
    stored = await world.write(COMMAND, chunks(b"abcdef"))
    assert await world.objects.find_written("u1", "r1") == stored


async def test_bytes_stay_when_the_answer_to_the_commit_is_lost() -> None:
    """The row may be committed: then the bytes are somebody's."""

    class AnswerLost(MemoryObjectRepository):
        async def commit(self, committed: StoredObject) -> bool:
            await super().commit(committed)
            raise ConnectionResetError

    world = World()
    objects = AnswerLost()
    write = writer(objects, world.blobs, lambda: "o1")
    with pytest.raises(ConnectionResetError):
        await write(COMMAND, chunks(b"abcdef"))
    found = await objects.find_written("u1", "r1")
    assert found is not None
    assert world.blobs.blobs[found.address] == b"abcdef"
    assert await write(COMMAND, chunks(b"abcdef")) == found


async def test_a_write_that_was_swept_starts_afresh() -> None:
    world = World()

    class Swept(MemoryBlobStore):
        async def put(self, address: BlobAddress, chunks: AsyncIterator[bytes], *, content_type: str) -> BlobReceipt:
            receipt = await super().put(address, chunks, content_type=content_type)
            now = ManualClock().now()
            await world.objects.abandon_stale(now.replace(year=2031), now, 10)
            return receipt

    write = writer(world.objects, Swept(), lambda: "o1")
    with pytest.raises(WriteSuperseded):
        await write(COMMAND, chunks(b"abcdef"))
    assert await world.objects.find_written("u1", "r1") is None


async def test_J3_a_write_whose_job_was_removed_meanwhile_leaves_no_bytes() -> None:
    """J3, J10: the job's objects are deleted while the bytes still flow."""
    world = World()

    async def interrupted() -> AsyncIterator[bytes]:
        yield b"abc"
        place = COMMAND.placement
        await world.objects.mark_job_deleted(place.owner_id, place.job_id, frozenset(), ManualClock().now())
        yield b"def"

    with pytest.raises(WriteSuperseded):
        await world.write(COMMAND, interrupted())
    assert world.blobs.blobs == {}

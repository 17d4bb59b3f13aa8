"""What every `ObjectRepository` must do: on the real Postgres with the real migrations, and the fake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import services.storage
from services.runtime.db import create_engine, run_migrations
from services.runtime.ids import new_id
from services.storage.adapters.postgres import PostgresObjectRepository
from services.storage.application.ports import ObjectFilter, ObjectRepository
from services.storage.domain.errors import WriteSuperseded
from services.storage.domain.objects import (
    ArtifactKind,
    BlobReceipt,
    Bucket,
    ObjectState,
    Placement,
    StoredObject,
)
from tests.fakes.storage import MemoryObjectRepository

NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
RECEIPT = BlobReceipt(7, "ab" * 32, "v1")


@pytest.fixture(params=["postgres", "memory"])
async def objects(request: pytest.FixtureRequest, postgres: Callable[[], str]) -> AsyncIterator[ObjectRepository]:
    if request.param == "memory":
        yield MemoryObjectRepository()
        return
    url = postgres()
    await run_migrations(Path(services.storage.__file__).parent, url)
    engine = create_engine(url, pool_size=5)
    yield PostgresObjectRepository(engine)
    await engine.dispose()


def pending(
    request_id: str = "r1",
    owner: str = "u1",
    job: str = "j1",
    kind: ArtifactKind = ArtifactKind.SEGMENT,
    created_at: datetime = NOW,
) -> StoredObject:
    object_id = new_id()
    return StoredObject(
        object_id=object_id,
        request_id=request_id,
        placement=Placement(owner, job, Bucket.VIDEOS, kind, scene_index=3, fence=2**40),
        key=f"users/{owner}/{object_id}",
        content_type="video/mp4",
        filename="Ein schöner Film — 映画.mp4",
        created_at=created_at,
    )


async def committed(objects: ObjectRepository, row: StoredObject) -> StoredObject:
    await objects.add(row)
    done = row.commit(RECEIPT, NOW)
    assert await objects.commit(done)
    return done


async def test_a_pending_row_is_not_found(objects: ObjectRepository) -> None:
    row = pending()
    await objects.add(row)
    assert await objects.find(row.object_id, "u1") is None
    assert await objects.find_written("u1", "r1") is None
    assert await objects.page(ObjectFilter("u1"), None, 10) == []
    assert await objects.mark_deleted(row.object_id, "u1", NOW) is None
    assert await objects.find_pending(row.object_id, "u1") == row
    assert await objects.find_pending(row.object_id, "u2") is None
    assert await objects.find_pending("no-uuid", "u1") is None


async def test_a_committed_row_comes_back_as_it_was(objects: ObjectRepository) -> None:
    done = await committed(objects, pending())
    whole_job = replace(pending("r2"), placement=Placement("u1", "", Bucket.CODE, ArtifactKind.STORYBOARD))
    bare = await committed(objects, whole_job)
    for row in (done, bare):
        assert await objects.find(row.object_id, "u1") == row
        assert await objects.find(row.object_id, None) == row
        assert await objects.find_written("u1", row.request_id) == row


async def test_another_owner_finds_nothing(objects: ObjectRepository) -> None:
    """S6, A5: owner in every query."""
    done = await committed(objects, pending())
    assert await objects.find(done.object_id, "u2") is None
    assert await objects.find_written("u2", "r1") is None
    assert await objects.page(ObjectFilter("u2"), None, 10) == []
    assert await objects.mark_deleted(done.object_id, "u2", NOW) is None
    assert await objects.find(done.object_id, "u1") == done


async def test_an_id_that_is_no_uuid_is_not_found(objects: ObjectRepository) -> None:
    assert await objects.find("../../etc/passwd", None) is None
    assert await objects.mark_deleted("x", None, NOW) is None


async def test_of_concurrent_attempts_one_commits(objects: ObjectRepository) -> None:
    attempts = [pending() for _ in range(5)]
    for row in attempts:
        await objects.add(row)
    won = await asyncio.gather(*(objects.commit(row.commit(RECEIPT, NOW)) for row in attempts))
    assert sorted(won) == [False, False, False, False, True]
    winner = attempts[won.index(True)]
    assert (await objects.find_written("u1", "r1")) == winner.commit(RECEIPT, NOW)
    for row, has_won in zip(attempts, won, strict=True):
        assert await objects.abandon(row.object_id, "u1", NOW) is not has_won


async def test_the_same_request_id_of_two_owners_are_two_writes(objects: ObjectRepository) -> None:
    one = await committed(objects, pending(owner="u1"))
    other = await committed(objects, pending(owner="u2"))
    assert await objects.find_written("u1", "r1") == one
    assert await objects.find_written("u2", "r1") == other


async def test_a_row_that_was_given_up_cannot_be_committed(objects: ObjectRepository) -> None:
    row = pending()
    await objects.add(row)
    assert await objects.abandon(row.object_id, "u1", NOW)
    assert not await objects.abandon(row.object_id, "u1", NOW)
    with pytest.raises(WriteSuperseded):
        await objects.commit(row.commit(RECEIPT, NOW))
    await objects.purge(row.object_id, "u1")
    with pytest.raises(WriteSuperseded):
        await objects.commit(row.commit(RECEIPT, NOW))


async def test_only_old_pending_rows_are_stale(objects: ObjectRepository) -> None:
    old = [pending(f"old{number}", created_at=NOW - timedelta(hours=2)) for number in range(3)]
    young = pending("young", created_at=NOW - timedelta(minutes=59))
    for row in (*old, young):
        await objects.add(row)
    done = await committed(objects, pending("done", created_at=NOW - timedelta(hours=3)))
    assert await objects.abandon_stale(NOW - timedelta(hours=1), NOW, 2) == 2
    assert await objects.abandon_stale(NOW - timedelta(hours=1), NOW, 2) == 1
    assert await objects.abandon_stale(NOW - timedelta(hours=1), NOW, 2) == 0
    assert {row.object_id for row in await objects.deleted(None, 10)} == {row.object_id for row in old}
    assert await objects.commit(young.commit(RECEIPT, NOW))
    assert await objects.find(done.object_id, "u1") == done


async def test_a_deleted_row_is_gone_for_readers_and_purged_once(objects: ObjectRepository) -> None:
    done = await committed(objects, pending())
    deleted = await objects.mark_deleted(done.object_id, "u1", NOW)
    assert deleted is not None
    assert (deleted.state, deleted.address) == (ObjectState.DELETED, done.address)
    assert await objects.mark_deleted(done.object_id, "u1", NOW) is None
    assert await objects.find(done.object_id, "u1") is None
    assert await objects.find_written("u1", "r1") is None
    assert [row.object_id for row in await objects.deleted(None, 10)] == [done.object_id]
    await objects.purge(done.object_id, "u2")
    assert len(await objects.deleted(None, 10)) == 1
    await objects.purge(done.object_id, "u1")
    assert await objects.deleted(None, 10) == []
    await committed(objects, pending())  # the request id is free again


async def test_purge_leaves_what_is_not_deleted(objects: ObjectRepository) -> None:
    done = await committed(objects, pending())
    await objects.purge(done.object_id, "u1")
    assert await objects.find(done.object_id, "u1") == done


async def test_pages_are_whole_ordered_and_filtered(objects: ObjectRepository) -> None:
    rows = [
        await committed(
            objects,
            pending(
                f"r{number}",
                job=f"j{number % 2}",
                kind=ArtifactKind.SEGMENT if number % 3 else ArtifactKind.VIDEO,
            ),
        )
        for number in range(9)
    ]
    await committed(objects, pending("other", owner="u2"))
    ids = sorted(row.object_id for row in rows)
    seen: list[str] = []
    for _ in range(4):
        page = await objects.page(ObjectFilter("u1"), seen[-1] if seen else None, 3)
        seen += [row.object_id for row in page]
    assert seen == ids
    job = await objects.page(ObjectFilter("u1", "j1"), None, 10)
    assert {row.placement.job_id for row in job} == {"j1"}
    assert len(job) == 4
    videos = await objects.page(ObjectFilter("u1", "j0", ArtifactKind.VIDEO), None, 10)
    assert {row.request_id for row in videos} == {"r0", "r6"}


async def test_J10_the_objects_of_a_job_are_deleted_together(objects: ObjectRepository) -> None:
    """J10: committed and pending ones of the owner and job, by kind or all; a write of it cannot commit after."""
    segment, other = await committed(objects, pending("r1")), await committed(objects, pending("r2", job="j2"))
    video = await committed(objects, pending("r3", kind=ArtifactKind.VIDEO))
    foreign = await committed(objects, pending("r4", owner="u2"))
    unfinished = pending("r5", kind=ArtifactKind.VIDEO)
    await objects.add(unfinished)
    gone = await objects.mark_job_deleted("u1", "j1", frozenset({ArtifactKind.SEGMENT}), NOW)
    assert [(row.object_id, row.state) for row in gone] == [(segment.object_id, ObjectState.COMMITTED)]
    gone = await objects.mark_job_deleted("u1", "j1", frozenset(), NOW)
    assert {row.object_id: row.state for row in gone} == {
        video.object_id: ObjectState.COMMITTED,
        unfinished.object_id: ObjectState.PENDING,
    }
    with pytest.raises(WriteSuperseded):
        await objects.commit(unfinished.commit(RECEIPT, NOW))
    assert await objects.mark_job_deleted("u1", "j1", frozenset(), NOW) == []
    assert {row.object_id for row in await objects.deleted(None, 10)} == {
        segment.object_id,
        video.object_id,
        unfinished.object_id,
    }
    assert await objects.find(other.object_id, "u1") == other
    assert await objects.find(foreign.object_id, "u2") == foreign

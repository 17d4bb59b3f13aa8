"""What every `BlobInventory`, `ObjectLedger` (S6) and `CopyJournal` (S7) must do."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import services.storage
from services.runtime.db import create_engine, run_migrations
from services.storage.adapters.filesystem import FilesystemBlobStore, FilesystemInventory
from services.storage.adapters.postgres import PostgresCopyJournal, PostgresObjectLedger, PostgresObjectRepository
from services.storage.adapters.s3 import S3BlobStore, S3Inventory
from services.storage.application.inventory import BlobInventory, ObjectLedger, Totals
from services.storage.application.migrating import CopyJournal
from services.storage.application.ports import BlobStore, ObjectRepository
from services.storage.domain.keys import BucketNames
from services.storage.domain.objects import ArtifactKind, BlobAddress, Bucket, ObjectState, Placement
from tests.contract.test_storage_blob_store import chunks_of
from tests.contract.test_storage_object_repository import NOW, committed, pending
from tests.fakes.storage import MemoryBlobStore, MemoryObjectRepository
from tests.fakes.storage_inventory import MemoryCopyJournal, MemoryInventory, MemoryLedger
from tests.s3_servers import S3Server, ministack, rclone

_numbers = itertools.count(1)
VIDEO = BlobAddress(Bucket.VIDEOS, "users/u1/jobs/j1/video/000001-a.mp4")


@dataclass
class Place:
    """A store, what lists it, and short ways to fill it."""

    store: BlobStore
    inventory: BlobInventory
    put_many: Callable[[list[str]], None]
    """Empty blobs in the videos' bucket."""
    begin: Callable[[BlobAddress], None]
    """An upload that nobody will complete."""


def _filesystem(folder: Path) -> Iterator[Place]:
    names = BucketNames("test", "local", "inventory")
    store = FilesystemBlobStore(folder, names, threads=2)

    def write(bucket: Bucket, key: str) -> None:
        path = folder / names.of(bucket) / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")

    def put_many(keys: list[str]) -> None:
        for key in keys:
            write(Bucket.VIDEOS, key)

    yield Place(store, FilesystemInventory(folder, names), put_many, lambda at: write(at.bucket, f"{at.key}.part"))
    store.close()


def _memory(_: Path) -> Iterator[Place]:
    store = MemoryBlobStore()
    inventory = MemoryInventory(store)

    def put_many(keys: list[str]) -> None:
        store.blobs.update({BlobAddress(Bucket.VIDEOS, key): b"" for key in keys})

    def begin(address: BlobAddress) -> None:
        inventory.begun[address] = datetime.now(UTC)

    yield Place(store, inventory, put_many, begin)


def _s3(started: Callable[[], S3Server]) -> Callable[[Path], Iterator[Place]]:
    def backend(_: Path) -> Iterator[Place]:
        server, names = started(), BucketNames("test", "local", f"y{next(_numbers)}")
        server.make_buckets(names)
        client, store = server.client, S3BlobStore(server.client, names)

        def put_many(keys: list[str]) -> None:
            def put(key: str) -> None:
                client.put_object(Bucket=names.of(Bucket.VIDEOS), Key=key, Body=b"")

            with ThreadPoolExecutor(8) as pool:
                list(pool.map(put, keys))

        def begin(address: BlobAddress) -> None:
            client.create_multipart_upload(Bucket=names.of(address.bucket), Key=address.key)

        yield Place(store, S3Inventory(client, names), put_many, begin)
        store.close()

    return backend


BACKENDS = {"filesystem": _filesystem, "memory": _memory, "rclone": _s3(rclone), "ministack": _s3(ministack)}


@pytest.fixture(params=BACKENDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from BACKENDS[request.param](tmp_path)


async def every_key(inventory: BlobInventory, limit: int) -> list[str]:
    keys: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await inventory.page(Bucket.VIDEOS, after, limit)
        assert len(page.found) <= limit
        keys += [each.key for each in page.found]
        after = page.next_after
    return keys


async def test_S6_a_listing_tells_size_and_age(place: Place) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)  # some stores and file systems count whole seconds
    await place.store.put(VIDEO, chunks_of(b"12345"), content_type="video/mp4")
    page = await place.inventory.page(Bucket.VIDEOS, "", 10)
    assert [(each.key, each.size_bytes) for each in page.found] == [(VIDEO.key, 5)]
    assert before <= page.found[0].modified_at <= datetime.now(UTC) + timedelta(seconds=2)
    assert page.next_after is None
    assert not (await place.inventory.page(Bucket.TEMP, "", 10)).found


async def test_S6_a_listing_is_sorted_and_whole_at_any_page_size(place: Place) -> None:
    """Also where a folder's name sorts beside a file's, and with names of any script."""
    keys = [
        "a/b/c.mp4",
        "a/b.mp4",
        "a-b/c.mp4",
        "a/bb/c.mp4",
        "a.mp4",
        "z/ü.mp4",
        "z/映画.mp4",
        "a/b/d/e.mp4",
        "b b.mp4",
    ]
    place.put_many(keys)
    for limit in (1, 2, 4, 100):
        assert await every_key(place.inventory, limit) == sorted(keys, key=str.encode)


async def test_S6_a_listing_goes_beyond_a_thousand_keys(place: Place) -> None:
    keys = [f"users/u{number % 7}/files/video/{number:06d}.mp4" for number in range(1005)]
    place.put_many(keys)
    assert await every_key(place.inventory, 1000) == sorted(keys)


async def test_S6_unfinished_uploads_are_found_and_given_up(place: Place) -> None:
    """A whole blob under the same key stays, and so does the upload of another key."""
    await place.store.put(VIDEO, chunks_of(b"12345"), content_type="video/mp4")
    other = BlobAddress(Bucket.VIDEOS, VIDEO.key.replace("-a", "-b"))
    place.begin(VIDEO)
    place.begin(other)
    found = await place.inventory.unfinished(Bucket.VIDEOS, 10)
    assert [each.key for each in found] == [VIDEO.key, other.key]
    assert abs(found[0].modified_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert len(await place.inventory.unfinished(Bucket.VIDEOS, 1)) == 1
    for _ in range(2):
        await place.inventory.discard_unfinished(VIDEO)
    assert [each.key for each in await place.inventory.unfinished(Bucket.VIDEOS, 10)] == [other.key]
    assert await place.store.head(VIDEO) == 5


async def test_S6_an_empty_store_lists_nothing(place: Place) -> None:
    page = await place.inventory.page(Bucket.CODE, "", 10)
    assert (page.found, page.next_after) == ([], None)
    assert await place.inventory.unfinished(Bucket.CODE, 10) == []


async def test_S6_hidden_versions_are_listed() -> None:
    """S6: what a life-cycle rule has hidden under a marker still costs, and is still somebody's."""
    server, names = ministack(), BucketNames("test", "local", f"y{next(_numbers)}")
    server.make_buckets(names)
    bucket = names.of(Bucket.VIDEOS)
    server.client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for number in range(3):
        for body in (b"old", b"newer"):
            server.client.put_object(Bucket=bucket, Key=f"k{number}", Body=body)
    server.client.delete_object(Bucket=bucket, Key="k1")
    inventory = S3Inventory(server.client, names)
    assert await every_key(inventory, 1000) == ["k0", "k1", "k2"]
    assert await every_key(inventory, 3) == ["k0", "k1", "k2"]
    assert (await inventory.page(Bucket.VIDEOS, "", 1)).found[0].size_bytes == 5


Rows = tuple[ObjectRepository, ObjectLedger, CopyJournal]


@pytest.fixture(params=["postgres", "memory"])
async def rows(request: pytest.FixtureRequest, postgres: Callable[[], str]) -> AsyncIterator[Rows]:
    if request.param == "memory":
        objects = MemoryObjectRepository()
        yield objects, MemoryLedger(objects), MemoryCopyJournal(objects)
        return
    url = postgres()
    await run_migrations(Path(services.storage.__file__).parent, url)
    engine = create_engine(url, pool_size=2)
    yield PostgresObjectRepository(engine), PostgresObjectLedger(engine), PostgresCopyJournal(engine)
    await engine.dispose()


async def test_S6_states_of_keys(rows: Rows) -> None:
    objects, ledger, _ = rows
    waiting, kept, gone = (
        pending("r1"),
        await committed(objects, pending("r2")),
        await committed(objects, pending("r3")),
    )
    await objects.add(waiting)
    await objects.mark_deleted(gone.object_id, "u1", NOW)
    assert await ledger.states(Bucket.VIDEOS, [waiting.key, kept.key, gone.key, "none"]) == {
        waiting.key: ObjectState.PENDING,
        kept.key: ObjectState.COMMITTED,
        gone.key: ObjectState.DELETED,
    }
    assert await ledger.states(Bucket.TEMP, [kept.key]) == {}
    assert await ledger.states(Bucket.VIDEOS, []) == {}


async def test_S6_committed_rows_of_everybody_page_by_page(rows: Rows) -> None:
    objects, ledger, _ = rows
    made = [await committed(objects, pending(f"r{number}", owner=f"u{number % 2}")) for number in range(5)]
    await objects.add(pending("waiting"))
    made.sort(key=lambda row: row.object_id)
    assert await ledger.committed(None, 3) == made[:3]
    assert await ledger.committed(made[2].object_id, 3) == made[3:]
    assert await ledger.committed(None, 9, committed_before=NOW) == made
    assert await ledger.committed(None, 9, committed_before=NOW - timedelta(seconds=1)) == []
    assert await ledger.totals() == Totals(5, 35)


async def test_S6_rows_of_a_bucket_expire(rows: Rows) -> None:
    objects, ledger, _ = rows
    temp = Placement("u1", "j1", Bucket.TEMP, ArtifactKind.SEGMENT)
    old = [await committed(objects, replace(pending(f"t{number}"), placement=temp)) for number in range(3)]
    young = await committed(objects, replace(pending("y", created_at=NOW + timedelta(days=1)), placement=temp))
    kept = await committed(objects, pending("video"))
    assert await ledger.expire(Bucket.TEMP, NOW + timedelta(seconds=1), NOW, 2) == 2
    assert await ledger.expire(Bucket.TEMP, NOW + timedelta(seconds=1), NOW, 2) == 1
    assert await ledger.expire(Bucket.TEMP, NOW + timedelta(seconds=1), NOW, 2) == 0
    assert {row.object_id for row in await objects.deleted(None, 9)} == {row.object_id for row in old}
    assert {row.object_id for row in await ledger.committed(None, 9)} == {young.object_id, kept.object_id}


async def test_S7_verified_copies_are_remembered_by_target(rows: Rows) -> None:
    objects, _, journal = rows
    done, gone = [await committed(objects, pending(request_id)) for request_id in ("r1", "r2")]
    await objects.mark_deleted(gone.object_id, "u1", NOW)
    assert [await journal.note("t", row) for row in (done, done, gone)] == [True, True, False]
    asked = [done.object_id, gone.object_id]
    assert await journal.verified("t", asked) == {done.object_id}
    assert await journal.verified("other", asked) == frozenset()
    await objects.mark_deleted(done.object_id, "u1", NOW)
    await objects.purge(done.object_id, "u1")  # what refers to a row does not keep it
    assert [row.object_id for row in await objects.deleted(None, 9)] == [gone.object_id]

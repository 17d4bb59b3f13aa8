"""What the adapters behind users' files must do, the real ones and the fakes (S5).

The scanner is held to it on a server that speaks clamd's protocol, and on a real clamd where one is installed.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import services.storage
from services.runtime.db import create_engine, run_migrations
from services.runtime.ids import new_id
from services.storage.adapters.clamd import ClamdScanner
from services.storage.adapters.inspection import FileInspector
from services.storage.adapters.postgres import PostgresFileLedger, PostgresObjectRepository
from services.storage.application.file_ports import ContentInspector, FileLedger, MalwareScanner
from services.storage.application.ports import ObjectRepository
from services.storage.domain.errors import FileQuotaExceeded, ScannerUnavailable, UnsupportedContent
from services.storage.domain.files import PNG, TEXT, FilePlan, FileUsage
from services.storage.domain.objects import ArtifactKind, BlobReceipt, Bucket, Placement, StoredObject
from tests.fakes import sample_files as samples
from tests.fakes.clamd import ScriptedClamd
from tests.fakes.storage import MemoryObjectRepository
from tests.fakes.storage_files import FirstBytesInspector, MemoryFileLedger, MemoryScanner

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
PLAN = FilePlan(max_files=3, max_total_bytes=100)
CLAMD = shutil.which("clamd")


# The ledger.


@pytest.fixture(params=["postgres", "memory"])
async def rows(
    request: pytest.FixtureRequest, postgres: Callable[[], str]
) -> AsyncIterator[tuple[FileLedger, ObjectRepository]]:
    if request.param == "memory":
        objects = MemoryObjectRepository()
        yield MemoryFileLedger(objects), objects
        return
    url = postgres()
    await run_migrations(Path(services.storage.__file__).parent, url)
    engine = create_engine(url, pool_size=5)
    yield PostgresFileLedger(engine), PostgresObjectRepository(engine)
    await engine.dispose()


def row(
    kind: ArtifactKind, size: int = 10, *, owner: str = "u1", request: str = "", job: str = "", sha256: str = ""
) -> StoredObject:
    """A pending row."""
    object_id = new_id()
    bucket = Bucket.CODE if kind is ArtifactKind.FILE else Bucket.TEMP
    return StoredObject(
        object_id=object_id,
        request_id=request or f"file/{object_id}",
        placement=Placement(owner, job, bucket, kind),
        key=f"users/{owner}/{object_id}",
        content_type="application/octet-stream",
        filename="a file",
        created_at=NOW,
        size_bytes=size,
        sha256=sha256,
    )


async def test_S5_of_concurrent_reservations_no_two_take_the_same_room(
    rows: tuple[FileLedger, ObjectRepository],
) -> None:
    """S5: by number and by bytes; another owner is not concerned."""
    ledger, _ = rows

    async def reserved(size: int, owner: str) -> str:
        try:
            await ledger.reserve(row(ArtifactKind.FILE, size, owner=owner), PLAN)
        except FileQuotaExceeded as error:
            return error.metadata["quota"]
        return "room"

    outcomes = await asyncio.gather(*[reserved(1, "u1") for _ in range(20)], *[reserved(40, "u2") for _ in range(20)])
    assert sorted(outcomes[:20]) == ["files"] * 17 + ["room"] * 3
    assert sorted(outcomes[20:]) == ["bytes"] * 18 + ["room"] * 2
    assert (await ledger.usage("u1"), await ledger.usage("u2")) == (FileUsage(3, 3), FileUsage(2, 80))


async def test_S5_a_reservation_and_its_file_count_once(rows: tuple[FileLedger, ObjectRepository]) -> None:
    """S5: before, while and after the file takes its place; what is deleted does not count."""
    ledger, objects = rows
    reservation = row(ArtifactKind.FILE_UPLOAD, 60)
    await ledger.reserve(reservation, PLAN)
    file = row(ArtifactKind.FILE, 60, request=reservation.request_id)
    await objects.add(file)
    assert await ledger.usage("u1") == FileUsage(1, 60)
    committed = replace(file, content_type=PNG).commit(BlobReceipt(60, "ab" * 32), NOW)
    assert await objects.commit(committed)
    assert await ledger.usage("u1") == FileUsage(1, 60)
    for _ in range(2):
        await ledger.release(reservation)
    await ledger.release(file)
    assert await objects.find(file.object_id, "u1") == committed
    assert await ledger.usage("u1") == FileUsage(1, 60)
    await objects.mark_deleted(file.object_id, "u1", NOW)
    assert await ledger.usage("u1") == FileUsage(0, 0)


async def test_S5_other_objects_are_no_files(rows: tuple[FileLedger, ObjectRepository]) -> None:
    """S5: nor are parts on their way."""
    ledger, objects = rows
    for kind in (ArtifactKind.VIDEO, ArtifactKind.FILE_PART):
        await objects.add(row(kind, job="j1"))
    assert await ledger.usage("u1") == FileUsage(0, 0)


async def test_S5_what_is_on_its_way_to_the_store(rows: tuple[FileLedger, ObjectRepository]) -> None:
    """S5: the newest part of just this upload that was announced with a checksum."""
    ledger, objects = rows
    part = ArtifactKind.FILE_PART
    mine = [row(part, job="up-1", sha256="ab" * 32, request=f"p{number}") for number in range(2)]
    for each in (*mine, row(part, job="up-1"), row(part, job="up-2", sha256="ab" * 32)):
        await objects.add(each)
    newest = max(mine, key=lambda each: each.object_id)
    assert await ledger.arriving("u1", "up-1") == newest
    assert await ledger.arriving("u2", "up-1") is None
    await objects.abandon(newest.object_id, "u1", NOW)
    assert await ledger.arriving("u1", "up-1") in mine


async def test_S5_what_is_too_old_ends(rows: tuple[FileLedger, ObjectRepository]) -> None:
    """S5: reservations and parts, not files; the general sweep leaves reservations alone."""
    ledger, objects = rows
    later = NOW + timedelta(hours=2)
    file, part, reservation = (
        row(kind, job=job)
        for kind, job in ((ArtifactKind.FILE, ""), (ArtifactKind.FILE_PART, "up"), (ArtifactKind.FILE_UPLOAD, ""))
    )
    young = replace(row(ArtifactKind.FILE_UPLOAD), created_at=later)
    for each in (file, part, reservation, young):
        await objects.add(each)
    for each in (file, part):
        assert await objects.commit(each.commit(BlobReceipt(10, "ab" * 32), NOW))
    assert await objects.abandon_stale(later, later, 10) == 0
    assert await ledger.expire(NOW, later, 10) == 0
    assert await ledger.expire(later, later, 10) == 2
    assert await ledger.expire(later, later, 10) == 0
    assert sorted(each.object_id for each in await objects.deleted(None, 10)) == sorted(
        [part.object_id, reservation.object_id]
    )
    assert await ledger.usage("u1") == FileUsage(2, 20)


# The scanner.


async def chunks(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.fixture(scope="module")
def signatures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of one signature: bytes at any place of any file."""
    folder = tmp_path_factory.mktemp("clamav")
    (folder / "test.ndb").write_text(f"Eicar-Test-Signature:0:*:{samples.EICAR.hex()}\n")
    return folder


@asynccontextmanager
async def real_clamd(folder: Path) -> AsyncIterator[str]:
    """clamd in the foreground on a Unix socket, until it is killed."""
    socket, config = folder / "clamd.sock", folder / "clamd.conf"
    config.write_text(
        f"LocalSocket {socket}\nDatabaseDirectory {folder}\nForeground yes\nStreamMaxLength 2M\nMaxThreads 4\n"
    )
    with (folder / "clamd.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(str(CLAMD), "-c", str(config), stdout=log, stderr=log)
    try:
        async with asyncio.timeout(60):
            while not await _answers(f"unix:{socket}"):  # another process
                assert process.returncode is None, (folder / "clamd.log").read_text()
                await asyncio.sleep(0.05)
        yield f"unix:{socket}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _answers(address: str) -> bool:
    try:
        return await ClamdScanner(address).scan(chunks(b"anybody there?")) is None
    except ScannerUnavailable:
        return False


@pytest.fixture(
    params=[
        "memory",
        "scripted",
        pytest.param(
            "clamd",
            # An optional extra even in CI: the same suite has run on the server that speaks the protocol.
            marks=pytest.mark.skipif(CLAMD is None, reason="no clamd is installed; the scripted one has been asked"),
        ),
    ]
)
async def scanner(request: pytest.FixtureRequest, signatures: Path) -> AsyncIterator[MalwareScanner]:
    match request.param:
        case "memory":
            yield MemoryScanner()
        case "scripted":
            async with ScriptedClamd() as clamd:
                yield ClamdScanner(clamd.address)
        case _:
            async with real_clamd(signatures) as address:
                yield ClamdScanner(address)


async def test_S5_malware_is_found_and_nothing_else(scanner: MalwareScanner) -> None:
    """S5: empty, small, of many chunks, at the end of many bytes, and many at once."""
    clean = samples.text(1_500_000)
    assert await scanner.scan(chunks(b"")) is None
    assert await scanner.scan(chunks(clean)) is None
    found = await scanner.scan(chunks(samples.EICAR))
    assert found is not None
    assert found.startswith("Eicar-Test-Signature")
    assert await scanner.scan(chunks(clean + samples.EICAR, 7777)) == found
    many = await asyncio.gather(*[scanner.scan(chunks(samples.EICAR if odd % 2 else clean)) for odd in range(10)])
    assert many == [found if odd % 2 else None for odd in range(10)]


@pytest.mark.skipif(CLAMD is None, reason="no clamd is installed")
async def test_S5_what_is_too_long_for_a_real_clamd_is_not_taken_for_clean(signatures: Path) -> None:
    """S5: it answers in the middle and hangs up."""
    async with real_clamd(signatures) as address:
        with pytest.raises(ScannerUnavailable):
            await ClamdScanner(address).scan(chunks(bytes(8_000_000)))


@pytest.mark.parametrize(
    "answer", [b"", b"\0", b"stream: OK", b"stream: lstat() failed. ERROR\0", b"x" * 9000, b"NO\0"]
)
async def test_S5_no_clear_answer_is_not_taken_for_clean(answer: bytes) -> None:
    """S5: nothing, something else, something without an end, an error."""
    async with ScriptedClamd() as clamd:
        clamd.answer = answer
        with pytest.raises(ScannerUnavailable):
            await ClamdScanner(clamd.address).scan(chunks(b"data"))


async def test_S5_a_scanner_that_is_away_slow_or_has_enough(tmp_path: Path) -> None:
    """S5: refused connections, a missing socket, silence, a limit below the file's length."""

    async def unavailable(call: Awaitable[object]) -> None:
        with pytest.raises(ScannerUnavailable):
            await call

    async with ScriptedClamd() as clamd:
        clamd.limit = 1000
        await unavailable(ClamdScanner(clamd.address).scan(chunks(bytes(20_000_000))))
        clamd.mute = True
        await unavailable(ClamdScanner(clamd.address, timeout_s=0.1).scan(chunks(b"data")))
    await unavailable(ClamdScanner(clamd.address).scan(chunks(b"data")))
    await unavailable(ClamdScanner(f"unix:{tmp_path}/none").scan(chunks(b"data")))


async def test_S5_a_failing_read_is_not_the_scanners_fault() -> None:
    """S5: it stays what it is, a timeout too."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"data"
        raise TimeoutError("the disk")

    async with ScriptedClamd() as clamd:
        with pytest.raises(TimeoutError, match="the disk"):
            await ClamdScanner(clamd.address).scan(broken())


@pytest.mark.parametrize("address", ["", "clamd", ":3310", "host:", "host:x"])
def test_S5_addresses_that_are_none(address: str) -> None:
    """S5: found at the start, not at the first file."""
    with pytest.raises(ValueError, match="neither"):
        ClamdScanner(address)


# The inspector.


@pytest.fixture(params=["real", "first bytes"])
def inspector(request: pytest.FixtureRequest) -> Iterator[ContentInspector]:
    if request.param != "real":
        yield FirstBytesInspector()
        return
    found = FileInspector()
    yield found
    found.close()


async def test_S5_types_are_found_by_content(inspector: ContentInspector) -> None:
    """S5: many at once too; `tests/unit/storage/test_file_inspection.py` has what only the real one sees."""
    files = [samples.image(), samples.text(2_000_000)] * 5
    assert await asyncio.gather(*[inspector.inspect(chunks(data, 5000)) for data in files]) == [PNG, TEXT] * 5
    with pytest.raises(UnsupportedContent):
        await inspector.inspect(chunks(b"\x7fELF\0\0"))

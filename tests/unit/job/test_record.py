"""Exports and erasures over fakes (A8)."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile

import pytest

from services.job.adapters.zip_stream import pack_zip
from services.job.application.erasing import Eraser
from services.job.application.export import Export, KeptFile, path_of
from services.job.application.retention import Retention
from services.job.domain.errors import ExportRunning
from services.job.domain.plan import Plans
from services.job.domain.values import JobStatus, Quality
from tests.fakes.job import FakeClock
from tests.fakes.job_record import (
    FakeAccountRecords,
    FakeErasedOwners,
    FakeExportTurns,
    FakeKeptFiles,
    FakeOwnedRecords,
)
from tests.fakes.job_retention import FakeRetention
from tests.fakes.live_streams import FakeStreams
from tests.unit.job.world import BOB, World

RECORDS = [("profile", '{"n": 0}'), *(("audit", f'{{"n": {number}}}') for number in range(5)), ("keys", '{"n": 9}')]


def kept(object_id: str, kind: str, job_id: str, filename: str) -> KeptFile:
    """An object of the user."""
    return KeptFile(object_id, kind, job_id, filename, {"object_id": object_id, "kind": kind})


class Bench:
    """An export of scripted parts."""

    def __init__(self) -> None:
        self.accounts = FakeAccountRecords(list(RECORDS))
        self.files = FakeKeptFiles(
            [
                (kept("1", "video", "j1", "film.mp4"), b"the film"),
                (kept("2", "segment", "j1", "part.mp4"), b"a part"),
                (kept("3", "file", "", "notes.txt"), b"my notes"),
            ]
        )
        self.records = FakeOwnedRecords({"jobs/jobs.ndjson": [b'{"a": 1}\n', b'{"a": 2}\n'], "jobs/none.ndjson": []})
        self.turns = FakeExportTurns()
        self.export = Export(self.accounts, self.records, self.files, self.turns, pack_zip, FakeClock())

    async def run(self) -> bytes:
        """The whole archive."""
        return b"".join([chunk async for chunk in self.export("ada")])


async def test_A8_an_archive_has_every_part_once_and_sums_of_all() -> None:
    with zipfile.ZipFile(io.BytesIO(await Bench().run())) as archive:
        assert archive.testzip() is None
        members = {name: archive.read(name) for name in archive.namelist()}
    assert list(members) == [
        "README.txt",
        "account/profile.ndjson",
        "account/audit.ndjson",
        "account/keys.ndjson",
        "jobs/jobs.ndjson",
        "jobs/none.ndjson",
        "objects.ndjson",
        "videos/j1/1/film.mp4",
        "files/3/notes.txt",
        "manifest.json",
    ]
    assert [json.loads(line)["n"] for line in members["account/audit.ndjson"].splitlines()] == list(range(5))
    assert (members["videos/j1/1/film.mp4"], members["files/3/notes.txt"]) == (b"the film", b"my notes")
    assert len(members["objects.ndjson"].splitlines()) == 3
    for each in json.loads(members["manifest.json"])["members"]:
        content = members[each["path"]]
        assert (each["size_bytes"], each["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


async def test_A8_a_second_export_waits_for_the_first_and_a_broken_one_gives_its_turn_back() -> None:
    bench = Bench()
    running = bench.export("ada")
    await anext(running)
    with pytest.raises(ExportRunning):
        await bench.run()
    await running.aclose()
    assert bench.turns.taken == set()
    assert await bench.run()


async def test_A8_what_fails_on_the_way_fails_the_archive() -> None:
    bench = Bench()
    bench.accounts.error, bench.accounts.fails_after = ConnectionError("away"), 1
    received = b""
    with pytest.raises(ConnectionError):
        received = await bench.run()
    assert (received, bench.turns.taken) == (b"", set())


@pytest.mark.parametrize(
    ("filename", "path"),
    [
        ("a.txt", "files/1/a.txt"),
        ("../../etc/passwd", "files/1/passwd"),
        ("..", "files/1/file"),
        ("", "files/1/file"),
        ("C:\\windows\\x", "files/1/C:_windows_x"),
        ("映画.mp4", "files/1/映画.mp4"),
    ],
)
def test_A8_no_name_of_a_file_leads_out_of_its_folder(filename: str, path: str) -> None:
    assert path_of(kept("1", "file", "", filename)) == path


class Erasing(World):
    """The use cases over the fakes, and an eraser wired as `bootstrap` does it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.owners = FakeErasedOwners(self.db)
        self.job_streams, self.batch_streams = FakeStreams(), FakeStreams()
        retention = Retention(FakeRetention(self.db), self.jobs, self.renders, self.objects, Plans(), self.clock)
        self.erase = Eraser(self.owners, self.orders, retention, self.job_streams, self.batch_streams, self.clock)


@pytest.fixture
def erasing() -> Erasing:
    return Erasing()


async def test_A8_a_waiting_job_is_cancelled_at_once_and_goes_after_its_grace(erasing: Erasing) -> None:
    job, other = await erasing.create(), await erasing.create(BOB)
    erasing.owners.receivers["ada"] = ["https://a.example"]
    erasing.owners.batch_ids["ada"] = ["batch"]
    assert not await erasing.erase("ada")
    assert (await erasing.job(job.job_id)).status is JobStatus.CANCELLED
    assert erasing.owners.receivers == {}
    assert erasing.owners.batch_ids == {"ada": ["batch"]}
    erasing.clock.advance(seconds=61)
    assert await erasing.erase("ada")
    assert list(erasing.db.jobs) == [other.job_id]
    assert (erasing.job_streams.forgotten, erasing.batch_streams.forgotten) == ([job.job_id], ["batch"])
    assert await erasing.erase("ada")


async def test_A8_a_neighbour_that_is_away_is_asked_again(erasing: Erasing) -> None:
    await erasing.create()
    await erasing.erase("ada")
    erasing.clock.advance(seconds=61)
    erasing.renders.away = True
    assert not await erasing.erase("ada")
    assert erasing.db.jobs
    erasing.renders.away = False
    assert await erasing.erase("ada")
    assert not erasing.db.jobs


async def test_A8_an_erasure_waits_until_credits_are_given_back(erasing: Erasing) -> None:
    erasing.prices[Quality.MEDIUM] = 3
    await erasing.create()
    await erasing.erase("ada")
    erasing.clock.advance(seconds=61)
    assert not await erasing.erase("ada")
    while await erasing.settling.deliver():
        pass
    assert await erasing.erase("ada")


async def test_A8_an_order_that_slips_in_is_found_the_next_time(erasing: Erasing) -> None:
    assert await erasing.erase("ada")
    await erasing.create()
    assert not await erasing.erase("ada")
    erasing.clock.advance(seconds=61)
    assert await erasing.erase("ada")

"""Jobs of the older system become jobs here (S7)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.job.api.codec import event_payload
from services.job.application.importing.records import INTERRUPTED, OLDER_FAILURE, OlderJob, Refused, job_id_of, read
from services.job.application.importing.use_case import ImportJobs, ImportOutcome
from services.job.domain.job import Job
from services.job.domain.plan import Kept, Plan, Plans
from services.job.domain.values import JobStatus, Quality
from tests.fakes.job_importing import ListedOlderSystem, MemoryImports

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
WHOLE = {
    "user_id": "ada",
    "topic": "Fourier series",
    "context": "as a sum of circles",
    "quality": "1080p",
    "priority": "high",
    "status": "completed",
    "progress": "97.5",
    "created_at": "2024-05-06T07:08:09Z",
    "started_at": "1714979300",
    "completed_at": "2024-05-06T09:18:09+02:00",
    "config": '{"max_scenes": 5}',
    "title": "Fourier",
}


def job_of(fields: Mapping[str, str], older_id: str = "42", listed_by: str = "") -> Job:
    return read(OlderJob(older_id, fields, listed_by=listed_by), NOW, {}).job


def test_S7_a_whole_record() -> None:
    record = read(OlderJob("42", WHOLE, {"duration": "61.5"}), NOW, {"ada": "u-7"})
    job = record.job
    assert record.remarks == []
    assert (job.order.owner_id, job.order.topic, job.order.quality) == ("u-7", "Fourier series", Quality.HIGH)
    assert (job.status, job.progress, job.title, job.failure) == (JobStatus.COMPLETED, 100.0, "Fourier", None)
    assert job.created_at == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert job.completed_at == datetime(2024, 5, 6, 7, 18, 9, tzinfo=UTC)
    assert job.expired_at == NOW
    assert job.order.configuration["imported"] == {
        "id": "42",
        "configuration": {"max_scenes": 5},
        "video": {"duration": "61.5"},
    }
    assert [event.seq for event in job.events] == [job.revision] == [1]
    assert event_payload(job.events[0])


@pytest.mark.parametrize("status", ["queued", "PROCESSING", "in-progress", "Rendering"])
def test_S7_what_was_in_flight_has_failed(status: str) -> None:
    job = job_of({**WHOLE, "status": status})
    assert job.status is JobStatus.FAILED
    assert job.failure is not None
    assert (job.failure.code, job.failure.retryable) == (INTERRUPTED, False)
    assert job.progress == 97.5


def test_S7_failures_keep_their_reason() -> None:
    failure = job_of({**WHOLE, "status": "error", "error_message": "LaTeX broke"}).failure
    assert failure is not None
    assert (failure.code, failure.message) == (OLDER_FAILURE, "LaTeX broke")
    failure = job_of({**WHOLE, "status": "failed", "error_code": "oom_killed"}).failure
    assert failure is not None
    assert (failure.code, failure.message) == ("OOM_KILLED", "no reason was recorded")
    assert job_of({**WHOLE, "status": "canceled"}).status is JobStatus.CANCELLED


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({**WHOLE, "status": "wibble"}, "status 'wibble' is not known"),
        ({**WHOLE, "status": ""}, "it has no status"),
        ({**WHOLE, "user_id": ""}, "it has no owner"),
        ({**WHOLE, "user_id": "../etc"}, "is not an id"),
        ({}, "it has no owner"),
    ],
)
def test_S7_what_makes_no_job_is_refused_with_its_reason(fields: dict[str, str], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        job_of(fields)


def test_S7_what_cannot_be_used_is_said_and_left_out() -> None:
    fields = {**WHOLE, "quality": "ultra", "config": "{broken", "created_at": "yesterday", "topic": "x" * 501}
    record = read(OlderJob("42", fields), NOW, {})
    assert record.remarks == [
        "created_at is no time: 'yesterday'",
        "topic is cut to 500 characters",
        "quality 'ultra' is not known",
        "config is not JSON",
    ]
    assert record.job.order.quality is Quality.MEDIUM
    assert record.job.created_at == record.job.completed_at


def test_S7_a_hash_that_keeps_everything_in_one_field() -> None:
    job = job_of({"data": json.dumps({**WHOLE, "config": {"a": [1, "b\0"]}})})
    assert (job.order.topic, job.order.configuration["imported"]["configuration"]) == (
        "Fourier series",
        {"a": [1, "b"]},
    )
    assert job_of({"status": "done"}, listed_by="bob").order.owner_id == "bob"


def test_S7_ids_are_the_same_each_time() -> None:
    known = str(uuid.uuid4())
    assert job_id_of(known) == known
    assert job_id_of("42") == job_id_of("42") != job_id_of("43")
    assert uuid.UUID(job_id_of("42")).version == 5


_TEXT = st.text(max_size=30) | st.sampled_from(["1e999", "NaN", '{"a": 1e999}', "[1]", '"\\ud800"', "9" * 400, "-1"])


@given(st.dictionaries(st.sampled_from([*WHOLE, "data", "video_id", "error", "updated_at"]), _TEXT))
def test_S7_no_hash_is_fatal(fields: dict[str, str]) -> None:
    try:
        record = read(OlderJob("42", {"user_id": "ada", "status": "done", **fields}, {"x": "\0"}), NOW, {})
    except Refused:
        return
    job = record.job
    assert job.created_at <= (job.completed_at or NOW) <= NOW
    assert 0 <= job.progress <= 100
    assert event_payload(job.events[0])
    assert "\\u0000" not in json.dumps(dict(job.order.configuration), allow_nan=False)


class _Clock:
    def now(self) -> datetime:
        return NOW


class _Run:
    def __init__(self) -> None:
        self.older = ListedOlderSystem([OlderJob(f"{number}", WHOLE) for number in range(5)])
        self.store = MemoryImports()
        self.told: dict[str, tuple[ImportOutcome, str]] = {}
        self.cursors: list[int] = []
        plans = Plans({"free": Plan(retention={Kept.JOB: timedelta(days=365)})})
        self.run = ImportJobs(self.older, self.store, plans, _Clock(), {})

    def tell(self, key: str, outcome: ImportOutcome, text: str) -> None:
        self.told[key] = (outcome, text)


async def test_S7_an_interrupted_import_goes_on_and_a_second_one_changes_nothing() -> None:
    world = _Run()
    world.older.away_at = 4
    with pytest.raises(ConnectionError):
        await world.run(world.tell, world.cursors.append)
    assert (len(world.store.jobs), world.cursors) == (4, [2, 4])
    world.older.away_at = None
    report = await world.run(world.tell, world.cursors.append, cursor=4)
    assert report.outcomes == {ImportOutcome.IMPORTED: 1}
    rows = dict(world.store.jobs)
    report = await world.run(world.tell, world.cursors.append)
    assert report.outcomes == {ImportOutcome.PRESENT: 5, ImportOutcome.REFUSED: 1}
    assert world.told["jobs:list"] == (ImportOutcome.REFUSED, "is a list, not a hash")
    assert all(world.store.jobs[job_id] is job for job_id, job in rows.items())


async def test_S7_old_jobs_are_kept_for_a_plan_s_time_from_now_on() -> None:
    world = _Run()
    await world.run(world.tell, world.cursors.append)
    assert {job.purge_at for job in world.store.jobs.values()} == {NOW + timedelta(days=365)}
    assert {(job.expires_at, job.segments_expire_at) for job in world.store.jobs.values()} == {(None, None)}


async def test_S7_a_dry_run_stores_nothing_and_nobody_gets_another_s_job() -> None:
    world = _Run()
    report = await world.run(world.tell, world.cursors.append, dry_run=True)
    assert report.outcomes[ImportOutcome.TO_IMPORT] == 5
    assert not world.store.jobs
    world.store.jobs[job_id_of("3")] = job_of({**WHOLE, "user_id": "eve"}, "3")
    await world.run(world.tell, world.cursors.append)
    outcome, text = world.told["jobs:3"]
    assert (outcome, "somebody else's" in text) == (ImportOutcome.REFUSED, True)
    assert world.store.jobs[job_id_of("3")].order.owner_id == "eve"

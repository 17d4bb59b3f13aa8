"""A checker that cannot fail is worthless: each invariant holds on a good history and fails on a forged one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from tests.chaos.history import History, Record
from tests.chaos.invariants import INVARIANTS, broken
from tests.chaos.report import restarts, table

GOOD, GONE = "job-good", "job-cancelled"


def _event(seq: int, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"seq": seq, "occurred_at": f"2026-01-01T00:00:{seq:02d}Z", kind: body}


def _status(seq: int, status: str, progress: float, attempt: int = 1) -> dict[str, Any]:
    return _event(seq, "status", {"status": status, "progress": progress, "attempt": attempt})


def _scene(seq: int, status: str, attempts: int, progress: float) -> dict[str, Any]:
    return _event(seq, "scene", {"scene": {"index": 0, "status": status, "attempts": attempts}, "progress": progress})


def good() -> list[Record]:
    """Two jobs and a batch of one of them: a scene lost its worker once, one job was cancelled on request."""
    told = [
        _status(1, "queued", 0.0, 0),
        _status(2, "processing", 0.0),
        _scene(3, "processing", 1, 1.0),
        _scene(4, "queued", 1, 1.0),
        _scene(5, "processing", 2, 1.0),
        _scene(6, "completed", 2, 95.0),
        _status(7, "completed", 100.0),
    ]
    gone = [_status(1, "queued", 0.0, 0), _status(2, "cancelled", 0.0, 0)]
    ended = {"seq": 1, "ended": {"status": "completed"}}
    scene = {"segments": [{"rung": "480p", "file": {"object_id": "o1"}}], "poster": {"object_id": "o3"}}
    history = History(now=count(1.0).__next__)
    add = history.add
    add("answer", request_id="r1", user="ada", status=201, job_ids=[GOOD], batch_id="")
    add("answer", request_id="r1", user="ada", status=201, job_ids=[GOOD], batch_id="")
    add("answer", request_id="r2", user="ada", status=201, job_ids=[GONE], batch_id="batch")
    add("cancel", job_id=GONE, status=200)
    for job_id, events in ((GOOD, told), (GONE, gone)):
        add("connect", watcher=f"w-{job_id}", job_id=job_id, after=0, status=200)
        for event in events:
            name = next(kind for kind in ("status", "scene") if kind in event)
            add("event", watcher=f"w-{job_id}", job_id=job_id, seq=event["seq"], name=name, body=event)
    add("connect", watcher="late", job_id=GOOD, after=None, status=200)
    add("event", watcher="late", job_id=GOOD, seq=6, name="snapshot", body={"seq": 6, "snapshot": {}})
    add("event", watcher="late", job_id=GOOD, seq=7, name="status", body=told[-1])
    add("connect", watcher="w-batch", job_id="batch", after=0, status=200)
    add("event", watcher="w-batch", job_id="batch", seq=1, name="ended", body=ended)
    for phase in ("inject", "heal", "ready"):
        add("fault", number=1, kind="kill worker", target="worker", phase=phase, note="")
    add("final", job_id=GOOD, status="completed", error=None)
    add("final", job_id=GONE, status="cancelled", error=None)
    add("stored", job_id=GOOD, events=told)
    add("stored", job_id=GONE, events=gone)
    add("file", job_id=GOOD, what="video", expected={"size": 1, "frames": 9}, found={"size": 1, "frames": 9})
    add("batch", batch_id="batch", batch={"status": "failed", **_counts(cancelled=1)})
    add("job_row", job_id=GOOD, status="completed", deleted=False)
    add("job_row", job_id=GONE, status="cancelled", deleted=False)
    add(
        "step_row",
        job_id=GOOD,
        render_id="g-1",
        step_id="g-1.plan",
        kind="plan",
        state="succeeded",
        fence=1,
        result=None,
    )
    add(
        "step_row",
        job_id=GOOD,
        render_id="g-1",
        step_id="g-1.scene.0",
        kind="scene",
        state="succeeded",
        fence=2,
        result=scene,
    )
    whole, removed = {"sha256": "a", "found_sha256": "a"}, {"sha256": "b", "found_sha256": None}
    add("object_row", object_id="o1", made_by="g-1.scene.0", job_id=GOOD, fence=2, key="k1", state="committed", **whole)
    add("object_row", object_id="o3", made_by="g-1.scene.0", job_id=GOOD, fence=2, key="k3", state="committed", **whole)
    add("object_row", object_id="o2", made_by="c-1.scene.0", job_id=GONE, fence=1, key="k2", state="deleted", **removed)
    add("credit_row", job_id=GOOD, state="settled", amount=1)
    add("credit_row", job_id=GONE, state="released", amount=1)
    return list(history)


def _counts(*, completed: int = 0, failed: int = 0, cancelled: int = 0) -> dict[str, int]:
    return {"completed_count": completed, "failed_count": failed, "cancelled_count": cancelled}


def change(record: str, nth: int = 0, /, **fields: Any) -> Callable[[list[Record]], None]:
    """Forge fields of the n-th record of a sort."""

    def forge(records: list[Record]) -> None:
        [one for one in records if one["record"] == record][nth].update(fields)

    return forge


def drop(record: str, nth: int = 0, /) -> Callable[[list[Record]], None]:
    """Forge by leaving the n-th record of a sort out."""

    def forge(records: list[Record]) -> None:
        records.remove([one for one in records if one["record"] == record][nth])

    return forge


def add(record: str, /, **fields: Any) -> Callable[[list[Record]], None]:
    """Forge by one record more."""
    return lambda records: records.append({"record": record, "at": 99.0, **fields})


def rewrite(forge_events: Callable[[list[dict[str, Any]]], Any], nth: int = 0) -> Callable[[list[Record]], None]:
    """Forge the stored history of a job."""
    return lambda records: forge_events([one for one in records if one["record"] == "stored"][nth]["events"])


FORGERIES: list[tuple[str, Callable[[list[Record]], None]]] = [
    ("accepted_jobs_end", drop("final")),
    ("accepted_jobs_end", change("final", status="processing")),
    ("accepted_jobs_end", change("final", status="failed")),
    ("accepted_jobs_end", drop("cancel")),
    ("orders_are_answered", add("answer", request_id="r9", user="ada", status=500, job_ids=[], batch_id="")),
    ("one_job_per_key", change("answer", 1, job_ids=["job-twin"])),
    ("one_job_per_key", add("job_row", job_id="job-nobody-knows", status="queued", deleted=False)),
    ("results_accepted_once", change("object_row", fence=1)),
    ("results_accepted_once", change("object_row", 1, fence=1)),
    ("results_accepted_once", change("step_row", 1, result=None)),
    ("results_accepted_once", rewrite(lambda events: events.insert(6, events[5]))),
    ("attempts_begin_once", rewrite(lambda events: events[4]["scene"]["scene"].update(attempts=1))),
    ("attempts_begin_once", add("step_row", job_id=GOOD, render_id="g-2", step_id="x", kind="plan", state="running")),
    ("terminal_never_changes", rewrite(lambda events: events.append(_status(8, "failed", 100.0)))),
    ("terminal_never_changes", rewrite(lambda events: events.append(_scene(8, "queued", 2, 100.0)))),
    ("terminal_never_changes", change("final", 1, status="completed")),
    ("revisions_gap_free", drop("event", 3)),
    ("revisions_gap_free", drop("event", 0)),
    ("revisions_gap_free", drop("event", 6)),
    ("revisions_gap_free", drop("event", -1)),
    ("revisions_gap_free", change("event", 3, seq=3)),
    ("revisions_gap_free", change("connect", 2, status=410)),
    ("history_is_what_was_told", rewrite(lambda events: events.pop(2))),
    ("history_is_what_was_told", change("event", 4, body=_scene(5, "processing", 3, 1.0))),
    ("progress_never_falls", rewrite(lambda events: events[4]["scene"].update(progress=0.5))),
    ("files_exist_and_match", change("file", found={"size": 1, "frames": 8})),
    ("files_exist_and_match", change("object_row", found_sha256=None)),
    ("files_exist_and_match", drop("file")),
    ("cancelled_leave_nothing", change("object_row", 2, state="committed", found_sha256="b")),
    ("cancelled_leave_nothing", add("leftover", what="process 1 draws")),
    (
        "cancelled_leave_nothing",
        add("step_row", job_id=GONE, render_id="c-1", step_id="c", kind="scene", state="running", fence=1, result=None),
    ),
    ("credits_settled_once", change("credit_row", state="confirmed")),
    ("credits_settled_once", change("credit_row", 1, state="settled")),
    ("credits_settled_once", add("credit_row", job_id=GOOD, state="settled", amount=1)),
    ("credits_settled_once", drop("credit_row")),
    ("batches_add_up", change("batch", batch={"status": "completed", **_counts(completed=1)})),
    ("batches_add_up", change("batch", batch={"status": "processing", **_counts(cancelled=1)})),
    ("batches_add_up", add("event", watcher="w-batch", job_id="batch", seq=2, name="ended", body={})),
    ("faults_are_recovered", drop("fault", 2)),
    ("faults_are_recovered", change("fault", 2, phase="unready")),
]


def test_a_good_history_breaks_nothing() -> None:
    assert broken(History(good())) == {}


@pytest.mark.parametrize(("name", "forge"), FORGERIES, ids=[f"{name}-{n}" for n, (name, _) in enumerate(FORGERIES)])
def test_a_forged_history_breaks_its_invariant(name: str, forge: Callable[[list[Record]], None]) -> None:
    records = copy.deepcopy(good())
    forge(records)
    assert name in broken(History(records)), f"{name} did not notice"


def test_every_invariant_is_forged() -> None:
    assert {name for name, _ in FORGERIES} == set(INVARIANTS)


def test_the_table_names_what_is_broken_and_counts_what_is_not() -> None:
    assert f"Invariants that hold: {len(INVARIANTS)} of {len(INVARIANTS)}" in table(History(good()))
    records = good()
    change("final", status="failed")(records)
    assert "**accepted_jobs_end**: 1" in table(History(records))
    assert "| lost | 1 |" in table(History(records))


def test_the_time_from_a_death_to_the_next_beginning_is_read_from_the_history() -> None:
    records = good()
    began = datetime(2026, 1, 1, 0, 0, 3, tzinfo=UTC).timestamp()  # it begins again two seconds later
    change("fault", at=began + 0.5)(records)
    assert restarts(History(records)) == [1.5]

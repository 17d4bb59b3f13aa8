"""What must hold whatever happened, by name; each looks at a history alone and says in words where it is broken."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from tests.chaos.client import ends
from tests.chaos.history import History, Record
from tests.e2e.local_stack import TERMINAL

Invariant = Callable[[History], Iterator[str]]


def accepted_jobs_end(history: History) -> Iterator[str]:
    """No accepted job is lost: each completes, or is cancelled because somebody asked for it.

    The storm orders nothing that could fail by its own fault, so a failed job is a lost one.
    """
    found = {final["job_id"]: final for final in history.of("final")}
    cancelled = _cancel_wanted_of_jobs(history)
    for job_id in history.job_ids:
        status = found.get(job_id, {}).get("status")
        if status == "completed" or (status == "cancelled" and job_id in cancelled):
            continue
        yield f"job {job_id} ended as {status}: {found.get(job_id, {}).get('error')}"


def orders_are_answered(history: History) -> Iterator[str]:
    """Every order was accepted in the end, and no answer refused it for good."""
    for request_id, answers in history.grouped("answer", "request_id").items():
        if not any(answer["job_ids"] for answer in answers):
            yield f"order {request_id} was never accepted: {answers[-1]['status']} {answers[-1].get('error')}"


def one_job_per_key(history: History) -> Iterator[str]:
    """The same key gives the same answer, and no job exists that nobody was told of."""
    for request_id, answers in history.grouped("answer", "request_id").items():
        jobs = {tuple(answer["job_ids"]) for answer in answers if answer["job_ids"]}
        if len(jobs) > 1:
            yield f"order {request_id} made {len(jobs)} jobs: {sorted(jobs)}"
    told = set(history.job_ids)
    for row in history.of("job_row"):
        if row["job_id"] not in told:
            yield f"job {row['job_id']} exists and nobody was told of it"


def results_accepted_once(history: History) -> Iterator[str]:
    """A scene's result was made under the last fence that its step gave out, or is another step's, from the cache."""
    objects = {row["object_id"]: row for row in history.of("object_row")}
    for step in history.of("step_row", kind="scene", state="succeeded"):
        files = list(_object_ids(step["result"]))
        if not files:
            yield f"step {step['step_id']} succeeded without a result"
        for found in filter(None, map(objects.get, files)):
            if found["made_by"] == step["step_id"] and found["fence"] != step["fence"]:
                last = step["fence"]
                yield f"step {step['step_id']} has a file of fence {found['fence']}, its last holder had {last}"
    for job_id, events in _stored(history):
        for (attempt, scene), statuses in _scene_statuses(events).items():
            for before, after in pairwise(statuses):
                if before == after == "completed":
                    yield f"job {job_id} attempt {attempt} scene {scene} was completed twice in a row"


def _object_ids(result: Any) -> Iterator[str]:
    """The files that a result names: segments, sound, stills."""
    if isinstance(result, dict):
        if "object_id" in result:
            yield result["object_id"]
        for value in result.values():
            yield from _object_ids(value)
    elif isinstance(result, list):
        for value in result:
            yield from _object_ids(value)


def attempts_begin_once(history: History) -> Iterator[str]:
    """No duplicate start: a scene begins its attempts 1, 2, 3 … each once, and a job has one render per attempt."""
    for job_id, events in _stored(history):
        for (attempt, scene), begun in _scene_attempts(events).items():
            if any(after <= before for before, after in pairwise(begun)):
                yield f"job {job_id} attempt {attempt} scene {scene} began as {begun}"
    renders: dict[str, set[str]] = {}
    for step in history.of("step_row", kind="plan"):
        renders.setdefault(step["job_id"], set()).add(step["render_id"])
    for job_id, events in _stored(history):
        attempts = {event["status"]["attempt"] for event in events if "status" in event} - {0}
        if len(renders.get(job_id, ())) > len(attempts):
            yield f"job {job_id} has renders {sorted(renders[job_id])} for attempts {sorted(attempts)}"


def terminal_never_changes(history: History) -> Iterator[str]:
    """A terminal status is the last thing that happens to a job, and everybody was told the same one."""
    finals = {final["job_id"]: final["status"] for final in history.of("final")}
    for job_id, events in _stored(history):
        statuses = [event["status"]["status"] for event in events if "status" in event]
        terminal = [status for status in statuses if status in TERMINAL]
        if len(terminal) > 1 or (terminal and "status" not in events[-1]) or (terminal and statuses[-1] != terminal[0]):
            yield f"job {job_id} went on after its end: {statuses}"
        if terminal[-1:] != [finals.get(job_id)] and finals.get(job_id) in TERMINAL:
            yield f"job {job_id} is {finals.get(job_id)}, its history ends with {terminal}"
    for watcher, events in history.grouped("event", "watcher").items():
        told = [event["body"]["status"]["status"] for event in events if event["name"] == "status"]
        job_id = events[0]["job_id"]
        for status in told:
            if status in TERMINAL and job_id in finals and status != finals[job_id]:
                yield f"watcher {watcher} was told {status}, the job is {finals[job_id]}"


def revisions_gap_free(history: History) -> Iterator[str]:
    """A watcher has every revision exactly once and in order, over all its reconnects, up to the terminal one."""
    ended = {final["job_id"] for final in history.of("final") if final["status"] in TERMINAL}
    ended |= {one["batch_id"] for one in history.of("batch") if one["batch"].get("status") not in {None, "processing"}}
    connects = history.grouped("connect", "watcher")
    seen = history.grouped("event", "watcher")
    for watcher, opened in connects.items():
        events = seen.get(watcher, [])
        seqs = [event["seq"] for event in events]
        first = opened[0]["after"]
        expected_first = [first + 1] if first is not None else seqs[:1]
        if seqs[:1] != expected_first or any(after != before + 1 for before, after in pairwise(seqs)):
            yield f"watcher {watcher}, from {first}: {_breaks(seqs)}"
        if opened[0]["job_id"] in ended and not (events and ends(events[-1]["name"], events[-1]["body"])):
            yield f"watcher {watcher} never heard of the end; its last seq is {seqs[-1:]}"
    for refusal in history.of("connect"):
        if refusal["status"] in {404, 410}:
            yield f"watcher {refusal['watcher']} was refused with {refusal['status']} after {refusal['after']}"


def history_is_what_was_told(history: History) -> Iterator[str]:
    """The stored history is gap-free, and a revision says the same to every watcher and in the store."""
    stored: dict[tuple[str, int], str] = {}
    for job_id, events in _stored(history):
        seqs = [event["seq"] for event in events]
        if seqs != list(range(1, len(seqs) + 1)):
            yield f"history of {job_id}: {_breaks(seqs)}"
        stored |= {(job_id, event["seq"]): _canonical(event) for event in events}
    for event in history.of("event"):
        key = (event["job_id"], event["seq"])
        if event["name"] != "snapshot" and key in stored and stored[key] != _canonical(event["body"]):
            yield f"watcher {event['watcher']} got another revision {event['seq']} than the store has"


def progress_never_falls(history: History) -> Iterator[str]:
    """Within an attempt the percentage of a job only rises."""
    for job_id, events in _stored(history):
        best = 0.0
        for event in events:
            kind = next((name for name in ("status", "progress", "scene") if name in event), None)
            share = float(event[kind].get("progress", best)) if kind else best
            if kind == "status" and event["status"]["status"] == "queued":
                best = 0.0
            elif share < best:
                yield f"job {job_id} fell from {best} to {share} at revision {event['seq']}"
            best = max(best, share) if event.get("status", {}).get("status") != "queued" else 0.0


def files_exist_and_match(history: History) -> Iterator[str]:
    """No file is referenced and missing, and each is what its metadata say: length, checksum, decoded frames."""
    for file in history.of("file"):
        if file["found"] != file["expected"]:
            yield f"job {file['job_id']} {file['what']}: {file['found']} in place of {file['expected']}"
    for row in history.of("object_row", state="committed"):
        if row["found_sha256"] != row["sha256"]:
            yield f"object {row['key']} has the checksum {row['found_sha256']} in place of {row['sha256']}"
    checked = {file["job_id"] for file in history.of("file", what="video")}
    for final in history.of("final", status="completed"):
        if final["job_id"] not in checked:
            yield f"the video of job {final['job_id']} was never looked at"


def cancelled_leave_nothing(history: History) -> Iterator[str]:
    """A cancelled job has no file left, no step that may run and no process that draws; and nothing else draws."""
    cancelled = {final["job_id"] for final in history.of("final", status="cancelled")}
    for row in history.of("object_row"):
        if row["job_id"] in cancelled and row["state"] == "committed":
            yield f"object {row['key']} outlived its cancelled job"
    for step in history.of("step_row"):
        if step["job_id"] in cancelled and step["state"] in {"waiting", "queued", "running"}:
            yield f"step {step['step_id']} of a cancelled job is {step['state']}"
    for leftover in history.of("leftover"):
        yield str(leftover["what"])


def credits_settled_once(history: History) -> Iterator[str]:
    """Where there is a ledger, a completed job's reservation is settled, any other's released; one of each job."""
    finals = {final["job_id"]: final["status"] for final in history.of("final")}
    reservations = history.grouped("credit_row", "job_id")
    for job_id, rows in reservations.items():
        wanted = "settled" if finals.get(job_id) == "completed" else "released"
        if [row["state"] for row in rows] != [wanted]:
            yield f"job {job_id} ended as {finals.get(job_id)}; its credits: {[row['state'] for row in rows]}"
    if reservations:
        yield from (f"job {job_id} was free" for job_id in finals if job_id not in reservations)


def batches_add_up(history: History) -> Iterator[str]:
    """The counters of a batch are those of its jobs, and it ended once, after the last of them."""
    finals = {final["job_id"]: final["status"] for final in history.of("final")}
    jobs = {answer["batch_id"]: answer["job_ids"] for answer in history.of("answer") if answer["batch_id"]}
    for record in history.of("batch"):
        batch, statuses = record["batch"], Counter(finals.get(job) for job in jobs[record["batch_id"]])
        for status in TERMINAL:
            if batch.get(f"{status}_count") != statuses[status]:
                yield f"batch {record['batch_id']}: {batch.get(f'{status}_count')} {status}, its jobs: {dict(statuses)}"
        if batch.get("status") in {None, "processing"}:
            yield f"batch {record['batch_id']} did not end: {batch.get('status')}"
    for watcher, events in history.grouped("event", "watcher").items():
        endings = [event for event in events if event["name"] == "ended"]
        if len(endings) > 1 or (endings and endings[0] is not events[-1]):
            yield f"watcher {watcher} was told {len(endings)} times that the batch ended"


def faults_are_recovered(history: History) -> Iterator[str]:
    """Every target serves again after its fault."""
    for number, phases in history.grouped("fault", "number").items():
        if phases[-1]["phase"] != "ready":
            yield f"fault {number}, {phases[0]['kind']} {phases[0]['target']}: {phases[-1]['phase']}"


INVARIANTS: dict[str, Invariant] = {
    found.__name__: found
    for found in (
        accepted_jobs_end,
        orders_are_answered,
        one_job_per_key,
        results_accepted_once,
        attempts_begin_once,
        terminal_never_changes,
        revisions_gap_free,
        history_is_what_was_told,
        progress_never_falls,
        files_exist_and_match,
        cancelled_leave_nothing,
        credits_settled_once,
        batches_add_up,
        faults_are_recovered,
    )
}


def broken(history: History) -> dict[str, list[str]]:
    """What does not hold, by invariant; empty when all is well."""
    found = {name: list(invariant(history)) for name, invariant in INVARIANTS.items()}
    return {name: violations for name, violations in found.items() if violations}


def _stored(history: History) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for record in history.of("stored"):
        if record["events"]:
            yield record["job_id"], record["events"]


def _cancel_wanted_of_jobs(history: History) -> set[str]:
    """The jobs that somebody wanted cancelled, alone or with their batch."""
    wanted = history.cancels_wanted
    batches = {answer["batch_id"]: answer["job_ids"] for answer in history.of("answer") if answer["batch_id"]}
    return wanted | {job for batch in wanted & batches.keys() for job in batches[batch]}


def _by_scene(events: list[dict[str, Any]]) -> Iterator[tuple[tuple[int, int], dict[str, Any]]]:
    """Scene events as ((attempt of the job, index of the scene), scene)."""
    attempt = 0
    for event in events:
        if "status" in event:
            attempt = int(event["status"]["attempt"])
        elif "scene" in event:
            scene = event["scene"]["scene"]
            yield (attempt, int(scene["index"])), scene


def _scene_statuses(events: list[dict[str, Any]]) -> dict[tuple[int, int], list[str]]:
    statuses: dict[tuple[int, int], list[str]] = {}
    for key, scene in _by_scene(events):
        statuses.setdefault(key, []).append(scene["status"])
    return statuses


def _scene_attempts(events: list[dict[str, Any]]) -> dict[tuple[int, int], list[int]]:
    begun: dict[tuple[int, int], list[int]] = {}
    for key, scene in _by_scene(events):
        if scene["status"] == "processing":
            begun.setdefault(key, []).append(int(scene["attempts"]))
    return begun


def _breaks(seqs: list[int]) -> str:
    """Where a list of revisions is no count."""
    wrong = [f"{before} → {after}" for before, after in pairwise(seqs) if after != before + 1]
    return f"begins with {seqs[:1]}; {', '.join(wrong) or 'no break'}"


def _canonical(event: Record) -> str:
    return json.dumps(event, sort_keys=True)

"""The table of a storm, from its history alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Any

from tests.chaos.history import History
from tests.chaos.invariants import INVARIANTS, broken

_WORKER_DEATHS = {"kill worker", "kill pool child", "kill render"}


def table(history: History) -> str:
    """Markdown: faults by kind, what it cost, what was checked, and what does not hold."""
    violations = broken(history)
    lines = [
        "| fault | injected | recovered | ready again, p50 / max s | next event of any job, p50 / max s |",
        "| --- | --- | --- | --- | --- |",
        *_fault_lines(history),
        "",
        "| what | count |",
        "| --- | --- |",
        *(f"| {name} | {value} |" for name, value in _figures(history, violations).items()),
        "",
        f"Invariants that hold: {len(INVARIANTS) - len(violations)} of {len(INVARIANTS)}",
    ]
    for name, found in violations.items():
        lines += ["", f"**{name}**: {len(found)}", *(f"- {text[:400]}" for text in found[:20])]
    return "\n".join(lines) + "\n"


def restarts(history: History, *, undisturbed: bool = False) -> list[float]:
    """Seconds from the death of a worker, pool process or render to the next beginning of a scene that it held.

    Read from the jobs' histories: a scene had begun before the death, and its next beginning is after it. That counts
    what other faults added, the wait for a free worker, and scenes that another fault has stopped: never too little.
    `undisturbed` leaves out what another fault met on the way.
    """
    faults = [
        (fault[0]["kind"], fault[0]["at"], fault[-1]["at"]) for fault in history.grouped("fault", "number").values()
    ]
    found = []
    for _, before, after in _next_attempts(history):
        deaths = [began for kind, began, _ in faults if kind in _WORKER_DEATHS and before <= began <= after]
        if deaths and not (undisturbed and _met(faults, deaths[0], after)):
            found.append(after - deaths[0])
    return found


def _met(faults: Sequence[tuple[str, float, float]], death: float, after: float) -> bool:
    """Whether any fault but that death was there between the two moments."""
    return any(began != death and began <= after and ended >= death for _, began, ended in faults)


def _fault_lines(history: History) -> Iterator[str]:
    phases = history.grouped("fault", "number")
    by_kind: dict[str, list[list[dict[str, Any]]]] = {}
    for fault in phases.values():
        by_kind.setdefault(fault[0]["kind"], []).append(fault)
    for kind, faults in sorted(by_kind.items()):
        recovered = [fault for fault in faults if fault[-1]["phase"] == "ready"]
        took = [fault[-1]["at"] - _at(fault, "heal") for fault in recovered]
        resumed = [wait for fault in recovered if (wait := _next_event(history, _at(fault, "heal"))) is not None]
        yield f"| {kind} | {len(faults)} | {len(recovered)} | {_spread(took)} | {_spread(resumed)} |"
    total = sum(1 for fault in phases.values() if fault[-1]["phase"] == "ready")
    yield f"| **all** | **{len(phases)}** | **{total}** | | |"


def _figures(history: History, violations: dict[str, list[str]]) -> dict[str, object]:
    finals = [final["status"] for final in history.of("final")]
    begun_again = list(_next_attempts(history))
    refused = history.of("refused_results")
    return {
        "jobs accepted": len(history.job_ids),
        "completed / cancelled by request": f"{finals.count('completed')} / {finals.count('cancelled')}",
        "lost": len(violations.get("accepted_jobs_end", [])),
        "good credentials refused (401, 403)": sum(
            one["status"] in {401, 403} for sort in ("answer", "connect") for one in history.of(sort)
        ),
        "orders repeated under their key": len(history.of("answer")) - len(history.grouped("answer", "request_id")),
        "scenes begun again (at-least-once work)": len(begun_again),
        "duplicate starts (one attempt begun twice)": len(violations.get("attempts_begin_once", [])),
        "results refused by their fence": refused[0]["count"] if refused else "not looked up",
        "duplicate accepted": len(violations.get("results_accepted_once", [])),
        "watchers checked": len(history.grouped("connect", "watcher")),
        "their connections": len(history.of("connect")),
        "their events": len(history.of("event")),
        "gaps": len(violations.get("revisions_gap_free", [])) + len(violations.get("history_is_what_was_told", [])),
        "files checked": len(history.of("file")) + len(history.of("object_row", state="committed")),
        "batches": len(history.of("batch")),
        "credit reservations": len(history.of("credit_row")),
        "a worker dies → its scene runs again, p50 / max s": _spread(restarts(history)),
        "the same where no other fault met it": _spread(restarts(history, undisturbed=True)),
    }


def _next_attempts(history: History) -> Iterator[tuple[str, float, float]]:
    """Scenes that began again within an attempt of their job: (job, when they began before, when again)."""
    for record in history.of("stored"):
        begun: dict[int, list[tuple[int, float]]] = {}
        for event in record["events"]:
            if "status" in event and event["status"]["status"] == "queued":
                begun = {}
            scene = event.get("scene", {}).get("scene")
            if scene and scene["status"] == "processing":
                at = datetime.fromisoformat(event["occurred_at"]).timestamp()
                begun.setdefault(scene["index"], []).append((scene["attempts"], at))
                for (_, before), (_, after) in pairwise(begun[scene["index"]][-2:]):
                    yield record["job_id"], before, after


def _next_event(history: History, after: float) -> float | None:
    return next((event["at"] - after for event in history.of("event") if event["at"] >= after), None)


def _at(fault: Sequence[dict[str, Any]], phase: str) -> float:
    return float(next(one["at"] for one in fault if one["phase"] == phase))


def _spread(seconds: Sequence[float]) -> str:
    return f"{median(seconds):.1f} / {max(seconds):.1f}" if seconds else "–"

"""P7 and P8: whole jobs through the embedded stack, over REST, in the times that a client sees."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from services.video_render.application.engine import Rung
from tests.e2e.local_stack import SAMPLE, LocalStack, Watch, watch

_ORDER = {"topic": "Pythagorean theorem", "context": "prove it visually"}
_TOGETHER = 4
_JOBS = "/api/v1/videos/jobs"


@dataclass(frozen=True)
class Times:
    """Seconds from the order."""

    playable: float
    """The playlist of the rung is there, with its first segment."""
    done: float


@contextmanager
def stack_with(workers: int, cores: int) -> Iterator[LocalStack]:
    """An embedded stack that draws so many scenes at once, held to so many cores; it has drawn something before."""
    with tempfile.TemporaryDirectory(prefix="t2m-bench-") as folder:
        stack = LocalStack(Path(folder), T2M_WORKER_CONCURRENCY=str(workers))
        with _held_to(cores):
            stack.up()
        try:
            with stack.client(stack.api_key("warm-up@t2m.example")) as api:
                for number in range(2):
                    _timed(stack, api, "videos/generate", {**SAMPLE, "topic": f"Warm-up {number}"}, "480p")
            yield stack
        finally:
            stack.down()


@contextmanager
def _held_to(cores: int) -> Iterator[None]:
    """What is started meanwhile runs on the first of this process's cores."""
    if not hasattr(os, "sched_setaffinity"):  # macOS
        yield
        return
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(mine)[:cores])
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)


def remix_rounds(stack: LocalStack, quality: str, rung: Rung, rounds: int) -> list[dict[str, float]]:
    """First render, then a remix of the scene of median length; each round by a new user, whose cache is empty."""
    found = []
    for number in range(rounds):
        with stack.client(stack.api_key(f"{quality}-{number}@t2m.example")) as api:
            job_id, first = _timed(stack, api, "videos/generate", {**_ORDER, "quality": quality}, rung.name)
            scenes = api.get(f"{_JOBS}/{job_id}/storyboard").raise_for_status().json()["scenes"]
            scene = sorted(scenes, key=lambda each: float(each["duration_s"]))[len(scenes) // 2]
            edits = {"scenes": [{**scene, "heading": "Another heading"}]}
            remix_id, remix = _timed(stack, api, f"videos/jobs/{job_id}:remix", {"edits": edits}, rung.name)
            status = api.get(f"{_JOBS}/{remix_id}/status").raise_for_status().json()
            assert sum(not each.get("cached") for each in status["scenes"]) == 1
        found.append({"first": first.done, "playable": first.playable, "remix": remix.done})
    return found


def first_renders(stack: LocalStack, quality: str, rung: Rung, rounds: int) -> list[float]:
    """Seconds of whole jobs, each by a new user."""
    found = []
    for number in range(rounds):
        with stack.client(stack.api_key(f"first-{quality}-{number}@t2m.example")) as api:
            found.append(_timed(stack, api, "videos/generate", {**_ORDER, "quality": quality}, rung.name)[1].done)
    return found


def together(stack: LocalStack, quality: str, rung: Rung, rounds: int) -> list[float]:
    """Seconds from the first order to the last end of `_TOGETHER` jobs, each by a new user."""
    found = []
    for number in range(rounds):
        keys = [stack.api_key(f"{at}-{quality}-{number}@t2m.example") for at in range(_TOGETHER)]

        def one(key: str) -> None:
            with stack.client(key) as api:
                _timed(stack, api, "videos/generate", {**_ORDER, "quality": quality}, rung.name)

        started = time.perf_counter()
        with ThreadPoolExecutor(_TOGETHER) as pool:
            list(pool.map(one, keys))
        found.append(time.perf_counter() - started)
    return found


def _timed(stack: LocalStack, api: httpx.Client, path: str, order: dict[str, object], rung: str) -> tuple[str, Times]:
    """Order, and follow its events to the end."""
    started = time.perf_counter()
    answer = api.post(f"/api/v1/{path}", json=order).raise_for_status().json()
    job_id = answer.get("job", answer)["job_id"]
    moments: list[float] = []

    def look(_: Watch) -> None:
        if not moments and api.get(f"{_JOBS}/{job_id}/stream/{rung}").status_code == 200:
            moments.append(time.perf_counter() - started)

    seen = watch(lambda: stack.client(api.headers["X-API-Key"]), job_id, each=look)
    assert seen.ended == "completed", seen.ended
    return job_id, Times(moments[0], time.perf_counter() - started)

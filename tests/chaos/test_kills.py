"""kill -9 in the middle of a job: the video completes, nothing is lost, nothing is accepted twice."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from tests.chaos.one_job import check_files, check_history, check_watch
from tests.e2e.local_stack import LocalStack, Watch, wait_for, watch

CONTEXT = (
    "# A line in {topic}\n- It is straight\n- It has no end\n- Two points fix it\n\n"
    "# Its equation in {topic}\n$$ y = 2 x + 1 $$\n\n"
    "# A curve in {topic}\nplot: y = x^2, x from -2 to 2\n\n"
    "# A table in {topic}\n| x | y |\n| 1 | 1 |\n| 2 | 4 |\n\n"
    "# About {topic}\nThe end of {topic}.\n"
)
"""Five scenes or more, so that both workers are busy for a while; each names the topic, so that no cache knows it."""


def order(client: httpx.Client, topic: str) -> str:
    """Submit a lesson of which every scene must be drawn; its job id."""
    lesson = {"topic": topic, "context": CONTEXT.format(topic=topic), "quality": "low"}
    answer = client.post("/api/v1/videos/generate", json=lesson)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["job_id"])


class Once:
    """Does something at the first event that fits; called after every event of a watch."""

    def __init__(self, action: Callable[[], None], when: Callable[[Watch], bool]) -> None:
        self._action = action
        self._when = when
        self.done = False

    def __call__(self, seen: Watch) -> None:
        if not self.done and self._when(seen):
            self.done = True
            self._action()


def drawing(seen: Watch) -> bool:
    """Whether frames of a scene have been drawn."""
    _, kind, body = seen.events[-1]
    return kind == "progress" and body["progress"]["frames_done"] > 0


def rendering_children(worker: psutil.Process) -> list[psutil.Process]:
    """The pool processes of the worker that draw right now: below each is a zygote, below that the render."""
    return [child for child in worker.children() if any(zygote.children() for zygote in child.children())]


def settle(stack: LocalStack) -> None:
    """Every process of the stack is ready again."""
    wait_for(lambda: all(entry["status"] == "ready" for entry in stack.state()["processes"]), "stack ready")


def test_V10_a_killed_render_worker_costs_its_scene_only(stack: LocalStack, key: str) -> None:
    """V10: kill -9 of a pool process in mid scene; only that scene runs again, one result each."""

    def kill_one() -> None:
        busy = wait_for(lambda: rendering_children(psutil.Process(stack.pid("worker"))), "a busy worker")
        children = busy[0].children(recursive=True)
        busy[0].kill()
        _, alive = psutil.wait_procs(children, timeout=5)
        assert not alive, "a render process outlived its worker"

    with stack.client(key) as client:
        job_id = order(client, "one worker")
        strike = Once(kill_one, drawing)
        seen = watch(lambda: stack.client(key), job_id, each=strike)
        assert strike.done, "nothing was killed"
        assert seen.ended == "completed", seen.events[-1]
        check_watch(seen)
        check_history(client, job_id)
        check_files(client, job_id)
        scenes = client.get(f"/api/v1/videos/jobs/{job_id}/status").json()["scenes"]
    attempts = sorted(scene["attempts"] for scene in scenes)
    assert attempts == [1] * (len(scenes) - 1) + [2]


@pytest.mark.parametrize(
    "process", ["worker", "video_render", "job", "gateway", "redis", "storage", "auth", "postgres"]
)
def test_V10_J7_a_killed_process_loses_nothing(stack: LocalStack, key: str, process: str) -> None:
    """V10, J7: kill -9 of any one process in mid job; it completes, a resumed watcher has every seq once."""
    settle(stack)
    with stack.client(key) as client:
        job_id = order(client, f"without {process}")
    strike = Once(lambda: stack.kill(process), drawing)
    seen = watch(lambda: stack.client(key), job_id, each=strike)
    assert strike.done, "nothing was killed"
    assert seen.ended == "completed", seen.events[-1]
    check_watch(seen)
    settle(stack)
    with stack.client(key) as client:
        check_history(client, job_id)
        check_files(client, job_id)


def test_V10_J7_everything_restarts_while_several_watch(stack: LocalStack, key: str) -> None:
    """V10, J7: job, video_render, gateway and Redis die one after the other; two jobs, two watchers each."""
    settle(stack)
    with stack.client(key) as client:
        jobs = [order(client, f"storm {number}") for number in (1, 2)]
    victims = iter(["job", "video_render", "gateway", "redis"])

    def strike(seen: Watch) -> None:
        if seen.events[-1][1] in {"progress", "scene"} and (victim := next(victims, None)):
            stack.kill(victim)

    with ThreadPoolExecutor(4) as pool:
        striking = pool.submit(watch, lambda: stack.client(key), jobs[0], each=strike)
        watching = [pool.submit(watch, lambda: stack.client(key), job) for job in [*jobs, jobs[1]]]
        seen = [future.result() for future in [striking, *watching]]
    assert next(victims, None) is None, "not everything was killed"
    for one in seen:
        assert one.ended == "completed", one.events[-1]
        check_watch(one)
    settle(stack)
    with stack.client(key) as client:
        for job in jobs:
            check_history(client, job)
            check_files(client, job)


def test_O6_O1_a_service_that_is_down_is_a_503_and_named(stack: LocalStack, key: str) -> None:
    """O1, O6: while job is down, its routes answer 503 with Retry-After and readiness says which."""
    settle(stack)
    stack.kill("job")
    with stack.client(key) as client:
        refused = wait_for(lambda: (answer := client.get("/api/v1/jobs")).status_code != 200 and answer, "refused")
        ready = client.get("/health/ready")
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["error_code"] == "SERVICE_UNAVAILABLE"
        assert ready.status_code == 503
        assert ready.json()["error"]["details"]["unavailable"] == ["job"]
        wait_for(lambda: client.get("/health/ready").status_code == 200, "ready again")
        assert client.get("/api/v1/jobs").status_code == 200

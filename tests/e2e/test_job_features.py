"""What product teams build on, over REST: batches, logs, pins, dashboard, webhooks, credits, operators' tools."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tests.e2e.local_stack import SAMPLE, LocalStack, Watch, sse_events, wait_for, watch


@dataclass
class Receiver:
    """An HTTP server that keeps what it is sent; `answers` are the statuses it gives, 204 when they are used up."""

    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/t2m"

    def of(self, subject: str) -> list[dict[str, Any]]:
        """The messages about a job or batch."""
        return [message for _, body in self.requests if subject in str((message := json.loads(body))["data"])]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    received = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(received.answers.pop(0) if received.answers else 204)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield received
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def admin_key(stack: LocalStack) -> str:
    return stack.api_key("root@t2m.example", "admin")


@pytest.fixture
def admin(stack: LocalStack, admin_key: str) -> Iterator[httpx.Client]:
    with stack.client(admin_key) as client:
        yield client


def ordered(api: httpx.Client, **fields: Any) -> str:
    """Hand an order in; its job id."""
    answer = api.post("/api/v1/videos/generate", json={**SAMPLE, **fields})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["job_id"])


def ended(stack: LocalStack, key: str, job_id: str) -> Watch:
    """Watch to the end."""
    return watch(lambda: stack.client(key), job_id)


def test_V2_a_batch_of_fifty_with_three_bad_items(api: httpx.Client, stack: LocalStack, key: str) -> None:
    """V2: 47 jobs and three errors that name item and field; one answer for a repeat; watched and cancelled as one."""
    items: list[Any] = [{**SAMPLE, "topic": f"Lesson {number}"} for number in range(50)]
    items[3] = {**SAMPLE, "topic": ""}
    items[17] = {**SAMPLE, "quality": "ultra"}
    items[41] = {**SAMPLE, "context": "x" * 2001, "priority": "low"}
    headers = {"Idempotency-Key": "batch-of-fifty"}
    answer = api.post("/api/v1/videos/batch", json={"requests": items}, headers=headers)
    assert answer.status_code == 201, answer.text
    body = answer.json()
    batch_id, outcomes = body["batch"]["batch_id"], body["items"]
    assert [item["index"] for item in outcomes] == list(range(50))
    refused = {item["index"]: item["refusal"] for item in outcomes if "refusal" in item}
    assert {index: refusal["violations"][0]["field"] for index, refusal in refused.items()} == {
        3: "topic",
        17: "quality",
        41: "context",
    }
    assert all(refusal["error_code"] == "VALIDATION_FAILED" for refusal in refused.values()), refused
    jobs = [item["job"]["job_id"] for item in outcomes if "job" in item]
    assert len(set(jobs)) == 47
    again = api.post("/api/v1/videos/batch", json={"requests": items}, headers=headers)
    assert (again.status_code, again.json()["items"]) == (201, outcomes)
    other = api.post("/api/v1/videos/batch", json={"requests": items[:1]}, headers=headers)
    assert other.status_code == 409
    listed = api.get("/api/v1/jobs", params={"batch_id": batch_id, "page_size": 100}).json()["jobs"]
    assert {job["job_id"] for job in listed} == set(jobs)

    cancelled = api.post(f"/api/v1/videos/batch/{batch_id}/cancel", json={})
    assert cancelled.status_code == 200, cancelled.text
    with stack.client(key) as client, client.stream("GET", f"/api/v1/videos/batch/{batch_id}/events") as stream:
        events = list(sse_events(stream.iter_lines()))
    final = api.get(f"/api/v1/videos/batch/{batch_id}").json()
    assert final["status"] == "cancelled"
    assert final["total_count"] == 50
    assert final["refused_count"] == 3
    assert final["completed_count"] + final["failed_count"] + final["cancelled_count"] == 47
    assert events[-1][1] in {"ended", "snapshot"}
    assert events[-1][0] == final["revision"]


def test_V2_a_batch_that_cannot_be_read_as_a_whole(api: httpx.Client) -> None:
    """V2: no items, too many, or something else than a list: the request is refused on its field."""
    for requests, path in (([], "requests"), ([SAMPLE] * 51, "requests"), ("no list", "requests")):
        answer = api.post("/api/v1/videos/batch", json={"requests": requests})
        assert answer.status_code == 422, answer.text
        assert answer.json()["error"]["details"]["violations"][0]["field"] == path


def test_J4_a_job_tells_what_was_done_for_it(
    api: httpx.Client, finished: tuple[str, Watch], stack: LocalStack, key: str
) -> None:
    """J4: pages and filters of the log; followed to its end it is the same, each line once."""
    job_id, _ = finished
    lines: list[dict[str, Any]] = []
    token = ""
    for _ in range(100):
        page = api.get(f"/api/v1/jobs/{job_id}/logs", params={"page_size": 3, "page_token": token}).json()
        lines += page["entries"]
        if not (token := page["next_page_token"]):
            break
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert len(lines) > 4
    assert {"planning", "rendering"} <= {
        line["current_stage"] if "current_stage" in line else line["stage"] for line in lines
    }
    scene = api.get(f"/api/v1/jobs/{job_id}/logs", params={"scene_index": 1, "page_size": 1000}).json()["entries"]
    assert scene == [line for line in lines if line.get("scene_index") == 1]
    assert scene
    errors = api.get(f"/api/v1/jobs/{job_id}/logs", params={"min_severity": "error"}).json()["entries"]
    assert errors == []
    followed: list[tuple[int, str]] = []
    with stack.client(key) as client:
        path = f"/api/v1/jobs/{job_id}/logs/stream"
        with client.stream("GET", path, headers={"Last-Event-ID": "0"}) as stream:
            followed = [(seq, data["entry"]["message"]) for seq, _, data in sse_events(stream.iter_lines())]
    assert followed == [(line["seq"], line["message"]) for line in lines]


def test_V3_J4_a_failed_job_says_where_and_shows_its_last_lines(api: httpx.Client, stack: LocalStack, key: str) -> None:
    """V3: an order whose storyboard cannot be drawn fails at once, with stage, code and an excerpt of its log."""
    job_id = ordered(api, topic="A broken plot", context="# A plot\nplot: y = 1 / 0 * x, x from 0 to 1", max_retries=0)
    seen = ended(stack, key, job_id)
    status = api.get(f"/api/v1/videos/jobs/{job_id}/status").json()
    assert status["status"] == seen.ended
    if seen.ended == "failed":
        error = status["error"]
        assert error["code"]
        assert error["stage"] in {"planning", "rendering"}
        assert error["log_excerpt"], error


@pytest.fixture
def stopper(stack: LocalStack) -> str:
    """The key of a user whose credits no other job moves."""
    return stack.api_key("stopper@t2m.example")


def test_J3_J10_A6_a_cancelled_job_leaves_nothing_behind(admin: httpx.Client, stack: LocalStack, stopper: str) -> None:
    """J3: a running job is stopped; its credits are free again and its files are gone; twice is once."""
    api, key = stack.client(stopper), stopper
    before = api.get("/api/v1/users/credits").json()
    job_id = ordered(api, topic="To be stopped", context="# One\n- a\n- b\n\n# Two\n- c\n- d\n\n# Three\n- e\n")
    wait_for(lambda: api.get("/api/v1/users/credits").json()["reserved"] > before["reserved"], "credits reserved")

    def stop(seen: Watch) -> None:
        if seen.events[-1][1] == "progress":
            api.post(f"/api/v1/jobs/{job_id}/cancel", json={})

    seen = watch(lambda: stack.client(key), job_id, each=stop)
    assert seen.ended == "cancelled"
    again = api.post(f"/api/v1/jobs/{job_id}/cancel", json={})
    assert (again.status_code, again.json()["status"]) == (200, "cancelled")

    def freed() -> bool:
        now = api.get("/api/v1/users/credits").json()
        return bool(now["reserved"] == before["reserved"] and now["spent"] == before["spent"])

    wait_for(freed, "credits free again")
    folder = stack.folder / "objects"
    wait_for(lambda: not [path for path in folder.rglob("*") if path.is_file() and job_id in str(path)], "files gone")
    actions = wait_for(
        lambda: [
            entry["action"]
            for entry in admin.get("/api/v1/admin/jobs/audit", params={"job_id": job_id}).json()["entries"]
        ],
        "audit",
    )
    assert "files.removed" in actions


def test_J10_pinned_until_unpinned(api: httpx.Client, finished: tuple[str, Watch]) -> None:
    """J10: a completed job says when its video expires; a pinned one does not expire."""
    job_id, _ = finished
    job = api.get(f"/api/v1/jobs/{job_id}").json()
    assert job["expires_at"] > job["completed_at"]
    pinned = api.post(f"/api/v1/jobs/{job_id}/pin", json={}).json()
    assert pinned["pinned"] is True
    assert not pinned.get("expires_at")
    free = api.post(f"/api/v1/jobs/{job_id}/unpin", json={}).json()
    assert free["pinned"] is False
    assert free["expires_at"] > job["completed_at"]


def test_J10_a_deleted_job_is_really_gone(api: httpx.Client, admin: httpx.Client, stack: LocalStack, key: str) -> None:
    """J10, J3: deleted by its owner, then its row, its history and its files go; the audit stays."""
    job_id = ordered(api, topic="Short lived", context="# One\n- a")
    assert ended(stack, key, job_id).ended == "completed"
    assert api.delete(f"/api/v1/jobs/{job_id}").status_code == 204
    assert api.get(f"/api/v1/jobs/{job_id}").status_code == 404
    assert admin.get(f"/api/v1/jobs/{job_id}").status_code == 404
    entries = admin.get("/api/v1/admin/jobs/audit", params={"job_id": job_id}).json()["entries"]
    assert "job.deleted" in {entry["action"] for entry in entries}
    assert "Short lived" not in json.dumps(entries)


def test_J8_a_signed_message_when_a_job_has_ended(
    api: httpx.Client, stack: LocalStack, key: str, receiver: Receiver
) -> None:
    """J8: the receiver is away once; the message comes under the same id, signed by the endpoint's secret."""
    created = api.post("/api/v1/webhooks", json={"url": receiver.url, "description": "e2e"})
    assert created.status_code == 201, created.text
    endpoint, secret = created.json()["endpoint"], created.json()["secret"]
    assert secret.startswith("whsec_")
    receiver.answers = [503]
    job_id = ordered(api, topic="Tell me", context="# One\n- a")
    assert ended(stack, key, job_id).ended == "completed"
    wait_for(lambda: len(receiver.of(job_id)) == 2, "the repeated message")
    (first, _), (headers, body) = [
        (headers, body) for headers, body in receiver.requests if job_id in str(json.loads(body)["data"])
    ]
    assert headers["webhook-id"] == first["webhook-id"]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    assert f"v1,{base64.b64encode(digest).decode()}" in headers["webhook-signature"].split()
    assert json.loads(body)["type"] == "job.completed"
    deliveries = api.get(f"/api/v1/webhooks/{endpoint['endpoint_id']}/deliveries").json()["deliveries"]
    assert deliveries[0]["status"] == "delivered"
    detail = api.get(f"/api/v1/webhooks/deliveries/{deliveries[0]['delivery_id']}").json()
    assert [attempt.get("http_status") for attempt in detail["attempts"]] == [503, 204]
    assert api.delete(f"/api/v1/webhooks/{endpoint['endpoint_id']}").status_code == 204


@pytest.mark.parametrize(
    "url", ["https://10.0.0.1/x", "https://169.254.169.254/latest", "https://[fd00::1]/x", "ftp://a.example/x"]
)
def test_J8_an_address_inside_is_refused(api: httpx.Client, url: str) -> None:
    """J8: as an endpoint and as the URL of an order, on the field."""
    for path, body, fieldname in (
        ("/api/v1/webhooks", {"url": url}, "url"),
        ("/api/v1/videos/generate", {**SAMPLE, "webhook_url": url}, "webhook_url"),
    ):
        answer = api.post(path, json=body)
        assert answer.status_code == 422, answer.text
        assert answer.json()["error"]["details"]["violations"][0]["field"] == fieldname


def test_J11_the_dashboard_counts_the_callers_jobs(api: httpx.Client, finished: tuple[str, Watch]) -> None:
    """J11."""
    stats = api.get("/api/v1/dashboard/stats", params={"days": 7}).json()
    assert stats["total_count"] >= 1
    assert stats["completed_count"] >= 1
    assert len(stats["days"]) == 7
    recent = api.get("/api/v1/dashboard/recent-jobs", params={"limit": 5}).json()["jobs"]
    assert 1 <= len(recent) <= 5


def test_J9_operators_drain_requeue_and_reprocess(
    api: httpx.Client, admin: httpx.Client, stack: LocalStack, key: str
) -> None:
    """J9: a drained queue accepts and starts nothing; a cancelled job is made again as a new one of its owner."""
    assert api.get("/api/v1/admin/queue").status_code == 403
    drained = admin.post("/api/v1/admin/queue/drain", json={}).json()
    assert drained["drained"] is True
    job_id = ordered(api, topic="Wait for me", context="# One\n- a", priority="high")
    depths = {depth["priority"]: depth["ready_count"] for depth in admin.get("/api/v1/admin/queue").json()["depths"]}
    assert depths["high"] == 1
    assert api.post(f"/api/v1/jobs/{job_id}/cancel", json={}).status_code == 200
    refused = admin.post(f"/api/v1/admin/jobs/{job_id}/requeue", json={})
    assert refused.status_code == 409
    repeated = admin.post(f"/api/v1/admin/jobs/{job_id}/reprocess", json={})
    assert repeated.status_code == 201, repeated.text
    copy = repeated.json()
    assert (copy["origin_job_id"], copy["topic"], copy["status"]) == (job_id, "Wait for me", "queued")
    assert admin.post(f"/api/v1/admin/jobs/{job_id}/reprocess", json={}).json()["job_id"] == copy["job_id"]
    assert admin.post("/api/v1/admin/queue/resume", json={}).json()["drained"] is False
    assert ended(stack, key, copy["job_id"]).ended == "completed"
    failed = admin.get("/api/v1/admin/jobs/failed", params={"page_size": 5})
    assert failed.status_code == 200
    actions = {entry["action"] for entry in admin.get("/api/v1/admin/jobs/audit").json()["entries"]}
    assert {"queue.drained", "queue.resumed", "job.reprocessed"} <= actions

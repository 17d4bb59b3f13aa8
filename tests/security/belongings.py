"""One of everything that a user can own, made over REST."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.e2e.local_stack import SAMPLE, LocalStack, wait_for
from tests.e2e.people import Person, register

UNREACHABLE = "http://127.0.0.1:9/t2m"


@dataclass(frozen=True)
class Belongings:
    """The ids, by the name that the contract gives them."""

    ids: dict[str, str]
    person: Person
    """The owner of the session; everything else is the API key's owner's."""
    markers: dict[str, str] = field(default_factory=dict)
    """Words of the owner's that nobody else may ever read."""


def furnish(stack: LocalStack, owner: httpx.Client, address: str = "ada.session@t2m.example") -> Belongings:
    """Make them; the job is finished, so that every one of its files is there. `address` is the session's owner's."""
    topic = "Secretly about swallows"
    job = _made(owner, "/api/v1/videos/generate", {**SAMPLE, "topic": topic, "narration": True})
    batch = _made(owner, "/api/v1/videos/batch", {"requests": [{**SAMPLE, "topic": topic}]})
    endpoint = _made(owner, "/api/v1/webhooks", {"url": UNREACHABLE})["endpoint"]
    delivery = _made(owner, f"/api/v1/webhooks/{endpoint['endpoint_id']}/test", {})
    uploaded = owner.post("/api/v1/files?filename=swallows.txt", content=b"Of an unladen swallow.\n")
    assert uploaded.status_code == 201, uploaded.text
    upload = _made(
        owner, "/api/v1/files/uploads", {"filename": "later.txt", "content_type": "text/plain", "size_bytes": 10}
    )
    key = _made(owner, "/api/v1/api-keys", {"name": "swallows"})
    person = register(stack, address)
    with stack.client() as client:
        client.headers["Authorization"] = f"Bearer {person.access_token}"
        sessions = client.get("/api/v1/users/sessions").json()["sessions"]
    wait_for(lambda: _status(owner, job["job_id"]) == "completed", "the job's end", 240)
    ids = {
        "job_id": job["job_id"],
        "batch_id": batch["batch"]["batch_id"],
        "endpoint_id": endpoint["endpoint_id"],
        "delivery_id": delivery["delivery_id"],
        "file_id": uploaded.json()["file_id"],
        "upload_id": upload["upload_id"],
        "api_key_id": key["api_key"]["api_key_id"],
        "session_id": sessions[0]["session_id"],
        "user_id": person.user_id,
        "erasure_id": "01a1fb85-4555-748c-b96c-e00eee985b36",
        "quality": "480p",
    }
    return Belongings(ids, person, {"topic": topic, "file": "unladen swallow", "key": key["secret"]})


def _made(client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(path, json=body)
    assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
    made: dict[str, Any] = answer.json()
    return made


def _status(client: httpx.Client, job_id: str) -> str:
    status = str(client.get(f"/api/v1/videos/jobs/{job_id}/status").json()["status"])
    assert status not in ("failed", "cancelled"), status
    return status

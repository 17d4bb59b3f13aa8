"""A8 on the whole stack: everything that is kept of a person comes out of the export and goes with the account."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from tests.e2e.local_stack import SAMPLE, LocalStack, wait_for, watch
from tests.e2e.people import PASSWORD, Person, login, register
from tests.e2e.scan import traces

KEPT = {
    "auth.audit_entries": "the trail",
    "auth.erasures": "that it was erased",
    "auth.revocations": "that tokens from before have ended",
    "auth.credit_entries": "the ledger",
    "auth.credit_grants": "the ledger",
    "auth.credit_reservations": "the ledger",
    "job.job_audit": "what was removed",
    "storage.erased_owners": "of whom nothing is kept that arrives late; for a week",
    "logs/": "who called what; rotated by the operator",
}
"""Where the random id of an erased user may be found, and why."""


class Traces:
    """Texts that nobody else has, one for each place that takes a text from a person."""

    def __init__(self) -> None:
        self.seed = uuid4().hex[:10]
        self.address = f"zora.{self.seed}@t2m.example"
        self.made: list[str] = [self.address, f"zora.{self.seed}"]
        self.secrets: list[str] = []

    def __call__(self, place: str) -> str:
        text = f"zq{self.seed}{place}"
        self.made.append(text)
        return text


@pytest.fixture(scope="module")
def mark() -> Traces:
    """The texts of this run."""
    return Traces()


@pytest.fixture(scope="module")
def zora(stack: LocalStack, mark: Traces) -> Person:
    """Somebody who has left a trace everywhere."""
    person = register(stack, mark.address)
    with client_of(stack, person, mark) as client:
        login(client, mark.address)  # a session that remembers the browser
        assert client.put("/api/v1/users/profile", json={"display_name": mark("name")}).is_success
        made = client.post("/api/v1/api-keys", json={"name": mark("key")})
        assert made.status_code == 201, made.text
        mark.secrets += [made.json()["secret"], person.access_token, person.refresh_token]
        hook = {"url": f"https://hooks.t2m.example/{mark('hook')}", "description": mark("description")}
        webhook = client.post("/api/v1/webhooks", json=hook)
        assert webhook.status_code == 201, webhook.text
        mark.secrets += [webhook.json()["secret"], webhook.json()["secret"].removeprefix("whsec_")]
        text = f"{mark('content')}\n".encode()
        assert client.post(f"/api/v1/files?filename={mark('file')}.txt", content=text).status_code == 201
        context = SAMPLE["context"].replace("straight", f"straight {mark('context')}")
        order = {**SAMPLE, "topic": mark("topic"), "context": context}
        headers = {"Idempotency-Key": mark("request")}
        job = client.post("/api/v1/videos/generate", json=order, headers=headers)
        assert job.status_code == 201, job.text
    seen = watch(lambda: client_of(stack, person, mark), job.json()["job_id"])
    assert seen.ended == "completed", seen.events[-1]
    return person


def client_of(stack: LocalStack, person: Person, mark: Traces) -> httpx.Client:
    """A client with the person's token and browser."""
    client = stack.client()
    client.headers.update({"Authorization": f"Bearer {person.access_token}", "User-Agent": mark("browser")})
    return client


@pytest.fixture(scope="module")
def archive(stack: LocalStack, zora: Person, mark: Traces) -> Iterator[zipfile.ZipFile]:
    """What an export gives."""
    with client_of(stack, zora, mark) as client:
        answer = client.get("/api/v1/users/me/export")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    assert "attachment" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as opened:
        yield opened


def test_A8_an_export_has_everything_and_says_what_it_is(archive: zipfile.ZipFile, mark: Traces) -> None:
    """Every text that the person has left is in it, and every member is what the manifest says."""
    assert archive.testzip() is None
    listed = {each["path"]: each for each in json.loads(archive.read("manifest.json"))["members"]}
    assert set(archive.namelist()) == {*listed, "manifest.json"}
    for path, entry in listed.items():
        content = archive.read(path)
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["size_bytes"], entry["sha256"])
    everything = b"\n".join(name.encode() + b"\n" + archive.read(name) for name in archive.namelist())
    missing = [text for text in mark.made if text.encode() not in everything]
    assert missing == []
    assert "password" not in everything.decode("latin-1").lower()


def test_A8_an_export_has_the_files_themselves(
    archive: zipfile.ZipFile, stack: LocalStack, zora: Person, mark: Traces
) -> None:
    """The video is the one that a download gives."""
    jobs = [json.loads(line) for line in archive.read("jobs/jobs.ndjson").splitlines()]
    videos = [name for name in archive.namelist() if name.endswith(".mp4")]
    with client_of(stack, zora, mark) as client:
        url = f"/api/v1/videos/jobs/{jobs[0]['job_id']}/download"
        video = client.get(url, follow_redirects=True).content
    assert video in [archive.read(name) for name in videos]


def test_A8_an_export_has_nothing_of_others(archive: zipfile.ZipFile, key: str, stack: LocalStack) -> None:
    """Another user's id is nowhere in it."""
    with stack.client(key) as other:
        foreign = other.get("/api/v1/users/profile").json()["user_id"].encode()
    assert [name for name in archive.namelist() if foreign in archive.read(name)] == []


def test_A8_no_secret_is_kept_or_logged(stack: LocalStack, zora: Person, mark: Traces) -> None:
    """Neither the trail nor anything else has a password, a token, or the secret of a key or a webhook."""
    assert zora.user_id
    assert traces(stack, [*mark.secrets, PASSWORD]) == set()


def test_A8_an_erased_person_is_nowhere(
    archive: zipfile.ZipFile, stack: LocalStack, zora: Person, mark: Traces
) -> None:
    """Once the erasure is complete no table, file, log, mail or key of Redis has any trace of the person."""
    assert archive is not None
    before = traces(stack, mark.made)
    assert {"auth.users", "job.jobs", "storage.objects", "video_render.renders"} <= {place for place, _ in before}
    with client_of(stack, zora, mark) as client:
        fresh = login(client, mark.address)
    with client_of(stack, fresh, mark) as client:
        erased = client.delete("/api/v1/users/me")
        assert erased.status_code == 202, erased.text
        wait_for(lambda: client.get("/api/v1/users/profile").status_code == 401, "the token is refused", 10)
    url = f"/api/v1/admin/erasures/{erased.json()['erasure_id']}"
    with stack.client(stack.api_key("root@t2m.example", "admin")) as admin:
        wait_for(lambda: admin.get(url).json().get("completed_at"), "the erasure is complete", 90)
        trail = admin.get("/api/v1/admin/audit", params={"caller_id": zora.user_id}).json()["entries"]
        about = admin.get("/api/v1/admin/audit", params={"resource_id": zora.user_id}).json()["entries"]
    assert {"/t2m.auth.v1.ErasureService/EraseAccount", "/t2m.job.v1.JobService/CreateJob"} <= {
        entry["action"] for entry in trail
    }
    assert {"/t2m.auth.v1.SessionService/Login", "account.erased"} <= {entry["action"] for entry in about}
    hers = [*trail, *(entry for entry in about if entry["caller_kind"] != "user")]
    assert {(entry["client_address"], entry["request_id"]) for entry in hers} == {("", "")}
    assert traces(stack, mark.made) == set()
    places = {place for place, _ in traces(stack, [zora.user_id])}
    assert [place for place in places if not place.startswith(tuple(KEPT))] == []

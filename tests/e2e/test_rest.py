"""The main job over plain HTTP: rows V1, V3, V4, V6, V7, J1, J2, J3, J7 and O1 on the whole stack."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import av
import httpx
import pytest

from tests.e2e.local_stack import SAMPLE, LocalStack, Watch, watch


def test_V1_an_order_is_accepted_queued_and_idempotent(api: httpx.Client) -> None:
    """V1: 201 with the queued job; the same Idempotency-Key gives the first answer, another body a 409."""
    headers = {"Idempotency-Key": "e2e-once"}
    first = api.post("/api/v1/videos/generate", json=SAMPLE, headers=headers)
    assert first.status_code == 201
    job = first.json()
    assert job["status"] == "queued"
    assert job["progress"] == 0
    assert job["created_at"].endswith("Z")
    again = api.post("/api/v1/videos/generate", json=SAMPLE, headers=headers)
    assert (again.status_code, again.json()["job_id"]) == (201, job["job_id"])
    other = api.post("/api/v1/videos/generate", json={**SAMPLE, "topic": "Else"}, headers=headers)
    assert other.status_code == 409
    assert other.json()["error"]["error_code"] == "CONFLICT"
    assert api.post(f"/api/v1/jobs/{job['job_id']}/cancel", json={}).json()["status"] == "cancelled"


def test_V3_J1_J7_progress_is_a_gap_free_history(
    api: httpx.Client, finished: tuple[str, Watch], stack: LocalStack, key: str
) -> None:
    """V3, J1, J7: every event once, in order; progress never falls; the history is what the watcher saw."""
    job_id, seen = finished
    assert seen.seqs == list(range(1, len(seen.seqs) + 1))
    shares = [body[kind]["progress"] for _, kind, body in seen.events if "progress" in body.get(kind, {})]
    assert shares == sorted(shares)
    assert shares[-1] == 100
    assert any(0 < share < 100 for share in shares), "only the ends were reported"
    history = api.get(f"/api/v1/jobs/{job_id}/history", params={"page_size": 1000}).json()["events"]
    assert [event["seq"] for event in history] == seen.seqs
    status = api.get(f"/api/v1/videos/jobs/{job_id}/status").json()
    assert status["status"] == "completed"
    assert status["progress"] == 100
    assert status["revision"] == seen.seqs[-1]
    assert {scene["status"] for scene in status["scenes"]} == {"completed"}
    assert status["created_at"] <= status["started_at"] <= status["completed_at"]
    resumed = watch(lambda: stack.client(key), job_id, after=seen.seqs[-4])
    assert resumed.seqs == seen.seqs[-3:]


def test_J7_without_a_position_a_watch_begins_with_a_snapshot(
    finished: tuple[str, Watch], stack: LocalStack, key: str
) -> None:
    """J7: no Last-Event-ID, so a snapshot at the newest seq comes first; after the end it is also last."""
    job_id, seen = finished
    with stack.client(key) as client, client.stream("GET", f"/api/v1/jobs/{job_id}/events") as answer:
        text = "".join(answer.iter_text())
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "event: snapshot" in text
    assert f"id: {seen.seqs[-1]}" in text


def test_V4_V6_the_file_is_what_its_metadata_says(
    api: httpx.Client, finished: tuple[str, Watch], tmp_path: Path
) -> None:
    """V4, V6: the download plays; size, checksum, duration, pixels and frame rate are measured from it."""
    job_id, _ = finished
    answer = api.get(f"/api/v1/videos/jobs/{job_id}/download", follow_redirects=True)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "video/mp4"
    assert "filename" in answer.headers["content-disposition"]
    video = api.get(f"/api/v1/videos/jobs/{job_id}/metadata").json()
    assert video["size_bytes"] == len(answer.content)
    assert video["checksum_sha256"] == hashlib.sha256(answer.content).hexdigest()
    with av.open(io.BytesIO(answer.content), "r") as container:
        stream = container.streams.video[0]
        frames = len(list(container.decode(stream)))
        assert (stream.width, stream.height) == (video["width"], video["height"]) == (854, 480)
        assert float(stream.average_rate or 0) == pytest.approx(video["frame_rate"], rel=1e-3)
    assert frames == video["frame_count"]
    assert video["duration_seconds"] == pytest.approx(frames / video["frame_rate"], abs=0.1)
    starts = [chapter["start_seconds"] for chapter in video["chapters"]]
    assert starts == sorted(starts)
    assert starts[0] == 0
    rendition = api.get(video["renditions"][0]["url"], headers={"X-API-Key": ""})
    assert rendition.content == answer.content, "the signed URL serves the same file to anybody who holds it"


@pytest.mark.parametrize(
    ("header", "status", "first", "last"),
    [("bytes=0-99", 206, 0, 99), ("bytes=-100", 206, -100, -1), ("bytes=100-", 206, 100, -1)],
)
def test_V4_ranges(
    api: httpx.Client, finished: tuple[str, Watch], header: str, status: int, first: int, last: int
) -> None:
    """V4: single, suffix and open ranges (RFC 9110 §14)."""
    url = f"/api/v1/videos/jobs/{finished[0]}/download"
    whole = api.get(url).content
    begin, end = first % len(whole), last % len(whole)
    answer = api.get(url, headers={"Range": header})
    assert answer.status_code == status
    assert answer.headers["content-range"] == f"bytes {begin}-{end}/{len(whole)}"
    assert answer.content == whole[begin : end + 1]


def test_V4_a_range_beyond_the_end_is_416(api: httpx.Client, finished: tuple[str, Watch]) -> None:
    """V4: 416 in the error form, with the size in Content-Range."""
    answer = api.get(f"/api/v1/videos/jobs/{finished[0]}/download", headers={"Range": "bytes=99999999999-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"].startswith("bytes */")
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("what", ["download", "thumbnail"])
def test_V4_V7_an_unchanged_file_is_304(api: httpx.Client, finished: tuple[str, Watch], what: str) -> None:
    """V4, V7: a strong ETag, and 304 for whoever has it."""
    url = f"/api/v1/videos/jobs/{finished[0]}/{what}"
    first = api.get(url)
    assert first.status_code == 200
    again = api.get(url, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_V7_the_poster_is_an_image_of_the_video(api: httpx.Client, finished: tuple[str, Watch]) -> None:
    """V7: a picture, cacheable, and not blank."""
    answer = api.get(f"/api/v1/videos/jobs/{finished[0]}/thumbnail")
    assert answer.headers["content-type"].startswith("image/")
    assert "cache-control" in answer.headers
    with av.open(io.BytesIO(answer.content), "r") as container:
        frame = next(container.decode(video=0)).to_ndarray(format="gray")
    assert frame.std() > 5


def test_J2_J3_list_get_delete(api: httpx.Client, finished: tuple[str, Watch]) -> None:
    """J2, J3: newest first, filtered, paged; a deleted job is gone from everywhere."""
    made = [api.post("/api/v1/videos/generate", json={**SAMPLE, "priority": "low"}).json() for _ in range(3)]
    page = api.get("/api/v1/jobs", params={"page_size": 2, "priority": "low"}).json()
    assert [job["job_id"] for job in page["jobs"]] == [made[2]["job_id"], made[1]["job_id"]]
    rest = api.get(
        "/api/v1/jobs", params={"page_size": 2, "priority": "low", "page_token": page["next_page_token"]}
    ).json()
    assert rest["jobs"][0]["job_id"] == made[0]["job_id"]
    assert api.get("/api/v1/jobs", params={"status": "completed"}).json()["jobs"]
    for job in made:
        assert api.delete(f"/api/v1/jobs/{job['job_id']}").status_code == 204
        assert api.get(f"/api/v1/jobs/{job['job_id']}").status_code == 404
    listed = api.get("/api/v1/jobs", params={"priority": "low"}).json()["jobs"]
    assert not {job["job_id"] for job in made} & {job["job_id"] for job in listed}


def test_A5_a_job_of_somebody_else_does_not_exist(finished: tuple[str, Watch], stack: LocalStack) -> None:
    """A5: another user gets the same 404 as for an unknown job on every route; an admin sees it."""
    job_id, _ = finished
    unknown = "01890000-0000-7000-8000-000000000000"
    reads = ["/api/v1/jobs/{}", "/api/v1/jobs/{}/events", "/api/v1/jobs/{}/history"]
    reads += [f"/api/v1/videos/jobs/{{}}/{what}" for what in ("status", "download", "metadata", "thumbnail")]
    with stack.client(stack.api_key("eve@t2m.example")) as eve:
        for route in reads:
            answers = [eve.get(route.format(name)) for name in (job_id, unknown)]
            assert [answer.status_code for answer in answers] == [404, 404], route
            bodies = [answer.json()["error"]["error_code"] for answer in answers]
            assert bodies == ["NOT_FOUND", "NOT_FOUND"]
        assert eve.post(f"/api/v1/jobs/{job_id}/cancel", json={}).status_code == 404
        assert eve.delete(f"/api/v1/jobs/{job_id}").status_code == 404
        assert eve.get("/api/v1/jobs").json()["jobs"] == []
    with stack.client(stack.api_key("root@t2m.example", "admin")) as admin:
        assert admin.get(f"/api/v1/jobs/{job_id}").status_code == 200


def test_A5_a_readonly_user_reads_but_does_not_order(stack: LocalStack) -> None:
    """A5: 403 in the error form."""
    with stack.client(stack.api_key("reader@t2m.example", "readonly")) as reader:
        assert reader.get("/api/v1/jobs").status_code == 200
        refused = reader.post("/api/v1/videos/generate", json=SAMPLE)
    assert refused.status_code == 403
    assert refused.json()["error"]["error_code"] == "PERMISSION_DENIED"


def test_A1_a_person_registers_by_mail_logs_in_and_orders(stack: LocalStack) -> None:
    """A1, A2: the bearer token of a login works where an API key does."""
    person = {"email": "grace@t2m.example", "password": "a long enough pass phrase", "display_name": "Grace"}
    login = {"email": "Grace@t2m.example", "password": person["password"]}
    with stack.client() as client:
        asked = client.post("/api/v1/users/register", json=person)
        assert (asked.status_code, asked.json()) == (202, {})
        assert client.post("/api/v1/users/login", json=login).status_code == 401
        token = {"token": stack.mailed_code(person["email"], "Confirm your e-mail address")}
        for _ in range(2):
            assert client.post("/api/v1/users/verify-email", json=token).status_code == 204
        again = client.post("/api/v1/users/register", json={**person, "password": "another long pass phrase"})
        assert (again.status_code, again.content) == (202, asked.content)
        tokens = client.post("/api/v1/users/login", json=login).json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        assert client.get("/api/v1/users/profile", headers=headers).json()["email"] == person["email"]
        assert client.get("/api/v1/jobs", headers=headers).json()["jobs"] == []
        pairs = [
            client.post("/api/v1/users/refresh", json={"refresh_token": tokens["refresh_token"]}) for _ in range(2)
        ]
        assert [pair.status_code for pair in pairs] == [200, 200]  # as two tabs do
        newest = pairs[1].json()["refresh_token"]
        assert client.post("/api/v1/users/refresh", json={"refresh_token": newest}).status_code == 200
        reused = client.post("/api/v1/users/refresh", json={"refresh_token": tokens["refresh_token"]})
        assert reused.status_code == 401
    folder = stack.folder / "outbox"
    assert [oct(path.stat().st_mode & 0o777) for path in (folder, next(folder.glob("*.eml")))] == ["0o700", "0o600"]


def test_A1_a_forgotten_password_is_replaced_by_mail_and_ends_all_sessions(stack: LocalStack) -> None:
    """A1: reset, sessions, preferences and profile over REST."""
    person = {"email": "mary@t2m.example", "password": "a long enough pass phrase"}
    with stack.client() as client:
        client.post("/api/v1/users/register", json=person)
        token = {"token": stack.mailed_code(person["email"], "Confirm your e-mail address")}
        assert client.post("/api/v1/users/verify-email", json=token).status_code == 204
        old = client.post("/api/v1/users/login", json=person).json()
        headers = {"Authorization": f"Bearer {old['access_token']}"}
        wanted = {"quality": "high", "theme": "light", "time_zone": "Europe/Zurich"}
        stored = client.put("/api/v1/users/preferences", json=wanted, headers=headers)
        assert stored.status_code == 200
        assert client.get("/api/v1/users/preferences", headers=headers).json() == stored.json()
        assert {key: stored.json()[key] for key in wanted} == wanted
        odd = client.put("/api/v1/users/preferences", json={"time_zone": "Mars/Base"}, headers=headers)
        assert odd.status_code in {400, 422}
        assert "preferences.time_zone" in odd.text or "time_zone" in odd.text
        listed = client.get("/api/v1/users/sessions", headers={**headers, "User-Agent": "a test"}).json()["sessions"]
        assert [session["current"] for session in listed] == [True]
        assert listed[0]["user_agent"].startswith("python-httpx")
        assert listed[0]["client_address"] == "127.0.0.1"
        answers = [
            client.post("/api/v1/users/reset-password", json={"email": address})
            for address in (person["email"], "nobody@t2m.example")
        ]
        assert [(each.status_code, each.content) for each in answers] == [(202, answers[0].content)] * 2
        reset = {"token": stack.mailed_code(person["email"], "Set a new password")}
        weak = client.post("/api/v1/users/reset-password/confirm", json={**reset, "new_password": "mary@t2m.example"})
        assert weak.status_code in {400, 422}
        assert "is easy to guess" in weak.text
        reset["new_password"] = "quite another long phrase"
        assert client.post("/api/v1/users/reset-password/confirm", json=reset).status_code == 204
        assert client.post("/api/v1/users/login", json=person).status_code == 401
        refreshed = client.post("/api/v1/users/refresh", json={"refresh_token": old["refresh_token"]})
        assert refreshed.status_code == 401
        new = client.post("/api/v1/users/login", json={**person, "password": reset["new_password"]})
        assert new.status_code == 200
        headers = {"Authorization": f"Bearer {new.json()['access_token']}"}
        assert client.post("/api/v1/users/logout-all", json={}, headers=headers).status_code == 204
        refreshed = client.post("/api/v1/users/refresh", json={"refresh_token": new.json()["refresh_token"]})
        assert refreshed.status_code == 401


def test_A1_wrong_passwords_have_to_wait_also_for_an_address_that_nobody_has(stack: LocalStack) -> None:
    """A1, O6: 429 with `Retry-After`."""
    login = {"email": "stranger@t2m.example", "password": "wrong horse battery"}
    with stack.client() as client:
        answers = [client.post("/api/v1/users/login", json=login) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [*[401] * 10, 429]
    assert int(answers[-1].headers["Retry-After"]) in {1, 2}


def test_O1_health(stack: LocalStack) -> None:
    """O1: alive, and ready with the latency of each dependency."""
    with stack.client() as client:
        assert client.get("/health").json() == {"status": "alive"}
        ready = client.get("/health/ready")
    assert ready.status_code == 200
    for service in ("auth", "job", "storage", "video_render"):
        assert service in ready.text


def test_O8_the_document_describes_every_route(stack: LocalStack) -> None:
    """O8: OpenAPI 3.1 from the descriptors, and a page that shows it."""
    with stack.client() as client:
        document = client.get("/openapi.json").json()
        page = client.get("/docs")
    assert document["openapi"].startswith("3.1")
    assert "post" in document["paths"]["/api/v1/videos/generate"]
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")

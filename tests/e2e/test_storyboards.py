"""Storyboards as a product of their own, over REST (V9), and what that spares (V10)."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import Any

import av
import httpx
import jsonschema
from PIL import Image

from tests.e2e.local_stack import LocalStack, watch

BOARD: dict[str, Any] = {
    "title": "Squares",
    "theme": "light",
    "scenes": [
        {"id": "open", "title": {"text": "Squares"}, "duration_s": 2},
        {
            "id": "formula",
            "heading": "The formula",
            "equation": {"math": "(a + b)^2 = a^2 + 2 a b + b^2"},
            "duration_s": 3,
        },
        {"id": "words", "heading": "In words", "quote": {"text": "Twice the product, and both squares."}},
    ],
}


def with_scenes(*scenes: dict[str, Any]) -> dict[str, Any]:
    return {**BOARD, "scenes": list(scenes)}


def test_V9_plan_then_validate_then_change(api: httpx.Client) -> None:
    """V9: what the planner makes is an answer, can be checked, and costs what it says."""
    planned = api.post("/api/v1/storyboards:plan", json={"topic": "Derivative", "context": "show it", "quality": "low"})
    assert planned.status_code == 200, planned.text
    body = planned.json()
    assert len(body["storyboard"]["scenes"]) == body["estimate"]["scene_count"] > 3
    schema = api.get("/schemas/storyboard.json", headers={"X-API-Key": ""})
    assert schema.headers["content-type"] == "application/schema+json"
    jsonschema.Draft202012Validator(schema.json()).validate(body["storyboard"])
    checked = api.post("/api/v1/storyboards:validate", json={"storyboard": body["storyboard"], "quality": "low"})
    assert checked.status_code == 200, checked.text
    assert checked.json()["estimate"]["frame_count"] == body["estimate"]["frame_count"]
    assert checked.json()["estimate"]["credits"] == 1


def test_V9_a_broken_storyboard_names_its_fields(api: httpx.Client) -> None:
    """V9: at the edge, by the rules of a kind, and by a reference; the job is not made."""
    scenes = with_scenes(
        {"id": "a", "equation": {"math": "foo + 1"}},
        {"id": "a", "bullets": {"items": [{"text": "x", "level": 3}]}},
        {"id": "c", "network": {"nodes": [{"id": "n"}], "edges": [{"source": "n", "target": "m"}]}},
    )
    for path in ("/api/v1/storyboards:validate", "/api/v1/videos/render"):
        first = api.post(path, json={"storyboard": scenes})
        assert first.status_code == 422, first.text
        fields = {each["field"] for each in first.json()["error"]["details"]["violations"]}
        assert fields == {"storyboard.scenes[1].bullets.items[0].level"}
    scenes["scenes"][1]["bullets"]["items"][0]["level"] = 1
    second = api.post("/api/v1/storyboards:validate", json={"storyboard": scenes}).json()["error"]
    assert {each["field"] for each in second["details"]["violations"]} == {
        "storyboard.scenes[0].equation.math",
        "storyboard.scenes[1].id",
        "storyboard.scenes[2].network.edges[0].target",
    }
    unknown = api.post("/api/v1/storyboards:validate", json={"storyboard": {**BOARD, "colour": "red"}})
    assert unknown.json()["error"]["details"]["violations"][0]["field"] == "storyboard.colour"


def test_V9_render_then_remix_draws_only_what_changed(stack: LocalStack, api: httpx.Client) -> None:
    """V9, V10: the remix says how many scenes come from the cache, and that many do."""
    order = {"storyboard": BOARD, "quality": "low"}
    first = api.post("/api/v1/videos/render", json=order, headers={"Idempotency-Key": "squares"})
    assert first.status_code == 201, first.text
    job = first.json()["job"]
    assert (job["topic"], job["status"], first.json()["estimate"]["scene_count"]) == ("Squares", "queued", 3)
    again = api.post("/api/v1/videos/render", json=order, headers={"Idempotency-Key": "squares"}).json()["job"]
    assert again["job_id"] == job["job_id"]
    other = {**order, "storyboard": {**BOARD, "title": "Other"}}
    assert api.post("/api/v1/videos/render", json=other, headers={"Idempotency-Key": "squares"}).status_code == 409
    key = api.headers["X-API-Key"]
    assert watch(lambda: stack.client(key), job["job_id"]).ended == "completed"
    kept = api.get(f"/api/v1/videos/jobs/{job['job_id']}/storyboard").json()
    assert [scene["id"] for scene in kept["scenes"]] == ["open", "formula", "words"]

    edits = {
        "scenes": [{"id": "words", "heading": "In other words", "quote": {"text": "A square is never negative."}}],
        "scene_order": ["open", "words", "formula"],
    }
    remix = api.post(f"/api/v1/videos/jobs/{job['job_id']}:remix", json={"edits": edits})
    assert remix.status_code == 201, remix.text
    made, estimate = remix.json()["job"], remix.json()["estimate"]
    assert (estimate["rendered_scene_count"], made["quality"], made["origin_job_id"]) == (2, "low", job["job_id"])
    assert watch(lambda: stack.client(key), made["job_id"]).ended == "completed"
    status = api.get(f"/api/v1/videos/jobs/{made['job_id']}/status").json()
    assert [(scene["title"], scene["cached"]) for scene in status["scenes"]] == [
        ("Squares", True),
        ("In other words", False),
        ("The formula", True),
    ]
    unknown = api.post(f"/api/v1/videos/jobs/{job['job_id']}:remix", json={"edits": {"remove_scene_ids": ["nope"]}})
    assert unknown.json()["error"]["details"]["violations"][0]["field"] == "edits.remove_scene_ids[0]"


def test_V9_the_storyboard_of_a_planned_job_can_be_remixed(
    stack: LocalStack, api: httpx.Client, finished: tuple[str, Any]
) -> None:
    """V9: what the planner has made is there to be read and changed."""
    job_id, _ = finished
    board = api.get(f"/api/v1/videos/jobs/{job_id}/storyboard").json()
    assert len(board["scenes"]) > 1
    estimate = api.post(f"/api/v1/videos/jobs/{job_id}:remix", json={}).json()["estimate"]
    assert estimate["rendered_scene_count"] == estimate["scene_count"] == len(board["scenes"])
    with stack.client(stack.api_key("bob@t2m.example")) as bob:
        assert bob.get(f"/api/v1/videos/jobs/{job_id}/storyboard").status_code == 404
        assert bob.post(f"/api/v1/videos/jobs/{job_id}:remix", json={}).status_code == 404


def damaged_picture() -> str:
    """A PNG whose header says 64 × 64 and whose pixels are missing."""
    body = b"IHDR" + struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + header + b"\0\0\0\x09IDATnonsense!").decode()


def test_V10_a_scene_that_cannot_be_drawn_fails_the_video_or_is_replaced(stack: LocalStack, api: httpx.Client) -> None:
    """V10: the choice is the order's, and the metadata says what was done."""
    broken = {
        "id": "bad",
        "heading": "Broken",
        "narration": "What was to be seen.",
        "image": {"data": damaged_picture()},
    }
    board = with_scenes(BOARD["scenes"][0], broken)
    key = api.headers["X-API-Key"]
    order: dict[str, Any] = {"storyboard": board, "quality": "low", "max_retries": 0}
    job_id = api.post("/api/v1/videos/render", json=order).json()["job"]["job_id"]
    assert watch(lambda: stack.client(key), job_id).ended == "failed"
    error = api.get(f"/api/v1/videos/jobs/{job_id}/status").json()["error"]
    assert (error["scene_index"], error["retryable"]) == (1, False)

    order["on_scene_failure"] = "fallback"
    job_id = api.post("/api/v1/videos/render", json=order).json()["job"]["job_id"]
    assert watch(lambda: stack.client(key), job_id).ended == "completed"
    scenes = api.get(f"/api/v1/videos/jobs/{job_id}/status").json()["scenes"]
    assert [scene["fallback"] for scene in scenes] == [False, True]
    chapters = api.get(f"/api/v1/videos/jobs/{job_id}/metadata").json()["chapters"]
    assert [chapter["fallback"] for chapter in chapters] == [False, True]


def red_picture() -> bytes:
    """A PNG file."""
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 30, 30)).save(file, "PNG")
    return file.getvalue()


def test_S5_V9_a_picture_may_be_a_file_of_the_user(api: httpx.Client, stack: LocalStack, key: str) -> None:
    """S5, V9: uploaded once, named in a scene; somebody else's, and one that is no picture, are refused by field."""
    with stack.client(stack.api_key("eve@t2m.example")) as eve:
        foreign = eve.post("/api/v1/files?filename=red.png", content=red_picture())
        assert foreign.status_code == 201, foreign.text
    text = api.post("/api/v1/files?filename=notes.txt", content=b"Two words, and a line.\n")
    own = api.post("/api/v1/files?filename=red.png", content=red_picture())
    assert (own.status_code, own.json()["content_type"]) == (201, "image/png")
    ids = [answer.json()["file_id"] for answer in (own, foreign, text)]
    scenes = [{"id": f"s{at}", "image": {"file_id": file}, "duration_s": 2} for at, file in enumerate(ids)]
    refused = api.post("/api/v1/videos/render", json={"storyboard": with_scenes(*scenes), "quality": "low"})
    assert refused.status_code == 422
    named = {each["field"]: each["message"] for each in refused.json()["error"]["details"]["violations"]}
    assert named == {
        "storyboard.scenes[1].image.file_id": "there is no such file",
        "storyboard.scenes[2].image.file_id": "must be a PNG or JPEG file, is text/plain",
    }
    order = {"storyboard": with_scenes(scenes[0]), "quality": "low"}
    job_id = api.post("/api/v1/videos/render", json=order).json()["job"]["job_id"]
    seen = watch(lambda: stack.client(key), job_id)
    assert seen.ended == "completed", seen.events[-1]
    content = api.get(f"/api/v1/videos/jobs/{job_id}/download").content
    with av.open(io.BytesIO(content), "r") as container:
        frame = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][-8]
    red, green, blue = (int(value) for value in frame[frame.shape[0] // 2, frame.shape[1] // 2])
    assert red > 150
    assert max(green, blue) < 80

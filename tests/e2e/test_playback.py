"""A ladder of qualities (V4), and streaming of what is finished (V5), over REST."""

from __future__ import annotations

import io
import re
from typing import Any

import av
import httpx
import numpy as np
import pytest
from PIL import Image

from tests.e2e.local_stack import LocalStack, wait_for, watch

BOARD: dict[str, Any] = {
    "title": "A ladder",
    "scenes": [
        {"id": "a", "title": {"text": "One"}, "duration_s": 3},
        {"id": "b", "title": {"text": "Two"}, "duration_s": 5},
        {"id": "c", "title": {"text": "Three"}, "duration_s": 3},
    ],
}


@pytest.fixture(scope="module")
def ladder(stack: LocalStack, key: str) -> str:
    """A finished job with two rungs."""
    with stack.client(key) as client:
        wish = {"topic": "Ladder", "context": "# One\n- first\n\n# Two\n- second", "quality_levels": ["480p", "720p"]}
        accepted = client.post("/api/v1/videos/generate", json=wish)
        assert accepted.status_code == 201, accepted.text
        assert accepted.json()["quality_levels"] == ["720p", "480p"]
        job_id: str = accepted.json()["job_id"]
    assert watch(lambda: stack.client(key), job_id).ended == "completed"
    return job_id


def test_V4_every_rung_is_offered_and_can_be_downloaded(api: httpx.Client, ladder: str) -> None:
    """V4, V6: sizes, lengths and pictures agree with the metadata; the best one is the default."""
    metadata = api.get(f"/api/v1/videos/jobs/{ladder}/metadata").json()
    assert [(each["quality"], each["width"]) for each in metadata["renditions"]] == [("720p", 1280), ("480p", 854)]
    lengths = []
    for rendition in metadata["renditions"]:
        answer = api.get(f"/api/v1/videos/jobs/{ladder}/download", params={"quality": rendition["quality"]})
        assert len(answer.content) == rendition["size_bytes"]
        assert f"-{rendition['quality']}.mp4" in answer.headers["content-disposition"]
        with av.open(io.BytesIO(answer.content)) as container:
            stream = container.streams.video[0]
            assert (stream.width, stream.height) == (rendition["width"], rendition["height"])
            lengths.append(float((stream.duration or 0) * (stream.time_base or 0)))
    assert lengths[0] == pytest.approx(lengths[1]) == pytest.approx(metadata["duration_seconds"])
    assert api.get(f"/api/v1/videos/jobs/{ladder}/download").headers["content-length"] == str(metadata["size_bytes"])
    missing = api.get(f"/api/v1/videos/jobs/{ladder}/download", params={"quality": "1080p"})
    assert missing.status_code == 404
    assert "720p, 480p" in missing.json()["error"]["message"]


def fragments(api: httpx.Client, playlist: str) -> list[tuple[bytes, list[tuple[float, bytes]]]]:
    """(initialization section, [(seconds, bytes)]) of each scene of a media playlist, fetched as a player does."""
    scenes: list[tuple[bytes, list[tuple[float, bytes]]]] = []
    seconds, byte_range = 0.0, (0, 0)
    for line in playlist.splitlines():
        if found := re.fullmatch(r'#EXT-X-MAP:URI="(.+)",BYTERANGE="(\d+)@0"', line):
            scenes.append((part(api, found[1], 0, int(found[2])), []))
        elif found := re.fullmatch(r"#EXTINF:([\d.]+),", line):
            seconds = float(found[1])
        elif found := re.fullmatch(r"#EXT-X-BYTERANGE:(\d+)@(\d+)", line):
            byte_range = int(found[2]), int(found[1])
        elif not line.startswith("#"):
            scenes[-1][1].append((seconds, part(api, line, *byte_range)))
    return scenes


def part(api: httpx.Client, url: str, offset: int, size: int) -> bytes:
    """A byte range of a signed URL, which needs no credential."""
    headers = {"Range": f"bytes={offset}-{offset + size - 1}", "X-API-Key": ""}
    answer = api.get(url, headers=headers)
    assert (answer.status_code, len(answer.content)) == (206, size)
    return answer.content


@pytest.mark.parametrize("rung", ["720p", "480p"])
def test_V5_the_playlists_play_to_the_end(api: httpx.Client, ladder: str, rung: str) -> None:
    """V5: every fragment decodes after the head of its scene, and lasts as long as it says."""
    master = api.get(f"/api/v1/videos/jobs/{ladder}/stream")
    assert master.headers["content-type"] == "application/vnd.apple.mpegurl"
    assert f"stream/{rung}" in master.text.splitlines()
    again = api.get(f"/api/v1/videos/jobs/{ladder}/stream", headers={"If-None-Match": master.headers["etag"]})
    assert again.status_code == 304
    media = api.get(f"/api/v1/videos/jobs/{ladder}/stream/{rung}").text
    assert media.endswith("#EXT-X-ENDLIST\n")
    metadata = api.get(f"/api/v1/videos/jobs/{ladder}/metadata").json()
    scenes = fragments(api, media)
    assert len(scenes) == len(metadata["chapters"])
    total = 0.0
    for head, parts in scenes:
        for seconds, data in parts:
            with av.open(io.BytesIO(head + data), "r") as container:
                rate = float(container.streams.video[0].average_rate or 0)
                assert len(list(container.decode(video=0))) == pytest.approx(seconds * rate, abs=0.01)
            total += seconds
    assert total == pytest.approx(metadata["duration_seconds"])


def picture(answer: httpx.Response) -> Image.Image:
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


def test_V7_stills_of_scenes_in_sizes(api: httpx.Client, ladder: str) -> None:
    """V7: small, medium and full, of the video and of each scene; none is blank."""
    path = f"/api/v1/videos/jobs/{ladder}/thumbnail"
    scenes = len(api.get(f"/api/v1/videos/jobs/{ladder}/metadata").json()["chapters"])
    for scene in (None, *range(scenes)):
        for size, width in (("small", 320), ("medium", 640), ("full", 1280)):
            if scene is not None and size == "full":
                continue
            wish = {"size": size} if scene is None else {"size": size, "scene": str(scene)}
            still = picture(api.get(path, params=wish))
            assert (still.width, round(still.width * 9 / 16)) == (width, still.height), wish
            assert np.asarray(still.convert("L")).std() > 5, wish
    full = picture(api.get(path, params={"scene": 0}))
    assert full.width == 640, "the widest that is kept of a scene"
    assert api.get(path, params={"scene": 99}).status_code == 404
    assert api.get(path, params={"scene": -1}).json()["error"]["details"]["violations"][0]["field"] == "scene"


def test_V7_the_seek_sprite_covers_the_video(api: httpx.Client, ladder: str) -> None:
    """V7: every moment has its part of the picture."""
    sheet = picture(api.get(f"/api/v1/videos/jobs/{ladder}/sprite"))
    answer = api.get(f"/api/v1/videos/jobs/{ladder}/sprite.vtt")
    assert answer.headers["content-type"].startswith("text/vtt")
    cues = re.findall(r"([\d:.]+) --> ([\d:.]+)\nsprite#xywh=(\d+),(\d+),(\d+),(\d+)", answer.text)
    length = api.get(f"/api/v1/videos/jobs/{ladder}/metadata").json()["duration_seconds"]
    assert cues[0][0] == "00:00:00.000"
    assert [end for _, end, *_ in cues[:-1]] == [start for start, *_ in cues[1:]]
    minutes, seconds = cues[-1][1].split(":")[1:]
    assert int(minutes) * 60 + float(seconds) == pytest.approx(length, abs=0.01)
    for _, _, left, top, width, height in cues:
        assert int(left) + int(width) <= sheet.width
        assert int(top) + int(height) <= sheet.height


def test_V5_scenes_play_while_later_ones_are_drawn(stack: LocalStack, api: httpx.Client) -> None:
    """V5, P7: the playlist grows; what was there stays as it was."""
    slow = {"id": "z", "title": {"text": "Last"}, "duration_s": 110}
    board = {**BOARD, "title": "Growing", "scenes": [*BOARD["scenes"], slow]}
    order = {"storyboard": board, "quality": "medium"}
    job_id = api.post("/api/v1/videos/render", json=order).json()["job"]["job_id"]
    path = f"/api/v1/videos/jobs/{job_id}/stream"

    def growing() -> str | None:
        answer = api.get(f"{path}/720p")
        assert answer.status_code in (200, 409), answer.text
        return answer.text if answer.status_code == 200 else None

    first = wait_for(growing, "a first scene")
    status = api.get(f"/api/v1/videos/jobs/{job_id}/status").json()["status"]
    assert (status, "EXT-X-ENDLIST" in first) == ("processing", False)
    assert watch(lambda: stack.client(api.headers["X-API-Key"]), job_id).ended == "completed"
    whole = api.get(f"{path}/720p").text
    assert whole.startswith(first), "what was there stays, the signed URLs too"
    assert whole.count("#EXT-X-MAP") == 4
    assert api.get(f"{path}/1080p").status_code == 404
    assert api.delete(f"/api/v1/jobs/{job_id}").status_code == 204
    assert api.get(path).status_code == 404


def test_V8_V11_a_narrated_video_is_heard_read_and_streamed(stack: LocalStack, api: httpx.Client) -> None:
    """V8, V11: speech in the file, captions at its times, sound in the stream; scenes last as long as their words."""
    said = "Four triangles stand in a square. Move them, and the area that is left stays the same."
    scenes = [
        {"id": "a", "title": {"text": "One"}, "narration": said, "duration_s": 2},
        {"id": "b", "title": {"text": "Two"}, "duration_s": 3},
    ]
    order = {"storyboard": {"title": "Heard", "scenes": scenes}, "quality": "low", "narration": True}
    job_id = api.post("/api/v1/videos/render", json=order).json()["job"]["job_id"]
    assert watch(lambda: stack.client(api.headers["X-API-Key"]), job_id).ended == "completed"
    metadata = api.get(f"/api/v1/videos/jobs/{job_id}/metadata").json()
    assert metadata["audio_codec"] == "aac"
    lengths = [chapter["duration_seconds"] for chapter in metadata["chapters"]]
    assert lengths[0] > 5.0
    assert lengths[1] < 3.5

    with av.open(io.BytesIO(api.get(f"/api/v1/videos/jobs/{job_id}/download").content), "r") as container:
        loud = [bool((np.abs(frame.to_ndarray()) > 0.05).any()) for frame in container.decode(audio=0)]
    per_second = 48_000 / 1024
    assert any(loud[: round(lengths[0] * per_second)])
    assert not any(loud[round((lengths[0] + 0.1) * per_second) :])

    vtt = api.get(f"/api/v1/videos/jobs/{job_id}/captions")
    assert vtt.headers["content-type"].startswith("text/vtt")
    assert "\n\n00:00:00.400 --> " in vtt.text
    assert "".join(vtt.text.split("\n")).count("Four triangles stand in a square.") == 1
    srt = api.get(f"/api/v1/videos/jobs/{job_id}/captions", params={"format": "srt"})
    assert srt.text.startswith("1\n00:00:00,400 --> ")
    assert api.get(metadata["captions_url"], headers={"X-API-Key": ""}).content == vtt.content

    master = api.get(f"/api/v1/videos/jobs/{job_id}/stream").text
    assert 'TYPE=AUDIO,GROUP-ID="audio"' in master
    assert "mp4a.40.2" in master
    total = 0.0
    for head, parts in fragments(api, api.get(f"/api/v1/videos/jobs/{job_id}/stream/audio").text):
        for seconds, data in parts:
            with av.open(io.BytesIO(head + data), "r") as container:
                assert len(list(container.decode(audio=0))) / per_second == pytest.approx(seconds, abs=0.03)
            total += seconds
    assert total == pytest.approx(sum(lengths), abs=0.2)

    silent = api.get(f"/api/v1/videos/jobs/{job_id}:remix")
    assert silent.status_code == 405
    again = api.post(f"/api/v1/videos/jobs/{job_id}:remix", json={}).json()
    assert (again["job"]["narration"], again["estimate"]["rendered_scene_count"]) == (True, 2)

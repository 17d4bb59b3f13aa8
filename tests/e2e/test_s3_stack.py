"""The embedded stack with its bytes in an S3 store, which goes away for a while (S1, S3, S4, V4, V5)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from services.storage.domain.keys import BucketNames
from tests.e2e.local_stack import LocalStack, wait_for, watch
from tests.s3_servers import Rclone

ORDER = {
    "topic": "A store that goes away",
    "context": "# A line\n- It is straight\n- It has no end\n\n# Its equation\n$$ y = 2 x + 1 $$\n",
    "quality": "low",
}


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rclone]:
    """A store that checks signatures."""
    store = Rclone(tmp_path_factory.mktemp("store") / "s3")
    store.make_buckets(BucketNames("dev", "us-east-1", "embedded"))
    yield store
    store.kill()


@pytest.fixture(scope="module")
def on_s3(s3: Rclone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stack of its own; only settings of the storage service differ."""
    stack = LocalStack(
        tmp_path_factory.mktemp("stack"),
        T2M_STORAGE_BACKEND="s3",
        T2M_STORAGE_REGION="us-east-1",
        T2M_S3_ENDPOINT_URL=s3.url,
        T2M_S3_PATH_STYLE="true",
        AWS_ACCESS_KEY_ID=s3.access_key,
        AWS_SECRET_ACCESS_KEY=s3.secret_key,
    )
    stack.up()
    try:
        yield stack
    finally:
        stack.down()


def test_S4_V4_V5_a_video_is_made_across_an_outage_and_served_by_the_store(on_s3: LocalStack, s3: Rclone) -> None:
    """S1, S3, S4, V4, V5: the job says what it waits for, completes by itself; bytes come from presigned URLs."""
    key = on_s3.api_key("ada@t2m.example")
    s3.kill()
    with on_s3.client(key) as api:
        job_id = api.post("/api/v1/videos/generate", json=ORDER).json()["job_id"]
        path = f"/api/v1/videos/jobs/{job_id}"

        def waits() -> bool:
            status = api.get(f"{path}/status").json()
            return (status["current_stage"], status["waits_for"]) == ("publishing", "storage")

        wait_for(waits, "waiting for the storage")
        s3.start()
        seen = watch(lambda: on_s3.client(key), job_id)
        assert seen.ended == "completed", seen.events[-1]
        said = [event["status"].get("waits_for", "") for _, _, event in seen.events if "status" in event]
        assert "storage" not in said[-2:]
        status = api.get(f"{path}/status").json()
        assert (status["waits_for"], status["progress"]) == ("", 100)
        download = api.get(f"{path}/download")
        assert download.status_code == 307
        assert download.headers["location"].startswith(s3.url)
        playlist = api.get(f"{path}/stream/480p").text
    with httpx.Client(trust_env=False) as anyone:
        answer = anyone.get(download.headers["location"], headers={"Range": "bytes=4-7"})
        # The right status would be 206, which this server does not know.
        assert (answer.content, answer.headers["content-range"].partition("/")[0]) == (b"ftyp", "bytes 4-7")
        assert answer.headers["content-disposition"].startswith("attachment")
        segment = re.findall(r"^https?://\S+$", playlist, re.MULTILINE)[0]
        redirected = anyone.get(segment)
        assert redirected.status_code == 307
        part = anyone.get(redirected.headers["location"], headers={"Range": "bytes=0-99"})
        assert (part.is_success, len(part.content)) == (True, 100)
    left = [each for each in (on_s3.folder / "objects").rglob("*") if each.is_file()]
    assert left == [], "no byte is on the service's own disk"

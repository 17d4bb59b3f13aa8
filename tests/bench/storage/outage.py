"""S3 goes away for a minute in the middle of ten renders of the whole stack: what is lost, and what it costs (S4)."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from services.storage.domain.keys import BucketNames
from tests.e2e.local_stack import TERMINAL, LocalStack
from tests.s3_servers import Rclone

RENDERS = 10
SCENES = 4
DEADLINE_S = 600


@dataclass(frozen=True)
class Outage:
    """What came of it."""

    away_s: float
    statuses: Counter[str]
    waited: int
    """Jobs that said what they wait for."""
    drawn_again: int
    """Scenes begun more than once that were not only put off."""
    whole: int
    """Videos whose bytes have the checksum that the metadata says."""
    spool_bytes: int
    """The most that waited on the worker's disk."""
    drained_s: float
    """From the return of the store to the end of the last job."""


def order(number: int) -> dict[str, Any]:
    """Four scenes that no other order has."""
    scenes = "\n".join(f"# Part {part}\n- Order {number}\n- Scene {part}\n" for part in range(SCENES))
    return {"topic": f"Outage {number}", "context": scenes, "quality": "low"}


def until(check: Callable[[], bool], what: str) -> None:
    """Wait; TimeoutError when it takes ten minutes."""
    deadline = time.monotonic() + DEADLINE_S
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.2)


def measure(away_s: float, folder: Path) -> Outage:
    """One run."""
    s3 = Rclone(folder / "s3")
    s3.make_buckets(BucketNames("dev", "us-east-1", "embedded"))
    stack = LocalStack(
        folder / "stack",
        T2M_STORAGE_BACKEND="s3",
        T2M_STORAGE_REGION="us-east-1",
        T2M_S3_ENDPOINT_URL=s3.url,
        T2M_S3_PATH_STYLE="true",
        AWS_ACCESS_KEY_ID=s3.access_key,
        AWS_SECRET_ACCESS_KEY=s3.secret_key,
    )
    stack.folder.mkdir()
    stack.up()
    try:
        with stack.client(stack.api_key("bench@t2m.example")) as api:
            return _measured(away_s, stack, s3, api)
    finally:
        stack.down()
        s3.kill()


def _measured(away_s: float, stack: LocalStack, s3: Rclone, api: httpx.Client) -> Outage:
    paths = []
    for number in range(RENDERS):
        accepted = api.post("/api/v1/videos/generate", json=order(number))
        accepted.raise_for_status()
        paths.append(f"/api/v1/videos/jobs/{accepted.json()['job_id']}")

    def statuses() -> list[dict[str, Any]]:
        return [api.get(f"{path}/status").json() for path in paths]

    until(lambda: sum(status["progress"] > 30 for status in statuses()) >= 2, "two renders under way")
    s3.kill()
    waited: set[str] = set()
    spool, most = stack.folder / "scratch" / "spool", 0
    end = time.monotonic() + away_s
    while time.monotonic() < end:
        waited |= {status["job_id"] for status in statuses() if status["waits_for"] == "storage"}
        most = max(most, sum(path.stat().st_size for path in spool.glob("*/*")))
        time.sleep(0.5)
    s3.start()
    back = time.monotonic()
    until(lambda: all(status["status"] in TERMINAL for status in statuses()), "all jobs ended")
    drained = time.monotonic() - back
    ended = Counter(status["status"] for status in statuses())
    whole = sum(_is_whole(api, path) for path in paths)
    return Outage(away_s, ended, len(waited), asyncio.run(_drawn_again(stack)), whole, most, drained)


def _is_whole(api: httpx.Client, path: str) -> bool:
    wanted: str = api.get(f"{path}/metadata").json()["checksum_sha256"]
    content = api.get(f"{path}/download", follow_redirects=True).content
    return hashlib.sha256(content).hexdigest() == wanted


async def _drawn_again(stack: LocalStack) -> int:
    connection = await asyncpg.connect(stack.database("video_render"))
    try:
        return int(
            await connection.fetchval(
                "SELECT coalesce(sum(attempts - handed_back - 1), 0) FROM steps"
                " WHERE kind = 'scene' AND NOT cached AND attempts - handed_back > 1"
            )
        )
    finally:
        await connection.close()


def main(away_s: float = 60.0) -> None:
    """Print one run as a table."""
    with tempfile.TemporaryDirectory(prefix="t2m-outage-") as folder:
        found = measure(away_s, Path(folder))
    print(f"S3 away for {found.away_s:.0f} s amid {RENDERS} jobs of {SCENES} scenes")
    print("| completed | lost | said why | whole by SHA-256 | scenes drawn again | spooled, most | drained in |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    completed = found.statuses["completed"]
    print(
        f"| {completed} | {RENDERS - completed} | {found.waited} | {found.whole} | {found.drawn_again} "
        f"| {found.spool_bytes / 1024:.0f} KiB | {found.drained_s:.1f} s |"
    )

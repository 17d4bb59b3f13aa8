"""The invariants of a job, checked over everything that was recorded of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import httpx

from tests.e2e.local_stack import TERMINAL, Watch


def check_watch(seen: Watch) -> None:
    """Revisions are gap-free: a watcher, over all its reconnects, has every seq exactly once and in order."""
    assert seen.seqs == list(range(1, len(seen.seqs) + 1)), f"gap or duplicate in {seen.seqs}"


def check_history(client: httpx.Client, job_id: str) -> list[dict[str, Any]]:
    """The stored history is gap-free, ends with its only terminal status, and accepts no scene twice."""
    answer = client.get(f"/api/v1/jobs/{job_id}/history", params={"page_size": 1000})
    events: list[dict[str, Any]] = answer.json()["events"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    statuses = [event["status"]["status"] for event in events if "status" in event]
    assert [status for status in statuses if status in TERMINAL] == statuses[-1:], "a terminal state changed"
    assert "status" in events[-1], "something happened after the end"
    shares = [event[kind]["progress"] for event in events for kind in ("progress", "scene") if kind in event]
    assert shares == sorted(shares), "progress fell"
    done = Counter(
        event["scene"]["scene"]["index"]
        for event in events
        if "scene" in event and event["scene"]["scene"]["status"] == "completed"
    )
    assert not [index for index, times in done.items() if times != 1], f"results accepted twice: {done}"
    return events


def check_files(client: httpx.Client, job_id: str) -> None:
    """No file is referenced and missing: every URL of the metadata serves what the metadata says."""
    video = client.get(f"/api/v1/videos/jobs/{job_id}/metadata").json()
    content = client.get(f"/api/v1/videos/jobs/{job_id}/download", follow_redirects=True).content
    assert len(content) == video["size_bytes"]
    assert hashlib.sha256(content).hexdigest() == video["checksum_sha256"]
    assert client.get(video["thumbnail_url"]).status_code == 200
    for rendition in video["renditions"]:
        assert client.get(rendition["url"]).status_code == 200

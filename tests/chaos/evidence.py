"""What became of everything, asked and looked up after the storm, so that the invariants need nothing but records."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import av

from tests.chaos.arena import Arena, renders_of
from tests.chaos.client import Client
from tests.chaos.history import History

_PAGE = 500


async def collect(arena: Arena, history: History, clients: Sequence[Client]) -> None:
    """Add the final records; the stack must be healthy."""
    owners = {job_id: answer["user"] for answer in history.of("answer") for job_id in answer["job_ids"]}
    by_user = {client.user: client for client in clients}
    for job_id in history.job_ids:
        await _job(by_user[owners[job_id]], history, job_id)
    batches = {answer["batch_id"]: answer["user"] for answer in history.of("answer") if answer["batch_id"]}
    for batch_id, user in batches.items():
        answer = await by_user[user].get(f"/api/v1/videos/batch/{batch_id}")
        history.add("batch", batch_id=batch_id, batch=answer.json())
    await _tables(arena, history, clients[0])
    for process in [render for pool in arena.pool() for render in renders_of(pool)]:
        history.add("leftover", what=f"process {process.pid} draws")
    history.add("refused_results", count=_refused_results(arena.folder / "logs" / "worker.log"))


async def files_of_cancelled(arena: Arena) -> list[str]:
    """Objects that still are there although their job was cancelled."""
    cancelled = {row["job_id"] for row in await _rows(arena, "job", _CANCELLED)}
    return [
        row["key"] for row in await _rows(arena, "storage", _OBJECTS) if _is_there(row) and row["job_id"] in cancelled
    ]


async def unconfirmed_credits(arena: Arena) -> list[str]:
    """Jobs for which credits are set aside, and of which auth was never told that they are stored."""
    rows = await _rows(arena, "auth", "SELECT job_id::text FROM credit_reservations WHERE state = 'reserved'")
    return [row["job_id"] for row in rows]


def _is_there(row: Mapping[str, Any]) -> bool:
    return bool(row["state"] == "committed")


async def _job(client: Client, history: History, job_id: str) -> None:
    status = (await client.get(f"/api/v1/videos/jobs/{job_id}/status")).json()
    history.add("final", job_id=job_id, status=status.get("status"), error=status.get("error"))
    history.add("stored", job_id=job_id, events=await _stored(client, job_id))
    if status.get("status") == "completed":
        await _files(client, history, job_id)


async def _stored(client: Client, job_id: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    token = ""
    while True:
        answer = await client.get(f"/api/v1/jobs/{job_id}/history", page_size=_PAGE, page_token=token)
        page = answer.json()
        events += page.get("events", [])
        token = page.get("next_page_token", "")
        if not token:
            return events


async def _files(client: Client, history: History, job_id: str) -> None:
    """The video as a user gets it, against its metadata."""
    metadata = (await client.get(f"/api/v1/videos/jobs/{job_id}/metadata")).json()
    answer = await client.get(f"/api/v1/videos/jobs/{job_id}/download")
    content = answer.content
    history.add(
        "file",
        job_id=job_id,
        what="video",
        expected={
            "size": metadata["size_bytes"],
            "sha256": metadata["checksum_sha256"],
            "frames": metadata["frame_count"],
        },
        found={
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "frames": await asyncio.to_thread(_frames, content),
        },
    )
    urls = {"poster": metadata["thumbnail_url"], **{one["quality"]: one["url"] for one in metadata["renditions"]}}
    for what, url in urls.items():
        served = await client.get(url)
        history.add("file", job_id=job_id, what=what, expected={"status": 200}, found={"status": served.status_code})


def _frames(video: bytes) -> int:
    """How many frames decode; -1 when it is no video."""
    try:
        with av.open(io.BytesIO(video), "r") as container:
            return len(list(container.decode(video=0)))
    except av.FFmpegError:
        return -1


async def _tables(arena: Arena, history: History, client: Client) -> None:
    """Rows of the services' own databases: what no route shows."""
    for job in await _rows(arena, "job", "SELECT job_id::text, status, deleted_at IS NOT NULL AS deleted FROM jobs"):
        history.add("job_row", **job)
    for step in await _rows(arena, "video_render", _STEPS):
        step["result"] = json.loads(step["result"]) if step["result"] else None
        history.add("step_row", **step)
    root = arena.folder / "objects"
    for row in await _rows(arena, "storage", _OBJECTS):
        found = await asyncio.to_thread(_digest, root, row["key"])
        history.add("object_row", made_by=_maker(row.pop("request_id")), **row, found_sha256=found)
    for reservation in await _reservations(arena, client):
        history.add("credit_row", **reservation)


_CANCELLED = "SELECT job_id::text FROM jobs WHERE status = 'cancelled'"
_STEPS = """
    SELECT r.render_id, r.job_id, r.state AS render_state, s.step_id, s.kind, s.index, s.state, s.fence, s.attempts,
           s.result::text AS result
    FROM renders r JOIN steps s USING (render_id) ORDER BY r.created_at, s.step_id"""
_OBJECTS = """
    SELECT object_id::text, request_id, job_id, kind, scene_index, fence, state, key, size_bytes, sha256 FROM objects
    WHERE state <> 'pending' ORDER BY created_at"""


def _maker(request_id: str) -> str:
    """The step that stored an object: workers name their writes `render:step:fence:kind`."""
    render_id, step, _, _ = request_id.rsplit(":", 3)
    return f"{render_id}.{step}"


async def _reservations(arena: Arena, client: Client) -> list[dict[str, Any]]:
    """The ledger's reservations; none while users have no credits."""
    if not (await client.get("/api/v1/users/credits")).is_success:
        return []
    return await _rows(arena, "auth", "SELECT job_id::text, state, amount FROM credit_reservations")


async def _rows(arena: Arena, service: str, query: str) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(arena.stack.database(service))
    try:
        return [dict(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


def _digest(root: Path, key: str) -> str | None:
    """SHA-256 of the file under a key, in whichever bucket; None when there is none."""
    for path in root.glob(f"*/{key}"):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return None


def _refused_results(log: Path) -> int:
    """Results and failures of workers that had lost their lease, by the workers' own account."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return sum('"result thrown away"' in line or '"failure thrown away"' in line for line in lines)

"""The demo: the sample topic over REST, live progress from the event stream, a playable file at the end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import click
import httpx
from rich.console import Console

from deploy.local import files, sse
from deploy.local.commands import environments, start_detached, stop
from deploy.local.display import ENDED, JobDisplay
from deploy.local.environment import remember_secret
from deploy.local.errors import StackError, indent, tail
from deploy.local.folder import CHECKOUT, DataFolder

TOPIC = "Pythagorean theorem"
CONTEXT = "Prove it visually."
"""A topic for which the `script` planner has an outline, so these few words become a film of several scenes."""
EMAIL = "demo@t2m.example"
"""Reserved by RFC 2606: mail to it reaches nobody."""
KEY_NAME = "demo_api_key"
EVENT_LIMIT = 900.0
"""Seconds without any event before the demo gives up."""


def run_demo(folder: DataFolder) -> None:
    """Make the sample video on the running stack, or on one that lives as long as the demo.

    StackError, with the end of the logs that explain it, when there is no video in the end.
    """
    began = time.monotonic()
    state = folder.running()
    own = state is None
    if state is None:
        click.echo(f"Starting t2m in {folder.root} …")
        state = start_detached(folder, tie=True)
    elif state["status"] != "ready":
        raise StackError(f"the stack in {folder.root} is {state['status']}; try again when it is up")
    click.echo(f"t2m is up: {state['url']}  ({time.monotonic() - began:.1f} s)")
    try:
        key = api_key(folder, state)
        headers = {"X-API-Key": key}
        # No proxy of the environment may stand between us and the loopback address.
        with httpx.Client(base_url=state["url"], headers=headers, timeout=30.0, trust_env=False) as client:
            make_video(client, folder)
    finally:
        if own:
            stop(state)
            click.echo("Stopped t2m. To keep it running: make up")


def api_key(folder: DataFolder, state: dict[str, Any]) -> str:
    """The kept demo key if auth still knows it, else a new one of the demo user, by auth's own command."""
    kept = str(files.read_json(folder.secrets).get(KEY_NAME, ""))
    if kept:
        answer = httpx.get(
            f"{state['url']}/api/v1/users/profile", headers={"X-API-Key": kept}, timeout=30.0, trust_env=False
        )
        if answer.status_code != httpx.codes.UNAUTHORIZED:
            return kept
    made = subprocess.run(
        [sys.executable, "-m", "services.auth", "create-key", "--email", EMAIL, "--role", "user"],
        cwd=CHECKOUT,
        env=environments(folder, state).of("auth"),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = made.stdout.split()
    if made.returncode != 0 or not lines:
        raise StackError(f"no API key for the demo user:\n{indent(made.stderr)}")
    remember_secret(folder, KEY_NAME, lines[-1])
    return lines[-1]


def make_video(client: httpx.Client, folder: DataFolder) -> Path:
    """Submit, follow, download, report; the path of the MP4."""
    began = time.monotonic()
    request = {
        "topic": TOPIC,
        "context": CONTEXT,
        "quality": os.environ.get("T2M_DEMO_QUALITY") or "medium",
    }
    once = {"Idempotency-Key": str(uuid.uuid4())}
    answer = client.post("/api/v1/videos/generate", json=request, headers=once)
    job_id = str(_json(answer)["job_id"])
    click.echo(f"Job {job_id}: {TOPIC}, quality {request['quality']}")
    _follow(client, job_id, folder)
    took = time.monotonic() - began
    path = _download(client, job_id, folder)
    video = _json(client.get(f"/api/v1/videos/jobs/{job_id}/metadata"))
    click.echo(f"Video   {path}")
    click.echo(
        f"        {path.stat().st_size / 1e6:.1f} MB, {float(video['duration_seconds']):.1f} s,"
        f" {video['width']}x{video['height']} at {float(video['frame_rate']):g} frames/s,"
        f" {len(video.get('chapters', []))} scenes; rendered in {took:.1f} s"
    )
    url = client.base_url.join(f"/api/v1/videos/jobs/{job_id}/download")
    click.echo(f"URL     {url}  (with the header X-API-Key)")
    return path


def _follow(client: httpx.Client, job_id: str, folder: DataFolder) -> None:
    """Show the job's events until it ends; StackError unless it completed."""
    with JobDisplay(Console()) as display:
        for event in sse.follow(client, f"/api/v1/jobs/{job_id}/events", limit=EVENT_LIMIT):
            payload = event.data.get(event.kind) or event.data
            display.show({"scene": payload} if event.kind == "scene" and "index" in payload else payload)
            if payload.get("status") in ENDED and event.kind in {"status", "snapshot"}:
                _demand_completed(payload, folder)
                return


def _demand_completed(ended: dict[str, Any], folder: DataFolder) -> None:
    if ended["status"] != "completed":
        error = ended.get("error") or {}
        raise StackError(
            f"the job {ended['status']}: {error.get('message') or error.get('code') or 'no reason given'}\n"
            + "\n".join(_log_end(folder, name) for name in ("video_render", "worker"))
        )


def _download(client: httpx.Client, job_id: str, folder: DataFolder) -> Path:
    """Fetch the MP4 into the data folder; a file appears there only when it is whole."""
    folder.videos.mkdir(exist_ok=True)
    with client.stream("GET", f"/api/v1/videos/jobs/{job_id}/download", follow_redirects=True) as answer:
        if not answer.is_success:
            answer.read()
            _json(answer)
        match = re.search(r'filename="?([\w.-]+)', answer.headers.get("content-disposition", ""))
        name = match.group(1) if match and match.group(1).endswith(".mp4") else f"{job_id}.mp4"
        partial = folder.videos / f".{name}.part"
        with partial.open("wb") as file:
            for chunk in answer.iter_bytes():
                file.write(chunk)
    return partial.rename(folder.videos / name)


def _json(answer: httpx.Response) -> dict[str, Any]:
    """The body of a 2xx answer; StackError with the API's own words for any other."""
    if answer.is_success:
        content: dict[str, Any] = answer.json()
        return content
    call = f"{answer.request.method} {answer.request.url.path}"
    raise StackError(f"{call} answered {answer.status_code}: {answer.text}")


def _log_end(folder: DataFolder, name: str) -> str:
    log = folder.logs / f"{name}.log"
    return f"  end of {log}:\n{indent(tail(log, 8))}"

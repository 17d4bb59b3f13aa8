"""Following a job or a batch to its end, on whatever there is to show it on."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from gateway.client.commands.app import App
from gateway.client.commands.failures import Exit
from gateway.client.commands.screens import LineScreen, MovingScreen
from gateway.client.commands.words import safe, short
from gateway.client.core.streams import Event
from gateway.client.errors import PositionExpiredError, T2MError
from gateway.client.progress import JobView
from gateway.client.sync import T2MClient

if TYPE_CHECKING:
    from rich.progress import Progress

_QUEUE_EVERY_S = 3.0


def follow_job(app: App, client: T2MClient, job_id: str, topic: str = "") -> JobView:
    """Show the job until it ends. Ctrl-C ends the command, not the job."""
    view = JobView(job_id, topic=topic)
    try:
        if app.as_json:
            _stream(app, client, view)
            return view
        moving = app.output.lively
        screen = MovingScreen(app.output.err, view) if moving else LineScreen(app.output.note, view)
        with screen, _place_in_queue(client, view) if moving else contextlib.nullcontext():
            for event in client.watch(job_id):
                view.take(event, time.monotonic())
                screen.changed()
    except KeyboardInterrupt:
        leave(app, f"job {short(job_id)}", f"t2m watch {short(job_id)}", f"t2m cancel {short(job_id)}")
    except PositionExpiredError:
        # So long without a connection that events were dropped: what follows begins with how things are now.
        return follow_job(app, client, job_id, view.topic)
    return view


@contextlib.contextmanager
def _place_in_queue(client: T2MClient, view: JobView) -> Iterator[None]:
    """Ask now and then how many are ahead while the job waits: others that leave the queue are no event of this job."""
    over = threading.Event()

    def ask() -> None:
        while not over.wait(_QUEUE_EVERY_S) and not view.ended:
            if view.status != "queued" or view.next_attempt_at:
                continue
            try:
                position = client.status(view.job_id).get("queue_position")
            except T2MError:
                continue
            if view.status == "queued":
                view.queue_position = position

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    try:
        yield
    finally:
        over.set()
        asking.join(timeout=1.0)


def _stream(app: App, client: T2MClient, view: JobView) -> None:
    for event in client.watch(view.job_id):
        view.take(event, time.monotonic())
        emit(app, event)


def emit(app: App, event: Event) -> None:
    """An event as a line of JSON."""
    app.output.item({"seq": event.seq, "event": event.kind, "data": event.body})


def leave(app: App, what: str, again: str, stop: str) -> NoReturn:
    """After Ctrl-C: what goes on, and how to come back to it. Ends the command."""
    app.output.note(f"\nNo longer watching; {what} goes on.\n  Watch it again:  {again}\n  Stop it:         {stop}")
    raise click.exceptions.Exit(Exit.INTERRUPTED) from None


def verdict(app: App, view: JobView) -> Exit:
    """The exit code of a job that has ended, and why it failed."""
    if view.status == "completed":
        return Exit.OK
    if view.status == "cancelled":
        app.output.note("The job was cancelled.", "yellow")
        return Exit.JOB_FAILED
    if not app.as_json:
        app.complain(
            "the job failed: " + described(view.error),
            *(safe(text) for text in view.error.get("log_excerpt", [])[-5:]),
            hint=f"All it logged: t2m logs {short(view.job_id)}",
        )
    return Exit.JOB_FAILED


def described(error: Mapping[str, Any]) -> str:
    """A JobError in words."""
    if not error:
        return "no reason was given"
    where = [str(error["stage"])] if error.get("stage", "unspecified") != "unspecified" else []
    if "scene_index" in error:
        where.append(f"scene {error['scene_index']}")
    place = f" ({', '.join(where)})" if where else ""
    return f"{error.get('message') or error.get('code')}{place}"


def fetch(app: App, client: T2MClient, job_id: str, target: Path | None, quality: str = "") -> Path:
    """Download the video; its name is the server's, in this folder, unless there is a target (also a folder)."""
    if target is None or target.is_dir():
        named = here(client.metadata(job_id)["filename"], f"{job_id}.mp4")
        target = unused(Path(named)) if target is None else target / named
    if not app.output.lively:
        path = client.download(job_id, target, quality)
    else:
        with bar(app) as shown:
            task = shown.add_task(target.name, total=None)
            path = client.download(
                job_id, target, quality, lambda done, total: shown.update(task, completed=done, total=total)
            )
    app.output.note(f"Saved {path}", "green")
    return path


def bar(app: App) -> Progress:
    """Of bytes on their way."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn  # Slow to import.

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=app.output.err, transient=True)


def here(name: str, otherwise: str) -> str:
    """The server's name for a file, as one in a folder here: neither a path nor hidden."""
    return Path(safe(name)).name.lstrip(".") or otherwise


def unused(path: Path) -> Path:
    """The path, or with a number behind its name if there is something already."""
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_stem(f"{path.stem}-{number}")
    return candidate

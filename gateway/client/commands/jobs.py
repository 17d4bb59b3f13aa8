"""`t2m jobs`, `job`, `watch`, `cancel`, `rm`, `pin`, `unpin`, `download`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, cast

import click

from gateway.client.commands.app import App, Command, pass_app
from gateway.client.commands.completion import job_argument
from gateway.client.commands.failures import Exit
from gateway.client.commands.output import Column
from gateway.client.commands.watching import described, fetch, follow_job, verdict
from gateway.client.commands.words import ago, local, short
from gateway.client.errors import T2MError
from gateway.client.models.jobs import Job, JobProgress
from gateway.client.models.orders import JobFilter
from gateway.client.sync import T2MClient

_COLUMNS = (
    Column("ID", needs=8),
    Column("STATUS", needs=10),
    Column("%", right=True, needs=4),
    Column("TOPIC", stretches=True, needs=24),
    Column("QUALITY", gives_way=2, needs=7),
    Column("CREATED", gives_way=1, needs=10),
)
_SPANS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Moment(click.ParamType[str]):
    """A time: `2026-11-21`, `2026-11-21T20:40`, or so long ago (or from now on), `90m`, `2h`, `3d`, `1w`."""

    name = "time"

    def __init__(self, *, ahead: bool = False) -> None:
        self._sign = 1 if ahead else -1

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """RFC 3339, in UTC."""
        text = str(value)
        try:
            if text[:-1].isdigit() and text[-1] in _SPANS:
                moment = datetime.now(UTC) + self._sign * timedelta(**{_SPANS[text[-1]]: int(text[:-1])})
            else:
                moment = datetime.fromisoformat(text).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{text!r} is no time: write 2026-11-21, 2026-11-21T20:40, or a span like 2h, 3d", param, ctx)
        return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


MOMENT = Moment()


@click.command(cls=Command)
@click.option(
    "--status",
    "-s",
    multiple=True,
    type=click.Choice(["queued", "processing", "completed", "failed", "cancelled"]),
    help="Only these; may be repeated.",
)
@click.option("--topic", metavar="TEXT", help="Only those whose topic contains it.")
@click.option("--priority", type=click.Choice(["high", "default", "low"]), help="Only this queue.")
@click.option("--batch", "batch_id", metavar="ID", help="Only this batch.")
@click.option("--since", "created_after", type=MOMENT, metavar="TIME", help="For example 2026-11-21, or 3d.")
@click.option("--until", "created_before", type=MOMENT, metavar="TIME", help="As --since.")
@click.option("--sort", "order_by", type=click.Choice(["created_at", "updated_at"]), help="Newest first by this.")
@click.option("--limit", "-n", default=20, show_default=True, type=click.IntRange(1, 100), help="A page.")
@click.option("--page-token", default="", metavar="TOKEN", help="The next page, as the last one said.")
@click.option("--all", "everything", is_flag=True, help="All pages.")
@pass_app
def jobs(app: App, /, limit: int, page_token: str, everything: bool, **filters: Any) -> None:
    """List your jobs, newest first.

    On a terminal ids are shown by their last 8 characters, which all commands take; a pipe gets all of it,
    tab-separated.
    """
    wanted = cast(JobFilter, {name: value for name, value in filters.items() if value} | {"page_size": limit})
    if "status" in wanted:
        wanted["status"] = list(wanted["status"])
    with app.client() as client:
        if everything:
            _everything(app, client, wanted)
            return
        page = client.list_jobs(page_token, **wanted)
    if app.as_json:
        app.output.document(page)
        return
    if not page["jobs"]:
        app.output.note("No jobs." if filters_set(filters) else "No jobs yet. Make one: t2m generate TOPIC CONTEXT")
        return
    app.output.table(_COLUMNS, [_row(app, job) for job in page["jobs"]])
    if page["next_page_token"]:
        app.output.note(f"More: t2m jobs … --page-token {page['next_page_token']}   (or --all)", "dim")


@click.command(cls=Command)
@job_argument()
@pass_app
def job(app: App, job: str) -> None:
    """Show a JOB: how far it is, its scenes, what went wrong."""
    with app.client() as client:
        job_id = app.job_id(client, job)
        known, progress = client.job(job_id), client.status(job_id)
    if app.as_json:
        app.output.document({"job": known, "progress": progress})
        return
    app.output.facts(_facts(known, progress))
    if progress["scenes"]:
        app.output.note("")
        app.output.table(
            (
                Column("", right=True, needs=2),
                Column("SCENE", stretches=True, needs=20),
                Column("STATUS", needs=10),
                Column("FRAMES", right=True, gives_way=1, needs=9),
                Column("", gives_way=2, needs=10),
            ),
            [
                (
                    scene["index"],
                    scene["title"],
                    scene["status"],
                    f"{scene['frames_done']}/{scene['frames_total']}",
                    "from cache" if scene["cached"] else "stand-in" if scene["fallback"] else "",
                )
                for scene in progress["scenes"]
            ],
        )


@click.command(cls=Command)
@job_argument()
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Download the video there at the end.")
@pass_app
def watch(app: App, job: str, output: Path | None) -> Exit:
    """Show the progress of a JOB until it ends. Ctrl-C stops watching, not the job."""
    with app.steady_client() as client:
        job_id = app.job_id(client, job)
        view = follow_job(app, client, job_id, client.job(job_id)["topic"])
        code = verdict(app, view)
        if code is Exit.OK and output is not None:
            path = fetch(app, client, job_id, output)
            if not app.as_json and not app.output.out.is_terminal:
                app.output.result(str(path))
        return code


@click.command(cls=Command)
@job_argument()
@click.option("--output", "-o", type=click.Path(path_type=Path), help="A file or a folder; else the server's name.")
@click.option("--quality", metavar="RUNG", default="", help="For example 720p; the best one by default.")
@click.option("--captions", type=click.Choice(["vtt", "srt"]), help="The captions instead of the video.")
@click.option("--thumbnail", is_flag=True, help="A still instead of the video.")
@click.option("--scene", type=click.IntRange(min=0), help="With --thumbnail: of this scene, counted from 0.")
@pass_app
def download(
    app: App, job: str, output: Path | None, quality: str, captions: str | None, thumbnail: bool, scene: int | None
) -> None:
    """Download the video of a JOB. A download that was cut off goes on where it stopped."""
    if captions and thumbnail:
        raise click.UsageError("--captions or --thumbnail, not both")
    with app.steady_client() as client:
        job_id = app.job_id(client, job)
        if captions:
            path = client.captions(
                job_id, output or Path(f"{job_id}.{captions}"), "srt" if captions == "srt" else "vtt"
            )
        elif thumbnail:
            path = client.thumbnail(job_id, output or Path(f"{job_id}.png"), scene=scene)
        else:
            path = fetch(app, client, job_id, output, quality)
    if app.as_json:
        app.output.document({"job_id": job_id, "file": str(path)})
    elif not app.output.out.is_terminal or captions or thumbnail:
        app.output.result(str(path))


@click.command(cls=Command)
@job_argument(nargs=-1, required=True, metavar="JOB...")
@pass_app
def cancel(app: App, job: tuple[str, ...]) -> Exit:
    """Stop JOBs at once; their credits are given back."""
    return _each(app, job, lambda client, job_id: client.cancel(job_id), "Cancelled")


@click.command(cls=Command)
@job_argument(nargs=-1, required=True, metavar="JOB...")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@pass_app
def rm(app: App, job: tuple[str, ...], yes: bool) -> Exit:
    """Remove JOBs with their videos, logs and history, for good.

    Running ones are stopped first.
    """
    if not yes:
        click.confirm(f"Remove {', '.join(job)} with all files?", abort=True, err=True)
    return _each(app, job, lambda client, job_id: client.delete_job(job_id), "Removed")


@click.command(cls=Command)
@job_argument(nargs=-1, required=True, metavar="JOB...")
@pass_app
def pin(app: App, job: tuple[str, ...]) -> Exit:
    """Keep JOBs and their files for longer than the plan does."""
    return _each(app, job, lambda client, job_id: client.pin(job_id), "Pinned")


@click.command(cls=Command)
@job_argument(nargs=-1, required=True, metavar="JOB...")
@pass_app
def unpin(app: App, job: tuple[str, ...]) -> Exit:
    """Keep JOBs and their files as long as the plan does."""
    return _each(app, job, lambda client, job_id: client.unpin(job_id), "Unpinned")


def filters_set(filters: dict[str, Any]) -> bool:
    """Whether a list was narrowed."""
    return any(filters.values())


def _each(app: App, given: tuple[str, ...], act: Callable[[T2MClient, str], Any], done: str) -> Exit:
    """Do it to each job, also when it fails for one; the exit code is that of the last failure."""
    code = Exit.OK
    with app.client() as client:
        for text in given:
            try:
                job_id = app.job_id(client, text)
                answer = act(client, job_id)
            except T2MError as error:
                code = app.fail(error)
                continue
            if app.as_json:
                app.output.item(answer if answer is not None else {"job_id": job_id})
            else:
                app.output.result(job_id) if not app.output.out.is_terminal else app.output.note(f"{done} {job_id}.")
    return code


def _everything(app: App, client: T2MClient, wanted: JobFilter) -> None:
    """Page by page, so that the first one is there at once."""
    wanted["page_size"] = 100
    found = client.jobs(**wanted)
    if app.as_json:
        for job in found:
            app.output.item(job)
        return
    while rows := [_row(app, job) for job in islice(found, 100)]:
        app.output.table(_COLUMNS, rows)


def _row(app: App, job: Job) -> tuple[object, ...]:
    terminal = app.output.out.is_terminal
    return (
        short(job["job_id"]) if terminal else job["job_id"],
        job["status"],
        f"{job['progress']:.0f}",
        job["topic"],
        job["quality"],
        ago(job["created_at"]) if terminal else job["created_at"],
    )


def _facts(job: Job, progress: JobProgress) -> list[tuple[str, object]]:
    failed = progress.get("error")
    position = progress.get("queue_position")
    stage = progress["current_stage"]
    return [
        ("Job", job["job_id"]),
        ("Topic", job["topic"]),
        ("Status", job["status"]),
        ("Stage", "" if stage in ("unspecified", job["status"]) else stage),
        ("Progress", f"{progress['progress']:.0f} %"),
        ("Waits for", progress["waits_for"]),
        ("In the queue", "" if position is None else f"{position} ahead"),
        ("Error", described(failed) if failed else ""),
        ("Again at", local(progress.get("next_attempt_at")) if progress.get("next_attempt_at") else ""),
        ("Attempt", f"{progress['attempt']} of {job['max_retries'] + 1}" if progress["attempt"] > 1 or failed else ""),
        ("Quality", job["quality"]),
        ("Rungs", ", ".join(job["quality_levels"])),
        ("Queue", "" if job["priority"] == "default" else job["priority"]),
        ("Batch", job["batch_id"]),
        ("Credits", job["credit_cost"]),
        ("Created", local(job["created_at"])),
        ("Expected", local(job.get("estimated_completion")) if job.get("estimated_completion") else ""),
        ("Ended", local(job.get("completed_at")) if job.get("completed_at") else ""),
        ("Kept until", "pinned" if job["pinned"] else local(job.get("expires_at")) if job.get("expires_at") else ""),
    ]

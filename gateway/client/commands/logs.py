"""`t2m logs`."""

from __future__ import annotations

from typing import Any, cast

import click
from rich.table import Table
from rich.text import Text

from gateway.client.commands.app import App, Command, pass_app
from gateway.client.commands.completion import job_argument
from gateway.client.commands.watching import leave
from gateway.client.commands.words import STYLES, line, short, when
from gateway.client.errors import PositionExpiredError
from gateway.client.models.jobs import JobLogEntry
from gateway.client.models.orders import LogFilter
from gateway.client.sync import T2MClient

_SEVERITIES = ("debug", "info", "warning", "error")
_STAGES = ("queued", "planning", "rendering", "assembling", "publishing")


@click.command(cls=Command)
@job_argument()
@click.option("--follow", "-f", is_flag=True, help="Go on with what is written from now, until the job has ended.")
@click.option("--severity", "min_severity", type=click.Choice(_SEVERITIES), help="At least this bad.")
@click.option("--stage", type=click.Choice(_STAGES), help="Only this stage.")
@click.option("--scene", "scene_index", type=click.IntRange(min=0), help="Only this scene, counted from 0.")
@click.option("--attempt", type=click.IntRange(min=1), help="Only this attempt at the job.")
@pass_app
def logs(app: App, /, job: str, follow: bool, **filters: Any) -> None:
    """Show what was logged for a JOB. With --json one line of JSON for each."""
    wanted = {name: value for name, value in filters.items() if value is not None}
    with app.steady_client() if follow else app.client() as client:
        job_id = app.job_id(client, job)
        if follow:
            _follow(app, client, job_id, wanted)
            return
        for entry in client.logs(job_id, **cast(LogFilter, wanted)):
            show(app, entry)


def _follow(app: App, client: T2MClient, job_id: str, wanted: dict[str, Any]) -> None:
    """All lines there are and will be. Ctrl-C ends the command, not the job."""
    try:
        try:
            _followed(app, client, job_id, 0, wanted)
        except PositionExpiredError:
            # The stream does not go back to the first line; the list does.
            last = 0
            for entry in client.logs(job_id):
                last = entry["seq"]
                if fits(entry, wanted):
                    show(app, entry)
            _followed(app, client, job_id, last, wanted)
    except KeyboardInterrupt:
        leave(app, f"job {short(job_id)}", f"t2m logs -f {short(job_id)}", f"t2m cancel {short(job_id)}")


def _followed(app: App, client: T2MClient, job_id: str, after: int, wanted: dict[str, Any]) -> None:
    for event in client.follow_logs(job_id, after):
        if event.kind == "entry" and fits(entry := cast(JobLogEntry, event.body), wanted):
            show(app, entry)


def fits(entry: JobLogEntry, wanted: dict[str, Any]) -> bool:
    """Whether the filters of a list, which a stream does not have, let a line pass."""
    least = wanted.get("min_severity")
    if least and entry["severity"] in _SEVERITIES and _SEVERITIES.index(entry["severity"]) < _SEVERITIES.index(least):
        return False
    return all(entry.get(name) == wanted[name] for name in ("stage", "scene_index", "attempt") if name in wanted)


def show(app: App, entry: JobLogEntry) -> None:
    """A line of a log: when, how bad, where, what."""
    if app.as_json:
        app.output.item(entry)
        return
    moment = when(entry.get("occurred_at"))
    clock = f"{moment.astimezone():%H:%M:%S}" if moment else ""
    where: str = entry["stage"] if entry["stage"] != "unspecified" else "job"
    if "scene_index" in entry:
        where += f" {entry['scene_index']}"
    severity = entry["severity"]
    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_column(width=8, no_wrap=True)
    row.add_column(width=7, no_wrap=True)
    row.add_column(width=12, no_wrap=True)
    row.add_column(overflow="fold")
    message = Text(line(entry["message"]))
    row.add_row(Text(clock, "dim"), Text(severity, STYLES.get(severity, "")), Text(where, "dim"), message)
    app.output.out.print(row)

"""`t2m health`."""

from __future__ import annotations

from typing import Any

import click

from gateway.client.commands.app import App, Command, pass_app
from gateway.client.commands.failures import Exit
from gateway.client.commands.output import Column
from gateway.client.commands.words import duration_s, span
from gateway.client.errors import ConnectionFailedError, T2MError, UnavailableError
from gateway.client.models.system import QueueStatus
from gateway.client.sync import T2MClient


@click.command(cls=Command)
@pass_app
def health(app: App) -> Exit:
    """Say whether the server is up.

    Shows each of its services and, to who is logged in, how long the queue is.
    """
    with app.client(patience_s=0) as client:
        try:
            state: dict[str, Any] = dict(client.ready())
        except ConnectionFailedError:
            raise
        except UnavailableError as error:
            state = {"status": "not ready", "message": error.message, **error.details}
        queue = _queue(client) if state["status"] == "ready" else None
    if app.as_json:
        app.output.document({"url": app.server, **state, "queue": queue})
    else:
        _show(app, state, queue)
    return Exit.OK if state["status"] == "ready" else Exit.AWAY


def _queue(client: T2MClient) -> QueueStatus | None:
    """What a caller may know of the queue; None for nobody."""
    try:
        return client.queue_status()
    except T2MError:
        return None


def _show(app: App, state: dict[str, Any], queue: QueueStatus | None) -> None:
    facts: list[tuple[str, object]] = [("Server", app.server), ("Status", state["status"])]
    facts.append(("Why", state.get("message", "")))
    if queue is not None:
        facts.append(("Jobs at work", f"{queue['processing_count']} of {queue['slot_count']} at once"))
        facts.append(("Queue", "paused: orders are accepted, and wait" if queue["paused"] else ""))
    app.output.facts(facts)
    app.output.note("")
    services = [
        (name, part.get("status", ""), part.get("latency_ms", ""))
        for name, part in state.get("dependencies", {}).items()
    ]
    app.output.table((Column("SERVICE", needs=12), Column("STATUS", needs=12), Column("MS", right=True)), services)
    if queue is None:
        return
    app.output.note("")
    depths = [
        (depth["priority"], depth["waiting_count"], depth["position"], _wait(depth.get("estimated_wait")))
        for depth in queue["depths"]
    ]
    columns = (Column("QUEUE"), Column("WAITING", right=True), Column("BEFORE YOU", right=True), Column("WAIT"))
    app.output.table(columns, depths)


def _wait(estimate: str | None) -> str:
    if estimate is None:
        return "unknown"
    seconds = duration_s(estimate)
    return f"about {span(seconds)}" if seconds else "none"

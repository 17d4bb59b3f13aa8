"""`t2m health`."""

from __future__ import annotations

from typing import Any

import click

from gateway.client.commands.app import App, Command, pass_app
from gateway.client.commands.failures import Exit
from gateway.client.commands.output import Column
from gateway.client.errors import ConnectionFailedError, T2MError, UnavailableError


@click.command(cls=Command)
@pass_app
def health(app: App) -> Exit:
    """Say whether the server is up, with each of its services, and how long the queue is. Needs no login."""
    with app.client(patience_s=0) as client:
        try:
            state = client.ready()
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


def _queue(client: Any) -> dict[str, Any] | None:
    """What a caller may know of the queue; None for nobody, and where the server does not tell."""
    try:
        found: dict[str, Any] = client.queue_status()
    except T2MError:
        return None
    return found


def _show(app: App, state: dict[str, Any], queue: dict[str, Any] | None) -> None:
    app.output.facts([("Server", app.server), ("Status", state["status"]), ("Why", state.get("message", ""))])
    rows = [
        (name, part.get("status", ""), part.get("latency_ms", ""))
        for name, part in state.get("dependencies", {}).items()
    ]
    columns = (Column("SERVICE", needs=12), Column("STATUS", needs=12), Column("MS", right=True, needs=6))
    if rows:
        app.output.table(columns, rows)
    if queue:
        app.output.facts([(name.replace("_", " "), value) for name, value in queue.items() if _plain(value)])


def _plain(value: object) -> bool:
    return isinstance(value, str | int | float)

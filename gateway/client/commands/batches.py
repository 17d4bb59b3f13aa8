"""`t2m batch`, `batches`."""

from __future__ import annotations

from typing import Any

import click

from gateway.client.commands.app import App, Command, Group, pass_app
from gateway.client.commands.documents import read_orders
from gateway.client.commands.failures import Exit
from gateway.client.commands.output import Column
from gateway.client.commands.watching import emit, leave
from gateway.client.commands.words import ago, local, short
from gateway.client.models.batches import Batch, BatchItem
from gateway.client.sync import T2MClient

_COUNTS = ("queued", "processing", "completed", "failed", "cancelled")


@click.command(cls=Command)
@click.argument("source", metavar="FILE")
@click.option("--webhook", "webhook_url", default="", metavar="URL", help="Told when all jobs have ended (https).")
@click.option("--idempotency-key", default="", metavar="KEY", help="The same key never orders twice.")
@click.option("--watch", "-w", is_flag=True, help="Wait until all have ended.")
@pass_app
def batch(app: App, source: str, webhook_url: str, idempotency_key: str, watch: bool) -> Exit:
    """Order up to 50 videos at once, of a FILE.

    A list in YAML or JSON (`-`: stdin), or CSV with headings. Each is accepted or refused on its own; the exit code
    is 4 when one was refused.

    \b
      topic,context,quality
      Jets,How a jet engine works,low
      Tides,"Why there are two, not one",medium
    """
    orders, announced = read_orders(source)
    with app.steady_client() as client:
        answer = client.batch(orders, webhook_url=webhook_url or announced, idempotency_key=idempotency_key)
        batch_id = answer["batch"]["batch_id"]
        if app.as_json and not watch:
            app.output.document(answer)
        elif not app.as_json:
            _show_items(app, answer["items"], orders)
            app.output.note(f"Batch {batch_id}.  Watch it: t2m batches watch {batch_id}", "dim")
        refused = answer["batch"]["refused_count"] > 0
        code = follow_batch(app, client, batch_id) if watch else Exit.OK
        return Exit.REFUSED if refused else code


@click.group(cls=Group)
def batches() -> None:
    """Orders that were handed in together."""


@batches.command("ls")
@pass_app
def ls(app: App) -> None:
    """List your batches, newest first."""
    with app.client() as client:
        page = client.list_batches(page_size=50)
    if app.as_json:
        app.output.document(page)
        return
    columns = (
        Column("BATCH", needs=36),
        Column("STATUS", needs=12),
        Column("DONE", right=True, needs=7),
        Column("REFUSED", right=True, gives_way=1, needs=7),
        Column("CREATED", gives_way=2, needs=10),
    )
    rows = [
        (
            each["batch_id"],
            each["status"],
            f"{each['completed_count']}/{each['total_count']}",
            each["refused_count"],
            ago(each["created_at"]),
        )
        for each in page["batches"]
    ]
    app.output.table(columns, rows)


@batches.command("show")
@click.argument("batch_id", metavar="BATCH")
@pass_app
def show(app: App, batch_id: str) -> None:
    """Show a BATCH."""
    with app.client() as client:
        found = client.get_batch(batch_id)
    if app.as_json:
        app.output.document(found)
        return
    app.output.facts(
        [
            ("Batch", found["batch_id"]),
            ("Status", found["status"]),
            ("Progress", f"{found['progress']:.0f} %"),
            ("Jobs", counts_in_words(found)),
            ("Created", local(found["created_at"])),
            ("Its jobs", f"t2m jobs --batch {found['batch_id']}"),
        ]
    )


@batches.command("watch")
@click.argument("batch_id", metavar="BATCH")
@pass_app
def watch(app: App, batch_id: str) -> Exit:
    """Wait until all jobs of a BATCH have ended."""
    with app.steady_client() as client:
        return follow_batch(app, client, batch_id)


@batches.command("cancel")
@click.argument("batch_id", metavar="BATCH")
@pass_app
def cancel(app: App, batch_id: str) -> None:
    """Stop every job of a BATCH that has not ended."""
    with app.client() as client:
        found = client.cancel_batch(batch_id)
    if app.as_json:
        app.output.document(found)
    else:
        app.output.note(f"Cancelled: {counts_in_words(found)}.")


def follow_batch(app: App, client: T2MClient, batch_id: str) -> Exit:
    """Show the batch until its end; whether every job completed. Ctrl-C ends the command, not the batch."""
    status, said = "processing", ""
    try:
        for event in client.watch_batch(batch_id):
            status = event.body.get("status", status)
            words = f"{event.body.get('progress', 100):3.0f} %  {counts_in_words(event.body)}"
            if app.as_json:
                emit(app, event)
            elif words != said:
                app.output.note(words)
                said = words
    except KeyboardInterrupt:
        leave(app, f"batch {batch_id}", f"t2m batches watch {batch_id}", f"t2m batches cancel {batch_id}")
    return Exit.OK if status == "completed" else Exit.JOB_FAILED


def counts_in_words(counted: Batch | dict[str, Any]) -> str:
    """`2 processing, 3 completed`."""
    known: dict[str, Any] = dict(counted)
    words = [f"{known[f'{name}_count']} {name}" for name in _COUNTS if known.get(f"{name}_count")]
    if known.get("refused_count"):
        words.append(f"{known['refused_count']} refused")
    return ", ".join(words) or "nothing to do"


def _show_items(app: App, items: list[BatchItem], orders: list[dict[str, Any]]) -> None:
    rows = []
    for item in items:
        topic = str(orders[item["index"]].get("topic", ""))
        if "job" in item:
            job_id = item["job"]["job_id"]
            rows.append((item["index"] + 1, topic, short(job_id) if app.output.out.is_terminal else job_id, "queued"))
            continue
        refusal = item["refusal"]
        why = "; ".join(f"{each['field']}: {each['description']}" for each in refusal["violations"])
        rows.append((item["index"] + 1, topic, "refused", why or refusal["message"]))
    app.output.table(
        (
            Column("", right=True, needs=2),
            Column("TOPIC", stretches=True, needs=20),
            Column("JOB", needs=8),
            Column("", stretches=True, needs=10),
        ),
        rows,
    )

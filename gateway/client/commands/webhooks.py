"""`t2m webhooks …`: endpoints that are told what happened."""

from __future__ import annotations

from typing import Any

import click

from gateway.client.commands.app import App, Group, pass_app
from gateway.client.commands.output import Column
from gateway.client.commands.words import ago, local
from gateway.client.models.webhooks import WebhookDelivery, WebhookEndpoint

_EVENTS = click.Choice(["job_completed", "job_failed", "job_cancelled", "batch_ended"])


@click.group(cls=Group)
def webhooks() -> None:
    """Endpoints that are told what happened."""


@webhooks.command("ls")
@pass_app
def ls(app: App) -> None:
    """List your endpoints."""
    with app.client() as client:
        found = client.webhooks()
    if app.as_json:
        app.output.document(found)
        return
    columns = (
        Column("ENDPOINT", needs=36),
        Column("URL", stretches=True, needs=20),
        Column("STATE", needs=8),
        Column("LAST SUCCESS", gives_way=1, needs=12),
    )
    rows = [(each["endpoint_id"], each["url"], _state(each), ago(each.get("last_success_at"))) for each in found]
    app.output.table(columns, rows)


@webhooks.command("add")
@click.argument("target", metavar="URL")
@click.option("--event", "events", type=_EVENTS, multiple=True, help="What to send; everything by default.")
@click.option("--description", default="", help="For people.")
@pass_app
def add(app: App, target: str, events: tuple[Any, ...], description: str) -> None:
    """Tell a URL (https) what happens. Prints the secret by which the receiver verifies (Standard Webhooks)."""
    with app.client() as client:
        made = client.create_webhook(target, events=events, description=description)
    if app.as_json:
        app.output.document(made)
        return
    app.output.facts([("Endpoint", made["endpoint"]["endpoint_id"]), ("URL", target), ("Secret", made["secret"])])
    app.output.note(f"Try it: t2m webhooks test {made['endpoint']['endpoint_id']}", "dim")


@webhooks.command("show")
@click.argument("endpoint")
@pass_app
def show(app: App, endpoint: str) -> None:
    """Show an ENDPOINT, without its secret."""
    with app.client() as client:
        _show(app, client.webhook(endpoint))


@webhooks.command("update")
@click.argument("endpoint")
@click.option("--set-url", "new_url", metavar="URL", help="Another URL.")
@click.option("--event", "events", type=_EVENTS, multiple=True, help="What to send from now on.")
@click.option("--description", help="For people.")
@click.option("--enable/--disable", default=None, help="Send, or send nothing.")
@pass_app
def update(
    app: App, endpoint: str, new_url: str | None, events: tuple[Any, ...], description: str | None, enable: bool | None
) -> None:
    """Change what is given of an ENDPOINT."""
    with app.client() as client:
        changed = client.update_webhook(
            endpoint,
            url=new_url,
            events=list(events) or None,
            description=description,
            disabled=None if enable is None else not enable,
        )
    _show(app, changed)


@webhooks.command("rm")
@click.argument("endpoint")
@pass_app
def rm(app: App, endpoint: str) -> None:
    """Remove an ENDPOINT; what is pending is not sent."""
    with app.client() as client:
        client.delete_webhook(endpoint)
    if app.as_json:
        app.output.document({"endpoint_id": endpoint})
    app.output.note(f"Removed {endpoint}.")


@webhooks.command("secret")
@click.argument("endpoint")
@click.option("--rotate", is_flag=True, help="Make a new one; both sign for a day.")
@pass_app
def secret(app: App, endpoint: str, rotate: bool) -> None:
    """Print the secret of an ENDPOINT."""
    with app.client() as client:
        found = client.rotate_webhook_secret(endpoint)["secret"] if rotate else client.webhook_secret(endpoint)
    if app.as_json:
        app.output.document({"endpoint_id": endpoint, "secret": found})
    else:
        app.output.result(found)


@webhooks.command("test")
@click.argument("endpoint")
@pass_app
def test(app: App, endpoint: str) -> None:
    """Send a test message to an ENDPOINT."""
    with app.client() as client:
        sent = client.try_webhook(endpoint)
    if app.as_json:
        app.output.document(sent)
    else:
        app.output.result(sent["delivery_id"])
        app.output.note(f"What became of it: t2m webhooks delivery {sent['delivery_id']}", "dim")


@webhooks.command("deliveries")
@click.argument("endpoint")
@click.option("--status", type=click.Choice(["pending", "delivered", "failed"]), default="", help="Only these.")
@click.option("--page-token", default="", metavar="TOKEN", help="The next page, as the last one said.")
@pass_app
def deliveries(app: App, endpoint: str, status: str, page_token: str) -> None:
    """List what was sent to an ENDPOINT, newest first."""
    with app.client() as client:
        page = client.list_deliveries(endpoint, page_token, page_size=50, status=status)
    if app.as_json:
        app.output.document(page)
        return
    columns = (
        Column("DELIVERY", needs=36),
        Column("EVENT", needs=13),
        Column("STATUS", needs=9),
        Column("TRIES", right=True, gives_way=2, needs=5),
        Column("CREATED", gives_way=1, needs=10),
    )
    rows = [
        (each["delivery_id"], each["event"], each["status"], each["attempt_count"], ago(each["created_at"]))
        for each in page["deliveries"]
    ]
    app.output.table(columns, rows)
    if page["next_page_token"]:
        app.output.note(f"More: --page-token {page['next_page_token']}", "dim")


@webhooks.command("delivery")
@click.argument("delivery")
@pass_app
def delivery(app: App, delivery: str) -> None:
    """Show a DELIVERY with its attempts."""
    with app.client() as client:
        _show_delivery(app, client.delivery(delivery))


@webhooks.command("redeliver")
@click.argument("delivery")
@pass_app
def redeliver(app: App, delivery: str) -> None:
    """Send a DELIVERY again, now."""
    with app.client() as client:
        _show_delivery(app, client.redeliver(delivery))


def _state(endpoint: WebhookEndpoint) -> str:
    return "disabled" if endpoint["disabled"] else "active"


def _show(app: App, endpoint: WebhookEndpoint) -> None:
    if app.as_json:
        app.output.document(endpoint)
        return
    app.output.facts(
        [
            ("Endpoint", endpoint["endpoint_id"]),
            ("URL", endpoint["url"]),
            ("State", _state(endpoint)),
            ("Why", endpoint["disabled_reason"]),
            ("Events", ", ".join(endpoint["events"])),
            ("Description", endpoint["description"]),
            ("Failures in a row", endpoint["consecutive_failures"] or ""),
            ("Last success", local(endpoint.get("last_success_at"))),
            ("Created", local(endpoint["created_at"])),
        ]
    )


def _show_delivery(app: App, found: WebhookDelivery) -> None:
    if app.as_json:
        app.output.document(found)
        return
    app.output.facts(
        [
            ("Delivery", found["delivery_id"]),
            ("Event", found["event"]),
            ("About", found["subject_id"]),
            ("Status", found["status"]),
            ("Next try", local(found.get("next_attempt_at")) if found.get("next_attempt_at") else ""),
        ]
    )
    columns = (Column("TRIED"), Column("ANSWER", right=True), Column("MS", right=True), Column("", stretches=True))
    rows = [
        (local(each.get("attempted_at")), each["http_status"] or "none", each["duration_ms"], each["error"])
        for each in found["attempts"]
    ]
    app.output.table(columns, rows)

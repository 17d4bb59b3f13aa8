"""`t2m keys …`, `credits`, `usage`, `export`."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.client.commands.app import App, Command, Group, pass_app
from gateway.client.commands.jobs import Moment
from gateway.client.commands.output import Column
from gateway.client.commands.words import ago, local, when


@click.group(cls=Group)
def keys() -> None:
    """API keys, for programs."""


@keys.command("ls")
@pass_app
def ls(app: App) -> None:
    """List your API keys, newest first, without their secrets."""
    with app.client() as client:
        found = list(client.keys())
    if app.as_json:
        app.output.document(found)
        return
    columns = (
        Column("KEY", needs=16),
        Column("NAME", stretches=True, needs=16),
        Column("SCOPES", gives_way=1, needs=16),
        Column("LAST USED", gives_way=2, needs=10),
        Column("STATE", needs=12),
    )
    rows = []
    for each in found:
        end = each.get("expires_at")
        state = "revoked" if each.get("revoked_at") else f"until {local(end)[:10]}" if end else "active"
        scopes = " ".join(each["scopes"]) or "all"
        rows.append((each["api_key_id"], each["name"], scopes, ago(each.get("last_used_at")), state))
    app.output.table(columns, rows)


@keys.command("create")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, metavar="RESOURCE:VERB", help="Such as jobs:read; all by default.")
@click.option(
    "--until", "expires_at", type=Moment(ahead=True), metavar="TIME", help="A date, or 30d; else it has no end."
)
@pass_app
def create(app: App, name: str, scopes: tuple[str, ...], expires_at: str | None) -> None:
    """Make an API key called NAME. It is printed once, and never again."""
    with app.client() as client:
        made = client.create_key(name, scopes=scopes, expires_at=expires_at or "")
    if app.as_json:
        app.output.document(made)
        return
    app.output.result(made["secret"])
    app.output.note("Keep it: it is not shown again. Programs send it as X-API-Key; this command takes T2M_API_KEY.")


@keys.command("revoke")
@click.argument("key")
@pass_app
def revoke(app: App, key: str) -> None:
    """End a KEY (its id, not the secret) at once."""
    with app.client() as client:
        client.revoke_key(key)
    if app.as_json:
        app.output.document({"api_key_id": key})
    app.output.note(f"Revoked {key}.")


@click.command(cls=Command)
@pass_app
def credits(app: App) -> None:  # noqa: A001  # Also a command of Python's prompt.
    """Show your plan and credits."""
    with app.client() as client:
        balance = client.credits_left()
        subscribed = client.subscription().get("subscription")
    if app.as_json:
        app.output.document({"credits": balance, "subscription": subscribed})
        return
    end = when(subscribed.get("period_end")) if subscribed else None
    app.output.facts(
        [
            ("Plan", balance["plan"]),
            # Where nothing is refused for want of credits, what is left of none would be a number below zero.
            ("Available", balance["available"] if balance["metered"] else "not limited on this plan"),
            ("Reserved", balance["reserved"]),
            ("Spent", balance["spent"]),
            ("Period ends", f"{end.astimezone():%Y-%m-%d}" if end else ""),
        ]
    )


@click.command(cls=Command)
@click.option("--from", "start", default="", metavar="DATE", help="The first day, YYYY-MM-DD; 30 days ago by default.")
@click.option("--to", "end", default="", metavar="DATE", help="The last day; today by default.")
@pass_app
def usage(app: App, start: str, end: str) -> None:
    """Show jobs and credits day by day (UTC)."""
    with app.client() as client:
        answer = client.usage(start, end)
    if app.as_json:
        app.output.document(answer)
        return
    names = ("jobs_ordered", "jobs_completed", "credits_spent", "credits_released", "credits_granted")
    headings = ("ORDERED", "COMPLETED", "SPENT", "RETURNED", "GRANTED")
    busy = [day for day in answer["days"] if any(value for name, value in day.items() if name != "date")]
    columns = [Column("DAY", needs=10)]
    columns += [Column(heading, right=True, needs=len(heading), gives_way=at) for at, heading in enumerate(headings)]
    rows = [(day["date"] or "total", *(dict(day)[name] for name in names)) for day in [*busy, answer["total"]]]
    app.output.table(columns, rows)


@click.command(cls=Command)
@click.option("--output", "-o", type=click.Path(path_type=Path), default=Path("t2m-export.zip"), show_default=True)
@pass_app
def export(app: App, output: Path) -> None:
    """Download a zip of everything that is kept of you."""
    with app.client() as client:
        path = client.export(output)
    if app.as_json:
        app.output.document({"file": str(path)})
    else:
        app.output.result(str(path))

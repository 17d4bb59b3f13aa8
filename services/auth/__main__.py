"""`python -m services.auth`: serve (the default), `migrate`, or one of the commands of `commands.py`."""

from __future__ import annotations

from pathlib import Path

import click

from services.runtime import telemetry
from services.runtime.command import load_settings, run_server, service_command


def serve() -> None:
    """Serve until SIGTERM."""
    from services.auth.adapters.jose.keys import KeyFileError  # migrations need none of it
    from services.auth.bootstrap import build_server
    from services.auth.settings import AuthSettings

    settings = load_settings(AuthSettings)
    telemetry.configure_logging("auth", level=settings.log_level, log_format=settings.log_format)
    try:
        run_server(lambda: build_server(settings))
    except KeyFileError as exc:
        raise click.ClickException(str(exc)) from exc


main = service_command("auth", Path(__file__).parent, serve)


@main.command("create-admin")
@click.option("--email", required=True)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input, first line.")
def create_admin(email: str, password_stdin: bool) -> None:
    """Make an admin. Prints a generated password once, unless one is given."""
    from services.auth import commands

    commands.create_admin(email, password_stdin=password_stdin)


@main.command("create-key")
@click.option("--email", required=True)
@click.option("--role", type=click.Choice(["readonly", "user", "admin"]), help="Of a user that is made.")
@click.option("--name", default="made by the operator", show_default=True)
@click.option("--scope", "scopes", multiple=True, help="resource:verb; none for everything its owner may.")
def create_key(email: str, role: str | None, name: str, scopes: tuple[str, ...]) -> None:
    """Make an API key; its user too, if there is none. Prints the key once, alone on standard output."""
    from services.auth import commands

    commands.create_key(email, role, name, scopes)


@main.command("set-plan")
@click.argument("email")
@click.argument("plan")
def set_plan(email: str, plan: str) -> None:
    """Give a user another plan, from the user's next token on."""
    from services.auth import commands

    commands.set_plan(email, plan)


_FOLDER = click.option(
    "--folder", type=click.Path(path_type=Path), envvar="T2M_KEYS_DIR", required=True, help="Of the signing keys."
)
_LEAD = click.option(
    "--lead", "lead_s", type=float, envvar="T2M_KEYS_LEAD_S", default=600.0, help="Seconds from publishing to signing."
)


@main.command("rotate-key")
@_FOLDER
@_LEAD
def rotate_key(folder: Path, lead_s: float) -> None:
    """Lay a new signing key, which every replica publishes at once and signs with later. Nobody is interrupted."""
    from services.auth import commands

    commands.rotate_key(folder, lead_s)


@main.command("retire-keys")
@_FOLDER
@_LEAD
def retire_keys(folder: Path, lead_s: float) -> None:
    """Remove the signing keys whose last token has ended."""
    from services.auth import commands

    commands.retire_keys(folder, lead_s)


@main.command("withdraw-key")
@click.argument("kid")
@_FOLDER
def withdraw_key(kid: str, folder: Path) -> None:
    """Remove a signing key that somebody else may have, with all tokens that it has signed."""
    from services.auth import commands

    commands.withdraw_key(folder, kid)


@main.command("check-ledger")
def check_ledger() -> None:
    """Check that the books of credits are in order; print what does not fit and end with status 1."""
    from services.auth import billing_commands

    billing_commands.check_ledger()


@main.command("charges")
def charges() -> None:
    """List the charges that wait for a payment."""
    from services.auth import billing_commands

    billing_commands.list_charges()


@main.command("mark-paid")
@click.argument("charge_id")
@click.option("--reference", default="", help="Of the payment, for the books.")
def mark_paid(charge_id: str, reference: str) -> None:
    """Note that a charge of the provider `invoice` was paid; what it pays begins at once."""
    from services.auth import billing_commands

    billing_commands.mark_paid(charge_id, reference)


if __name__ == "__main__":
    main(prog_name="python -m services.auth")

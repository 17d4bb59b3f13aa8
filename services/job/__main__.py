"""`python -m services.job`: serve (the default), or `migrate`."""

from __future__ import annotations

import click
from pydantic import ValidationError

from services.job.bootstrap import build_server, migrate
from services.job.settings import JobSettings
from services.runtime import telemetry
from services.runtime.settings import ServiceSettings


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Serve, or bring the database up to date. Settings come from the environment (T2M_...)."""
    if context.invoked_subcommand is None:
        serve()


@main.command("serve")
def serve_command() -> None:
    """Serve until SIGTERM (the default)."""
    serve()


@main.command("migrate")
def migrate_command() -> None:
    """Bring the database up to date."""
    url = ServiceSettings().database_url  # A migration holds no other secret.
    if not url:
        raise click.ClickException("settings: T2M_DATABASE_URL: is not set")
    telemetry.run(migrate(url))


def serve() -> None:
    """Serve until SIGTERM."""
    try:
        settings = JobSettings()  # type: ignore[call-arg]  # The environment fills it.
    except ValidationError as exc:
        wrong = "; ".join(f"T2M_{str(error['loc'][0]).upper()}: {error['msg']}" for error in exc.errors())
        raise click.ClickException(f"settings: {wrong}") from None
    telemetry.configure_logging("job", level=settings.log_level, log_format=settings.log_format)

    async def run() -> None:
        await build_server(settings).run()

    telemetry.run(run())


if __name__ == "__main__":
    main(prog_name="python -m services.job")

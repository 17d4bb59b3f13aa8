"""The command line that every service has: serve (the default) and migrate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
from pydantic import ValidationError

from services.runtime import collector, telemetry
from services.runtime.settings import ServiceSettings

if TYPE_CHECKING:
    from services.runtime.server import ServiceServer  # a migration does not load it

S = TypeVar("S", bound=ServiceSettings)

Serve = Callable[[], None]


class SettingsError(click.ClickException):
    """The environment does not make valid settings; ends the process with 2."""

    exit_code = 2


def load_settings(settings: type[S]) -> S:
    """Settings from the environment; raises SettingsError, which names every variable that is wrong."""
    try:
        return settings()
    except ValidationError as exc:
        lines = (f"{_variable(error['loc'])}{error['msg']}" for error in exc.errors())
        raise SettingsError("settings: " + "; ".join(lines)) from None


def run_server(build: Callable[[], ServiceServer]) -> None:
    """Build the server and run it until SIGTERM.

    It is built inside the event loop, because the channels that it holds belong to the loop they are made in.
    """

    async def run() -> None:
        await build().run()

    telemetry.run(run())


def service_command(name: str, package: Path, serve: Serve) -> click.Group:
    """`serve` (also without a command) and `migrate`, to which a service may add its own commands.

    `serve` is called with nothing imported on its behalf: a migration needs only the database's URL and should
    not pay for servers and adapters.
    """

    def start() -> None:
        collector.pause()  # until the server settles
        serve()

    @click.group(name, invoke_without_command=True, help=f"Serve {name}. Settings come from the environment (T2M_…).")
    @click.pass_context
    def group(context: click.Context) -> None:
        if context.invoked_subcommand is None:
            start()

    @group.command("serve", help="Serve until SIGTERM (the default).")
    def serve_command() -> None:
        start()

    @group.command("migrate", help="Bring the database to the newest revision.")
    def migrate_command() -> None:
        collector.pause()
        from services.runtime.db import run_migrations  # only this command needs SQLAlchemy without the rest

        collector.settle()
        settings = load_settings(ServiceSettings)
        if not settings.database_url:
            raise SettingsError("settings: T2M_DATABASE_URL: is not set")
        telemetry.run(run_migrations(package, settings.database_url))

    return group


def _variable(location: tuple[int | str, ...]) -> str:
    return f"T2M_{str(location[0]).upper()}: " if location else ""

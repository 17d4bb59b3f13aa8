"""`t2m-admin`, or `python -m services.admin`: commands of the services under one name.

Each runs with the environment of the service that it belongs to (T2M_DATABASE_URL and so on). A service is imported
only when one of its commands is asked for; what a command does, and how, is that service's alone.
"""

from __future__ import annotations

from importlib import import_module

import click

_COMMANDS = {
    "create-buckets": "storage",
    "import-redis": "job",
    "migrate-files": "storage",
    "sweep-orphans": "storage",
}


class _Services(click.Group):
    """Finds a command in the service that has it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Sorted by name."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The service's own command."""
        service = _COMMANDS.get(cmd_name)
        if service is None:
            return None
        group: click.Group = import_module(f"services.{service}.__main__").main
        return group.get_command(ctx, cmd_name)


@click.command(cls=_Services)
def main() -> None:
    """What operators do by hand. Each command runs with the environment of its service (T2M_…)."""


if __name__ == "__main__":
    main(prog_name="python -m services.admin")

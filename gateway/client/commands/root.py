"""The command `t2m` with all its commands."""

from __future__ import annotations

import click

from gateway.client.commands import (
    account,
    batches,
    completion,
    files,
    jobs,
    login,
    logs,
    orders,
    storyboards,
    system,
    webhooks,
)
from gateway.client.commands.app import Group
from gateway.client.wire import VERSION

_SECTIONS: tuple[tuple[str, tuple[tuple[str, click.Command], ...]], ...] = (
    (
        "Make videos",
        (
            ("generate", orders.generate),
            ("plan", storyboards.plan),
            ("validate", storyboards.validate),
            ("render", orders.render),
            ("remix", orders.remix),
            ("batch", batches.batch),
        ),
    ),
    (
        "Jobs",
        (
            ("jobs", jobs.jobs),
            ("job", jobs.job),
            ("watch", jobs.watch),
            ("logs", logs.logs),
            ("download", jobs.download),
            ("storyboard", storyboards.storyboard),
            ("cancel", jobs.cancel),
            ("rm", jobs.rm),
            ("pin", jobs.pin),
            ("unpin", jobs.unpin),
            ("batches", batches.batches),
        ),
    ),
    (
        "Account",
        (
            ("login", login.login),
            ("logout", login.logout),
            ("whoami", login.whoami),
            ("profiles", login.profiles),
            ("keys", account.keys),
            ("credits", account.credits),
            ("usage", account.usage),
            ("files", files.files),
            ("webhooks", webhooks.webhooks),
            ("export", account.export),
        ),
    ),
    ("Server and shell", (("health", system.health), ("completion", completion.completion))),
)
_ALIASES = {"status": "job", "ls": "jobs", "delete": "rm"}
_EXITS = (
    "0 done; 1 the job failed or was cancelled; 2 wrong use; 3 not logged in; 4 refused by the server; "
    "5 not found; 6 server away; 130 interrupted."
)


class Root(Group):
    """Knows sections and aliases."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """By its name or another one for it."""
        return super().get_command(ctx, _ALIASES.get(cmd_name, cmd_name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """By section, in the order in which a newcomer needs them."""
        width = formatter.width - 16
        for heading, commands in _SECTIONS:
            with formatter.section(heading):
                formatter.write_dl([(name, command.get_short_help_str(width)) for name, command in commands])
        with formatter.section("Exit codes"):
            formatter.write_text(_EXITS)


@click.group(cls=Root, name="t2m", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="t2m")
def root() -> None:
    """A topic and a context go in; a finished explainer video comes out.

    \b
      t2m login
      t2m generate "Pythagorean theorem" "prove it visually" --watch

    JOB is an id, its beginning or end, or `last`. Options below stand before or after the command.
    """


for _, _commands in _SECTIONS:
    for _name, _command in _commands:
        root.add_command(_command, _name)

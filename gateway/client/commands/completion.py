"""Completion in the shell: of commands by click, of jobs by asking the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

from gateway.client.commands.app import App, Command, pass_app
from gateway.client.commands.words import line
from gateway.client.errors import T2MError

_TIMEOUT_S = 2.0
_SHOWN = 20


def complete_job(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of recent jobs, with what they are about. Nothing when the server does not answer at once."""
    app = context.ensure_object(App)
    try:
        with app.client(patience_s=0.0, timeout_s=_TIMEOUT_S) as client:
            recent = client.list_jobs(page_size=_SHOWN)["jobs"]
    except (T2MError, click.ClickException, OSError):
        return []
    return [
        CompletionItem(job["job_id"], help=line(f"{job['status']} {job['topic']}")[:60])
        for job in recent
        if job["job_id"].startswith(incomplete)
    ]


def job_argument(**more: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The argument JOB: an id, the beginning or end of one, or `last`."""
    return click.argument("job", metavar=more.pop("metavar", "JOB"), shell_complete=complete_job, **more)


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@pass_app
def completion(app: App, shell: str) -> None:
    """Print the script that completes `t2m` in a SHELL.

    \b
      bash   eval "$(t2m completion bash)"          in ~/.bashrc
      zsh    eval "$(t2m completion zsh)"           in ~/.zshrc
      fish   t2m completion fish > ~/.config/fish/completions/t2m.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    root = click.get_current_context().find_root().command
    app.output.text(kind(root, {}, "t2m", "_T2M_COMPLETE").source())

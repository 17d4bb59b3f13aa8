"""``python -m tests.api``: schemathesis over the whole document, on a stack of its own. Minutes; see ``--help``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click

from tests.api.stage import PHASES, Stage, options, set_up
from tests.e2e.local_stack import LocalStack

LIMIT_S = 3600


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--examples", default=100, show_default=True, help="Cases per operation, at most.")
@click.option("--phases", default=",".join(PHASES), show_default=True, help="Which of them.")
@click.option("--seed", type=int, help="Repeats a run.")
@click.option("--only", multiple=True, help="An operation id, several times for several; all by default.")
def main(examples: int, phases: str, seed: int | None, only: tuple[str, ...]) -> None:
    """Ask about every operation, as a user and as an admin; exit code 1 when a check fails."""
    more = [*(["--seed", str(seed)] if seed is not None else []), *(f"--include-operation-id={name}" for name in only)]
    with tempfile.TemporaryDirectory(prefix="t2m-api-") as name:
        # Receivers of webhooks listen on loopback, which is refused otherwise.
        stack = LocalStack(Path(name) / "stack", T2M_WEBHOOK_ALLOWED_NETWORKS='["127.0.0.0/8"]')
        stack.folder.mkdir()
        stack.up()
        try:
            with set_up(stack, Path(name), "reader", spare=8) as stage:
                failed = [_asked(stage, who, examples, phases.split(","), more) for who in ("user", "admin")]
        finally:
            stack.down()
    sys.exit(max(failed))


def _asked(stage: Stage, who: str, examples: int, phases: list[str], more: list[str]) -> int:
    done = stage.ask(who, *options(examples=examples, phases=phases), *more, timeout_s=LIMIT_S)
    click.echo(f"=== As {who} ===\n{done.stdout}{done.stderr}")
    return done.returncode


if __name__ == "__main__":
    main()

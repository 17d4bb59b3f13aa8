"""``python -m tests.chaos``: a storm of any length, or a kept history checked again."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import click

from tests.chaos.arena import Arena
from tests.chaos.faults import kinds
from tests.chaos.history import History
from tests.chaos.invariants import broken
from tests.chaos.report import table
from tests.chaos.storm import Storm, blow


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--faults", default=200, show_default=True, help="How many to inject.")
@click.option("--jobs", default=60, show_default=True, help="How many to order at least.")
@click.option("--seed", default=1, show_default=True, help="Decides the faults and the load.")
@click.option("--minutes", type=float, default=60.0, show_default=True, help="Inject nothing later than this.")
@click.option("--at-once", default=5, show_default=True, help="Orders under way.")
@click.option("--lease", type=float, default=15.0, show_default=True, help="Lease of a render step in seconds.")
@click.option("--calm", type=float, default=0.0, help="Seconds of calm before each fault.")
@click.option("--only", multiple=True, help="A kind of fault, several times for several; all by default.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for history, table and logs; kept.")
@click.option("--check", type=click.Path(exists=True, path_type=Path), help="No storm: check this history again.")
def main(
    faults: int,
    jobs: int,
    seed: int,
    minutes: float,
    at_once: int,
    lease: float,
    calm: float,
    only: tuple[str, ...],
    out: Path | None,
    check: Path | None,
) -> None:
    """Let faults rain on a stack under load and check every invariant; exit code 1 when one is broken."""
    if check is not None:
        history = History.read(check)
    else:
        folder = out or Path(tempfile.mkdtemp(prefix="t2m-chaos-"))
        folder.mkdir(parents=True, exist_ok=True)
        storm = Storm(seed, faults, jobs, at_once, minutes * 60, calm_s=calm, only=only)
        history = asyncio.run(_storm(storm, folder, lease))
    report = table(history)
    if check is None:
        (folder / "report.md").write_text(report, encoding="utf-8")
        click.echo(f"History, report and logs: {folder}")
    click.echo(report)
    sys.exit(1 if broken(history) else 0)


async def _storm(storm: Storm, folder: Path, lease_s: float) -> History:
    """The history of a storm in a folder."""
    began = time.monotonic()

    def say(line: str) -> None:
        click.echo(f"{time.monotonic() - began:7.1f} s  {line}")

    arena = Arena(folder / "stack", lease_s=lease_s)
    async with arena.running():
        unknown = set(storm.only) - kinds(arena).keys()
        if unknown:
            raise click.BadParameter(f"no such kinds: {unknown}; there are: {', '.join(kinds(arena))}")
        with History(path=folder / "history.jsonl") as history:
            await blow(storm, arena, history, say)
    return history


if __name__ == "__main__":
    main()

"""`t2m plan`, `validate`, `storyboard`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import click

from gateway.client.commands.app import App, Command, pass_app
from gateway.client.commands.completion import job_argument
from gateway.client.commands.documents import dumped, read_mapping
from gateway.client.commands.orders import QUALITIES, configuration_of, context_of, estimate_in_words, planned
from gateway.client.commands.output import Column
from gateway.client.commands.words import duration_s, span
from gateway.client.models.orders import PlanOptions
from gateway.client.models.storyboards import StoryboardEstimate


@click.command(cls=Command)
@click.argument("topic")
@click.argument("context", required=False)
@click.option("--file", "-f", "source", metavar="FILE", help="Read CONTEXT from a file, `-` for stdin.")
@click.option("--quality", type=QUALITIES, help="For which the estimate is made.")
@planned
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write it there; JSON if it ends in .json.")
@pass_app
def plan(
    app: App,
    topic: str,
    context: str | None,
    source: str | None,
    quality: str | None,
    model: str | None,
    settings: tuple[str, ...],
    output: Path | None,
) -> None:
    """Show the storyboard of TOPIC and CONTEXT, as YAML.

    It is what `generate` would render. Nothing is ordered or charged.
    """
    options: dict[str, Any] = {
        "quality": quality,
        "model": model,
        "configuration": configuration_of(settings),
    }
    text = context_of(context, source)
    wanted = cast(PlanOptions, {name: value for name, value in options.items() if value})
    with app.client() as client:
        answer = client.plan(topic, text, **wanted)
    for warning in answer["warnings"]:
        app.output.warn(warning)
    if output is not None:
        write(output, answer["storyboard"])
        app.output.note(f"Wrote {output}. Edit it, then: t2m render {output} --watch")
    if app.as_json:
        app.output.document(answer)
    elif output is None:
        app.output.text(dumped(answer["storyboard"]))
    app.output.note(estimate_in_words(answer["estimate"]), "dim")


@click.command(cls=Command)
@click.argument("storyboard", metavar="STORYBOARD")
@click.option("--quality", type=QUALITIES, help="For which the estimate is made.")
@pass_app
def validate(app: App, storyboard: str, quality: str | None) -> None:
    """Check a STORYBOARD, and say what it would cost.

    A YAML or JSON file, `-` for stdin. Each field that is wrong is named.
    """
    document = read_mapping(storyboard)
    with app.client() as client:
        estimate = client.validate(document, quality or "")
    if app.as_json:
        app.output.document(estimate)
        return
    app.output.table(
        (
            Column("SCENE", needs=12),
            Column("KIND", gives_way=1, needs=14),
            Column("TITLE", stretches=True, needs=20),
            Column("LENGTH", right=True, needs=6),
            Column("", gives_way=2, needs=10),
        ),
        _rows(estimate),
    )
    app.output.note(f"Fine: {estimate_in_words(estimate)}", "green")


@click.command(cls=Command)
@job_argument()
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write it there; JSON if it ends in .json.")
@pass_app
def storyboard(app: App, job: str, output: Path | None) -> None:
    """Show the storyboard of a JOB as YAML, once it is planned."""
    with app.client() as client:
        found = client.storyboard(app.job_id(client, job))
    if output is not None:
        write(output, found)
        app.output.note(f"Wrote {output}.")
    elif app.as_json:
        app.output.document(found)
    else:
        app.output.text(dumped(found))


def write(path: Path, document: Any) -> None:
    """YAML, or JSON by its name."""
    as_json = path.suffix.lower() == ".json"
    text = json.dumps(document, ensure_ascii=False, indent=2) + "\n" if as_json else dumped(document)
    path.write_text(text, encoding="utf-8")


def _rows(estimate: StoryboardEstimate) -> list[tuple[object, ...]]:
    return [
        (
            scene["id"],
            scene["kind"],
            scene["title"],
            span(duration_s(scene.get("duration"))),
            "from cache" if scene["rendered"] else "",
        )
        for scene in estimate["scenes"]
    ]

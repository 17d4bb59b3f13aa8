"""`t2m generate`, `render`, `remix`: orders for one video."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import click

from gateway.client.commands.app import App, Command, pass_app
from gateway.client.commands.completion import job_argument
from gateway.client.commands.documents import parsed, read_mapping, read_text
from gateway.client.commands.failures import Exit
from gateway.client.commands.watching import fetch, follow_job, verdict
from gateway.client.commands.words import duration_s, short, span
from gateway.client.models.jobs import Job
from gateway.client.models.orders import GenerateOptions, RemixOptions, RenderOptions
from gateway.client.models.storyboards import StoryboardEstimate
from gateway.client.sync import T2MClient

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
QUALITIES = click.Choice(["low", "medium", "high"])
PRIORITIES = click.Choice(["high", "default", "low"])


def options(*decorators: Decorator) -> Decorator:
    """Several decorators as one, in the order they are written."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


planned = options(
    click.option("--model", metavar="NAME", help="`script`, or `provider/model` where agents are configured."),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=VALUE",
        help="Of the planner and the templates, for example theme=light.",
    ),
)
ordered = options(
    click.option("--quality", type=QUALITIES, help="480p15, 720p30 (the default) or 1080p60."),
    click.option("--priority", type=PRIORITIES, help="Which queue."),
    click.option("--retries", "max_retries", type=click.IntRange(0, 10), help="After a failure; 3 by default."),
    click.option("--webhook", "webhook_url", metavar="URL", help="Told when the job has ended (https)."),
    click.option("--idempotency-key", default="", metavar="KEY", help="The same key never orders twice."),
)
drawn = options(
    click.option("--narration/--no-narration", default=None, help="Speak the text."),
    click.option("--no-thumbnails", "thumbnails", flag_value=False, default=None, help="No stills."),
    click.option("--on-scene-failure", type=click.Choice(["fail", "fallback"]), help="`fallback`: a plain scene."),
)
watched = options(
    click.option("--watch", "-w", is_flag=True, help="Show the progress, then download the video."),
    click.option("--output", "-o", type=click.Path(path_type=Path), help="Where to; implies --watch."),
    click.option("--no-download", is_flag=True, help="With --watch: do not download."),
)


@click.command(cls=Command)
@click.argument("topic")
@click.argument("context", required=False)
@click.option("--file", "-f", "source", metavar="FILE", help="Read CONTEXT from a file, `-` for stdin.")
@ordered
@click.option("--levels", metavar="LIST", help="Rungs to offer, for example 1080p,720p.")
@drawn
@planned
@click.option("--documents", "use_rag", is_flag=True, default=None, help="Let the planner read your files.")
@watched
@pass_app
def generate(app: App, /, topic: str, context: str | None, source: str | None, **given: Any) -> Exit:
    """Make a video about TOPIC that says what CONTEXT says.

    CONTEXT is prose or Markdown (`-`: stdin). The job's id goes to stdout; with --watch or -o the path of the video.

    \b
      t2m generate "Pythagorean theorem" "prove it visually" --quality low --watch
      t2m generate "Jets" --file notes.md -o jets.mp4
      id=$(t2m generate -q "Jets" - < notes.md)
    """
    text = context_of(context, source)
    watch, target, download = _watching(given)
    key = given.pop("idempotency_key")
    options = cast(GenerateOptions, _order(given))
    with app.steady_client() as client:
        job = client.generate(topic, text, idempotency_key=key, **options)
        return _ordered(app, client, job, dict(job), None, watch=watch, target=target, download=download)


@click.command(cls=Command)
@click.argument("storyboard", metavar="STORYBOARD")
@ordered
@drawn
@watched
@pass_app
def render(app: App, /, storyboard: str, **given: Any) -> Exit:
    """Make the video of a STORYBOARD, a YAML or JSON file.

    Such as `t2m plan` writes; `-` for stdin.

    \b
      t2m plan "Derivative" "show it" -o storyboard.yaml    # edit it, then:
      t2m render storyboard.yaml --watch
    """
    document = read_mapping(storyboard)
    watch, target, download = _watching(given)
    key = given.pop("idempotency_key")
    options = cast(RenderOptions, _order(given))
    with app.steady_client() as client:
        answer = client.render(document, idempotency_key=key, **options)
        return _ordered(
            app,
            client,
            answer["job"],
            dict(answer),
            answer["estimate"],
            watch=watch,
            target=target,
            download=download,
        )


@click.command(cls=Command)
@job_argument()
@click.option("--edits", metavar="FILE", help="Changes as YAML or JSON: title, theme, scenes, remove_scene_ids, …")
@click.option("--title", help="The new title.")
@click.option("--theme", type=click.Choice(["dark", "light", "contrast"]), help="The new look.")
@click.option("--remove", multiple=True, metavar="SCENE", help="Id of a scene to leave out.")
@ordered
@watched
@pass_app
def remix(
    app: App,
    /,
    job: str,
    edits: str | None,
    title: str | None,
    theme: str | None,
    remove: tuple[str, ...],
    **given: Any,
) -> Exit:
    """Make another video of a JOB's storyboard, with changes.

    Only scenes that changed are drawn.

    \b
      t2m remix last --theme light --watch
      t2m remix 5b36a1c2 --edits changes.yaml -o second.mp4
    """
    changes: dict[str, Any] = read_mapping(edits) if edits else {}
    changes |= {name: value for name, value in (("title", title), ("theme", theme)) if value}
    if remove:
        changes["remove_scene_ids"] = [*changes.get("remove_scene_ids", []), *remove]
    watch, target, download = _watching(given)
    key = given.pop("idempotency_key")
    options = cast(RemixOptions, _order(given))
    with app.steady_client() as client:
        answer = client.remix(app.job_id(client, job), changes, idempotency_key=key, **options)
        return _ordered(
            app,
            client,
            answer["job"],
            dict(answer),
            answer["estimate"],
            watch=watch,
            target=target,
            download=download,
        )


def context_of(context: str | None, source: str | None) -> str:
    """What the video should say. click.UsageError when nothing does, or two."""
    if (context is None) == (source is None):
        raise click.UsageError("say what the video should say: CONTEXT, or --file FILE, or - for stdin")
    if context is not None and context != "-":
        return context
    return read_text(source or "-")


def configuration_of(settings: tuple[str, ...]) -> dict[str, Any]:
    """NAME=VALUE as JSON-like values. click.UsageError."""
    found: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--set {setting}: expected NAME=VALUE")
        found[name] = parsed(value, f"--set {name}") if value else ""
    return found


def estimate_in_words(estimate: StoryboardEstimate) -> str:
    """What it will be, and what of it is there already."""
    words = [f"{estimate['scene_count']} scenes", f"{span(duration_s(estimate.get('duration')))} long"]
    if estimate["rendered_scene_count"]:
        words.append(f"{estimate['rendered_scene_count']} of them from the cache")
    words.append("1 credit" if estimate["credits"] == 1 else f"{estimate['credits']} credits")
    if estimate.get("processing_time"):
        words.append(f"about {span(duration_s(estimate.get('processing_time')))} to render")
    return ", ".join(words)


def _watching(given: dict[str, Any]) -> tuple[bool, Path | None, bool]:
    """Whether to watch, where to download to, whether to download at all; taken out of the options."""
    watch, target, no_download = given.pop("watch"), given.pop("output"), given.pop("no_download")
    if target is not None and no_download:
        raise click.UsageError("--output and --no-download contradict each other")
    return watch or target is not None, target, not no_download


def _order(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options as fields of a request; what was not said is left to the server."""
    order = {name: value for name, value in given.items() if value is not None}
    if "levels" in order:
        order["quality_levels"] = [level for level in order.pop("levels").replace(",", " ").split() if level]
    settings = order.pop("settings", ())
    if settings:
        order["configuration"] = configuration_of(settings)
    return order


def _ordered(
    app: App,
    client: T2MClient,
    job: Job,
    answer: Mapping[str, Any],
    estimate: StoryboardEstimate | None,
    *,
    watch: bool,
    target: Path | None,
    download: bool,
) -> Exit:
    """Say what was ordered, and follow it if that is wanted."""
    job_id = job["job_id"]
    if estimate is not None:
        app.output.note(estimate_in_words(estimate), "dim")
    if not watch:
        if app.as_json:
            app.output.document(answer)
            return Exit.OK
        app.output.result(job_id)
        app.output.note(f"Queued. Watch it: t2m watch {short(job_id)}", "dim")
        return Exit.OK
    if not app.output.lively:
        app.output.note(f"Job {job_id}")
    view = follow_job(app, client, job_id, job["topic"])
    code = verdict(app, view)
    path = fetch(app, client, job_id, target) if code is Exit.OK and download else None
    if app.as_json:
        app.output.item({"event": "end", "data": {"job": client.job(job_id), "file": str(path) if path else None}})
    elif path is not None and not app.output.out.is_terminal:
        app.output.result(str(path))
    return code

"""`t2m files …`: images and documents of your own."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.client.commands.app import App, Group, pass_app
from gateway.client.commands.output import Column
from gateway.client.commands.watching import bar, here, unused
from gateway.client.commands.words import ago, size


@click.group(cls=Group)
def files() -> None:
    """Images and documents of your own."""


@files.command("ls")
@pass_app
def ls(app: App) -> None:
    """List your files, oldest first, and what is left of the quota."""
    with app.client() as client:
        page = client.list_files(page_size=500)
        if app.as_json:
            app.output.document(page)
            return
        found = list(client.files()) if page["next_page_token"] else page["files"]
    columns = (
        Column("FILE", needs=36),
        Column("NAME", stretches=True, needs=16),
        Column("SIZE", right=True, needs=8),
        Column("TYPE", gives_way=2, needs=16),
        Column("STORED", gives_way=1, needs=10),
    )
    rows = [
        (each["file_id"], each["filename"], size(each["size_bytes"]), each["content_type"], ago(each["created_at"]))
        for each in found
    ]
    app.output.table(columns, rows)
    quota = page["quota"]
    used, allowed = size(quota["total_bytes"]), size(quota["max_total_bytes"])
    app.output.note(f"{quota['files']} of {quota['max_files']} files, {used} of {allowed}", "dim")


@files.command("upload")
@click.argument("source", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", default="", help="What to call it; else as it is called here.")
@click.option("--resume", "upload_id", default="", metavar="UPLOAD", help="Go on with an upload that was cut off.")
@pass_app
def upload(app: App, source: Path, name: str, upload_id: str) -> None:
    """Store a FILE: an image, a PDF, a text or a DOCX. A large one survives cut connections."""
    with app.steady_client() as client:
        if app.output.lively:
            with bar(app) as shown:
                task = shown.add_task(name or source.name, total=source.stat().st_size)
                stored = client.upload(
                    source,
                    filename=name,
                    upload_id=upload_id,
                    progress=lambda done, total: shown.update(task, completed=done, total=total),
                )
        else:
            stored = client.upload(source, filename=name, upload_id=upload_id)
    if app.as_json:
        app.output.document(stored)
        return
    app.output.result(stored["file_id"])
    app.output.note(f"Stored {stored['filename']}: {stored['content_type']}, {size(stored['size_bytes'])}", "dim")


@files.command("show")
@click.argument("file_id", metavar="FILE")
@pass_app
def show(app: App, file_id: str) -> None:
    """Show what is known of a FILE."""
    with app.client() as client:
        found = client.file(file_id)
    if app.as_json:
        app.output.document(found)
    else:
        app.output.facts([(name.replace("_", " "), value) for name, value in found.items()])


@files.command("download")
@click.argument("file_id", metavar="FILE")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="A file or a folder; else its own name.")
@pass_app
def download(app: App, file_id: str, output: Path | None) -> None:
    """Download a FILE; its SHA-256 is checked."""
    with app.steady_client() as client:
        if output is None or output.is_dir():
            name = here(client.file(file_id)["filename"], file_id)
            output = unused(Path(name)) if output is None else output / name
        path = client.download_file(file_id, output)
    if app.as_json:
        app.output.document({"file_id": file_id, "file": str(path)})
    else:
        app.output.result(str(path))


@files.command("rm")
@click.argument("file_id", metavar="FILE...", nargs=-1, required=True)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@pass_app
def rm(app: App, file_id: tuple[str, ...], yes: bool) -> None:
    """Remove FILEs and their bytes."""
    if not yes:
        click.confirm(f"Remove {len(file_id)} file(s)?", abort=True, err=True)
    with app.client() as client:
        for each in file_id:
            client.delete_file(each)
            if app.as_json:
                app.output.item({"file_id": each})
            app.output.note(f"Removed {each}.")

"""`python -m services.storage`: serve (the default), `migrate`, or `create-buckets`."""

from __future__ import annotations

from pathlib import Path

import click

from services.runtime import telemetry
from services.runtime.command import load_settings, run_server, service_command


def serve() -> None:
    """Serve until SIGTERM."""
    from services.storage.bootstrap import build_server  # migrations need none of it
    from services.storage.settings import StorageSettings

    settings = load_settings(StorageSettings)
    telemetry.configure_logging("storage", level=settings.log_level, log_format=settings.log_format)
    run_server(lambda: build_server(settings))


main = service_command("storage", Path(__file__).parent, serve)


@main.command("create-buckets")
@click.option("--log-bucket", default="", help="An existing bucket that S3 may write access logs to.")
def create_buckets(log_bucket: str) -> None:
    """Make the buckets of the S3 backend, or give those that exist their rules. Prints their names."""
    from services.storage.adapters.s3 import prepare
    from services.storage.bootstrap import s3_client
    from services.storage.domain.errors import StorageError
    from services.storage.settings import StorageSettings

    settings = load_settings(StorageSettings)
    try:
        for name in prepare(s3_client(settings), settings.buckets(), log_bucket=log_bucket):
            click.echo(name)
    except StorageError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main(prog_name="python -m services.storage")

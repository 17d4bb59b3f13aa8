"""`python -m services.storage`: serve (the default), `migrate`, or `create-buckets`."""

from __future__ import annotations

from pathlib import Path

import click

from services.runtime import telemetry
from services.runtime.command import load_settings, run_server, service_command


def serve() -> None:
    """Serve until SIGTERM."""
    from services.runtime.memory import share_arenas
    from services.storage.bootstrap import build_server  # migrations need none of it
    from services.storage.settings import StorageSettings

    share_arenas()  # the threads that read from the disk hand everything to the one that sends
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


@main.command("sweep-orphans")
@click.option("--dry-run", is_flag=True, help="Only report.")
@click.option("--grace", type=click.FloatRange(min=0), help="Leave alone what is younger, in seconds.")
@click.option("--limit", type=click.IntRange(min=1), help="Put right at most so many things each way.")
@click.option("--mark-lost", is_flag=True, help="Delete rows whose bytes are gone.")
def sweep_orphans(dry_run: bool, grace: float | None, limit: int | None, mark_lost: bool) -> None:
    """Compare the store with the rows: remove bytes that no row knows, report rows without bytes.

    Ends with 1 when something could not be removed, or rows without their bytes remain.
    """
    from services.storage.maintenance import sweep_orphans as run
    from services.storage.settings import StorageSettings

    settings = load_settings(StorageSettings)
    raise SystemExit(run(settings, dry_run=dry_run, grace=grace, limit=limit, mark_lost=mark_lost or None))


@main.command("migrate-files")
@click.option("--dry-run", is_flag=True, help="Check the source and say what would be copied.")
@click.option("--verify-only", is_flag=True, help="Copy nothing; read every copy and compare its SHA-256.")
@click.option("--parallel", type=click.IntRange(1, 32), default=4, show_default=True, help="Objects at a time.")
@click.option("--from-region", help="Region in the names of the folders, if not T2M_STORAGE_REGION.")
@click.option("--from-account", help="Account in the names of the folders, if not T2M_STORAGE_ACCOUNT.")
def migrate_files(
    dry_run: bool, verify_only: bool, parallel: int, from_region: str | None, from_account: str | None
) -> None:
    """Copy all objects from the folder T2M_STORAGE_ROOT to the S3 store of T2M_S3_…, while the service runs.

    Interrupted, it goes on where it was when it is run again; a second run catches what was added since. Ends with 1
    when anything is missing or damaged, which it names.
    """
    from services.storage.maintenance import migrate_files as run
    from services.storage.settings import StorageSettings

    settings = load_settings(StorageSettings)
    folders = (from_region or settings.storage_region, from_account or settings.storage_account)
    raise SystemExit(run(settings, folders, parallel=parallel, dry_run=dry_run, verify_only=verify_only))


if __name__ == "__main__":
    main(prog_name="python -m services.storage")

"""`python -m services.job`: serve (the default), `migrate`, or `import-redis`."""

from __future__ import annotations

from pathlib import Path

import click

from services.runtime import telemetry
from services.runtime.command import load_settings, run_server, service_command


def serve() -> None:
    """Serve until SIGTERM."""
    from services.job.bootstrap import build_server  # migrations need none of it
    from services.job.settings import JobSettings

    settings = load_settings(JobSettings)
    telemetry.configure_logging("job", level=settings.log_level, log_format=settings.log_format)
    run_server(lambda: build_server(settings))


main = service_command("job", Path(__file__).parent, serve)


@main.command("import-redis")
@click.option("--source", envvar="T2M_IMPORT_REDIS_URL", required=True, help="URL of the older system's Redis.")
@click.option("--owners", type=click.Path(exists=True, path_type=Path), help="JSON object: older user id to user id.")
@click.option("--cursor", type=click.IntRange(min=0), default=0, help="Go on where an interrupted run was.")
@click.option("--dry-run", is_flag=True, help="Only say what would be imported.")
def import_redis(source: str, owners: Path | None, cursor: int, dry_run: bool) -> None:
    """Take over the jobs of the older system from its Redis (`jobs:*`, `user_jobs:*`, `videos:*`).

    Run again, it leaves what is there already. Ends with 1 when a key was refused; the others are taken over.
    """
    from services.job.maintenance import import_redis as run
    from services.job.settings import JobSettings

    raise SystemExit(run(load_settings(JobSettings), source, owners=owners, cursor=cursor, dry_run=dry_run))


if __name__ == "__main__":
    main(prog_name="python -m services.job")

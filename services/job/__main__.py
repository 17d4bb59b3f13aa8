"""`python -m services.job`: serve (the default), or `migrate`."""

from __future__ import annotations

from pathlib import Path

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

if __name__ == "__main__":
    main(prog_name="python -m services.job")

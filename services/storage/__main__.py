"""`python -m services.storage`: serve (the default), or `migrate`."""

from __future__ import annotations

from pathlib import Path

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

if __name__ == "__main__":
    main(prog_name="python -m services.storage")

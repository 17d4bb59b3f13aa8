"""`python -m services.video_render`: serve (the default), or `migrate`."""

from __future__ import annotations

from pathlib import Path

from services.runtime import telemetry
from services.runtime.command import load_settings, run_server, service_command


def serve() -> None:
    """Serve until SIGTERM."""
    from services.video_render.bootstrap import build_server  # migrations need none of it
    from services.video_render.settings import VideoRenderSettings

    settings = load_settings(VideoRenderSettings)
    telemetry.configure_logging("video_render", level=settings.log_level, log_format=settings.log_format)
    run_server(lambda: build_server(settings))


main = service_command("video_render", Path(__file__).parent, serve)

if __name__ == "__main__":
    main(prog_name="python -m services.video_render")

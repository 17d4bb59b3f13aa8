"""`python -m services.video_render.worker`: a pool of processes that render; settings as the service's."""

from __future__ import annotations

import sys

import click

from services.runtime import collector, telemetry
from services.runtime.command import load_settings


@click.command("worker")
def main() -> None:
    """Work until SIGTERM. Settings come from the environment (T2M_…)."""
    collector.pause()  # until the pool has loaded the engine
    from services.video_render.bootstrap import build_worker, real_engine
    from services.video_render.settings import VideoRenderSettings

    settings = load_settings(VideoRenderSettings)
    telemetry.configure_logging("render_worker", level=settings.log_level, log_format=settings.log_format)
    sys.exit(build_worker(settings, real_engine()).serve(settings.ready_file))


if __name__ == "__main__":
    main(prog_name="python -m services.video_render.worker")

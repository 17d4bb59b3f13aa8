"""A worker with a scripted engine: `python -m tests.fakes.video_render_worker`."""

from __future__ import annotations

import sys

from services.runtime import telemetry
from services.runtime.command import load_settings
from services.video_render.bootstrap import Engine, build_worker
from services.video_render.domain.request import DEFAULT_PLANNER
from services.video_render.settings import VideoRenderSettings
from tests.fakes.video_render import ScriptedMedia, ScriptedPlanner, ScriptedRenderer


def main() -> int:
    """Work until SIGTERM."""
    settings = load_settings(VideoRenderSettings)
    telemetry.configure_logging("render_worker", level=settings.log_level, log_format=settings.log_format)
    engine = Engine({DEFAULT_PLANNER: ScriptedPlanner()}, ScriptedRenderer(), ScriptedMedia())
    return build_worker(settings, engine).serve(settings.ready_file)


if __name__ == "__main__":
    sys.exit(main())
